"""Steps that do nothing much, for runs in several processes, which must import them; also a script that runs some."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crpo.progress import track
from crpo.runs import execute
from crpo.stages.step import Folders, Step

ABOUT = {"name": "test", "recipe": {}}
LONG = 300.0  # seconds: longer than any of these waits for another on a busy machine, unless something is wrong


def toy(name: str, work: Callable[..., None], *values: object, needs: tuple[str, ...] = (), apart: str = "") -> Step:
    """Return a step that calls `work` with these values, its folder, and the folders of what it needs."""
    return Step(name, partial(work, *values), {"values": list(map(str, values))}, needs, apart=apart)


def write(text: str, out: Path, inputs: Folders) -> None:
    """Write what is in the inputs, and then the text."""
    before = "".join((folder / "text").read_text() for folder in inputs.values())
    (out / "text").write_text(before + text)


def meet(place: Path, own: str, other: str, out: Path, _: Folders) -> None:
    """Leave a file, and wait for another's."""
    (place / own).touch()
    wait_for(place / other)
    (out / "text").write_text(os.environ.get("OMP_NUM_THREADS", "as many as it likes"))


def be_alone(place: Path, out: Path, _: Folders) -> None:
    """Fail where somebody else is in the same place."""
    (place / "occupied").mkdir()
    time.sleep(0.3)
    (place / "occupied").rmdir()
    (out / "text").write_text("alone")


def fail(error: Exception, place: Path, out: Path, _: Folders) -> None:
    """Leave a file when somebody else has left one, and fail."""
    wait_for(place / "begun")
    (out / "text").write_text("half")
    raise error


class OddError(Exception):
    """As some libraries have: it cannot be made again from what it says."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def fail_oddly(_: Path, __: Folders) -> None:
    """Fail with such an error."""
    raise OddError("so", "and so")


def outlast(place: Path, failed: Path, out: Path, _: Folders) -> None:
    """Leave a file, and end some time after another step has begun to fail."""
    (place / "begun").touch()
    wait_for(failed)
    time.sleep(0.3)
    (out / "text").write_text("whole")


def be_killed(_: Path, __: Folders) -> None:
    """End the process as the system does where there is no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def linger(place: Path, out: Path, _: Folders) -> None:
    """Leave the process's number and wait to be stopped; the second time, go on with what is there and end."""
    kept = out / "kept"
    if kept.exists():
        (out / "text").write_text(kept.read_text())
        kept.unlink()
        return
    kept.write_text(f"kept by {out.name}")
    (place / f"{out.name}.process").write_text(str(os.getpid()))
    for _moment in _tracked(LONG):
        time.sleep(0.1)


def _tracked(seconds: float):  # noqa: ANN202
    with track("waiting", int(seconds * 10)) as advance:
        for number in range(int(seconds * 10)):
            advance(1)
            yield number


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + LONG
    while not path.exists():
        assert time.monotonic() < end, f"waited in vain for {path}"
        time.sleep(0.01)


def lingering(place: Path) -> list[Step]:
    """Return two steps that linger, and one that needs both."""
    steps = [toy(name, linger, place) for name in ("left", "right")]
    return [*steps, toy("both", write, "!", needs=("left", "right"))]


if __name__ == "__main__":
    where, count = Path(sys.argv[1]), int(sys.argv[2])
    try:
        execute(lingering(where), where / "run", about=ABOUT, workers=count)
    except KeyboardInterrupt:
        sys.exit(130)
