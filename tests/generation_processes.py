"""Runs of `crpo generate` in processes of their own, to be killed: this file as a script waits for orders.

An order is a line of JSON on standard input: a folder and arguments. Each runs in a fork, so that imports are paid
once; the fork's process id goes to standard output at once, its exit code when it is waited for.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from crpo.generators import Decoding, requests_for
from crpo.records.lines import decoded

LEDGER = "ledger.txt"
RECORDS = "samples.records.jsonl"
SAMPLES = 16 * 16


@dataclass(frozen=True)
class Slow:
    """Draw a sample in a moment, and note in the ledger what was asked for and what the caller has kept."""

    grid: tuple[Decoding, ...] = (Decoding(),)
    seconds: float = 0.001

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        for pair in prompts:
            for request in requests_for(*pair, self.grid, seed):
                if request.key in had:
                    continue
                _note("asked", request.key)
                time.sleep(self.seconds)
                yield {
                    "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "tokens": 5,
                    "sample": request.sample, "response": f"drawn by {os.getpid()}", "status": "ok", "seed": seed,
                    "finish_reason": "stop", "temperature": 1.0, "top_p": 1.0, "top_k": 0,
                }  # fmt: skip
                _note("kept", request.key)  # the caller has come back for the next: it answers for this one


def _note(what: str, key: str) -> None:
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"{what} {key} {os.getpid()}\n".encode())
    os.close(ledger)


class Generations:
    """The waiting process; several runs at a time, their ends are told in any order."""

    def __enter__(self) -> Generations:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._line() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def start(self, folder: Path, *arguments: str, **limits: int) -> int:
        """Start `crpo` in a folder and return its process id; what it says goes to log.txt there."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments, **limits}) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self, process: int) -> int:
        """Wait for a run to end; its exit code, or minus the signal that killed it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"wait": process}) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def run(self, folder: Path, *arguments: str, **limits: int) -> tuple[int, str]:
        """Run `crpo` to its end; its exit code, and what it said."""
        (folder / "log.txt").unlink(missing_ok=True)
        code = self.end(self.start(folder, *arguments, **limits))
        return code, (folder / "log.txt").read_text()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def new_folder(path: Path, samples: int = SAMPLES) -> Path:
    """Make a folder with prompts for so many samples of the paper's grid, 16 a prompt."""
    path.mkdir()
    rows = "".join(f"p{number:02d},Name a use for thing {number}\n" for number in range(samples // 16))
    (path / "prompts.csv").write_text("prompt_id,prompt\n" + rows)
    return path


def kept_records(folder: Path) -> dict[str, str]:
    """Return the response of each record in the file, of all but a torn last line; no key may be there twice."""
    lines = (folder / RECORDS).read_bytes().split(b"\n")[:-1] if (folder / RECORDS).exists() else []
    records = [decoded(line) for line in lines][1:]
    found = {record["key"]: record["response"] for record in records}
    assert len(found) == len(records), "a sample is there twice"
    return found


def has_ended(process: int) -> bool:
    """Return whether a process has ended, and waits to be waited for."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _child(folder: str, arguments: list[str], file_size: int | None) -> None:
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
    from crpo.cli import main

    sys.argv = ["crpo", *arguments]
    try:
        main()
    except SystemExit as stop:
        sys.stdout.flush()
        os._exit(int(stop.code or 0))


def _main() -> None:
    import httpx2
    import openai
    import tenacity

    import crpo.cli
    import crpo.generators.openai
    import crpo.stages.generate

    assert crpo.cli.main
    assert httpx2
    assert openai
    assert tenacity
    sys.modules["generation_processes"] = sys.modules["__main__"]
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite started in the background ignores it
            _child(order["folder"], order["arguments"], order.get("file_size"))
        print(child, flush=True)


if __name__ == "__main__":
    _main()
