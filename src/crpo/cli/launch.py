"""A command in several processes: started through Accelerate, heard as one."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Annotated

import typer

from crpo.errors import CrpoError, InputError, MissingExtraError
from crpo.processes import threads_for

STRATEGIES = ("ddp", "fsdp", "zero2", "zero3")
_ERRORS = "CRPO_ERRORS"  # the folder in which processes that we started leave their errors
_voices: list[IO[str]] = []  # standard error, of a process that is silent else

Launch = Annotated[
    int | None, typer.Option(min=2, help="Train in so many processes, one for each GPU (or on the CPU, where none is).")
]
Strategy = Annotated[
    str, typer.Option(help="How they share the model: ddp (each has all of it), fsdp, zero2 or zero3 (each a part).")
]


def launched(processes: int | None, strategy: str) -> bool:
    """Run the command of this call in several processes, and return whether that was asked for.

    Parameters
    ----------
    processes : int, optional
        How many; None, and in a process that was started so, does nothing.
    strategy : {"ddp", "fsdp", "zero2", "zero3"}
        The configuration of Accelerate, `crpo/training/launch/NAME.yaml`.

    Raises
    ------
    InputError, MissingExtraError
        For an unknown strategy, or one that this machine cannot run.
    CrpoError
        The first error of any process, with its exit code.
    """
    if processes is None or "LOCAL_RANK" in os.environ:
        return False
    _check(processes, strategy)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_for(processes)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as errors:
        os.environ[_ERRORS] = errors
        code = _launch(processes, strategy, sys.argv[1:])
        if code:
            raise _first_error(Path(errors), code)
    return True


def be_silent_beside_the_first() -> None:
    """Close standard output and error of all processes but the first, libraries in C++ included; errors come out."""
    if os.environ.get("RANK", "0") != "0":
        _voices.append(os.fdopen(os.dup(2), "w", encoding="utf-8"))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)


def tell_error(message: str, code: int) -> None:
    """Print an error, or leave it for the process that started this one."""
    folder = os.environ.get(_ERRORS)
    if folder is None or "LOCAL_RANK" not in os.environ:
        print(f"error: {message}", file=_voices[-1] if _voices else sys.stderr, flush=True)
        return
    error = {"time": time.time(), "message": message, "code": code}
    Path(folder, f"{os.environ['RANK']}.json").write_text(json.dumps(error), encoding="utf-8")


def another_has_failed() -> bool:
    """Return whether another process has left its error already: then ours is that it has gone."""
    folder = os.environ.get(_ERRORS)
    return folder is not None and any(Path(folder).glob("*.json"))


def _check(processes: int, strategy: str) -> None:
    import importlib.util

    from crpo.stages.train import require_training

    if strategy not in STRATEGIES:
        raise InputError(f"unknown strategy {strategy!r}", f"Choose one of {', '.join(STRATEGIES)}.")
    require_training()
    import torch

    gpus = torch.cuda.device_count()
    if not gpus and strategy != "ddp":
        raise MissingExtraError(f"the strategy {strategy} needs GPUs, and this machine has none", "Choose ddp.")
    if gpus and processes > gpus:
        raise InputError(f"--launch {processes}: this machine has {gpus} GPUs", "Start no more processes than GPUs.")
    if strategy.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        raise MissingExtraError(f"the strategy {strategy} needs DeepSpeed", "Install it with: pip install deepspeed.")


def _launch(processes: int, strategy: str, words: list[str]) -> int:
    from importlib.resources import as_file, files

    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.CRITICAL)  # the processes' own errors say more
    with as_file(files("crpo") / "training" / "launch" / f"{strategy}.yaml") as config:
        options = ["--config_file", str(config), "--num_processes", str(processes), "--module", "crpo.cli", *words]
        try:
            launch_command(launch_command_parser().parse_args(options))
        except ChildFailedError as error:
            code = error.get_first_failure()[1].exitcode
            return code if code > 0 else 128 - code  # a negative one is the signal that ended it
        except SignalException as error:
            raise KeyboardInterrupt from error
    return 0


def _first_error(folder: Path, code: int) -> BaseException:
    found = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]
    first = min(found, key=lambda error: error["time"], default=None)
    if first is None:
        first = {"message": "a process was ended from outside. Is there memory enough?", "code": code}
    if first["code"] == 130:
        return KeyboardInterrupt()
    error = CrpoError(first["message"])
    error.exit_code = first["code"]
    return error
