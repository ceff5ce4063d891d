"""One of the processes that do the steps of a run side by side, and what it is told."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import TextIO

from crpo.errors import RunInUseError
from crpo.progress import speak_for
from crpo.stages.step import Step
from crpo.step_folders import do_step

INTERRUPTED = 130  # the exit code of a worker that was asked to stop
STOPPING = (signal.SIGINT, signal.SIGTERM)
LOCK = ".workers"  # in the run folder; each worker holds it until it is gone
PATIENCE = 30.0  # seconds that a run waits for workers of one that was killed; they end at once


@dataclass(frozen=True)
class Task:
    """A step that is to be done.

    Attributes
    ----------
    step : Step
    folder : Path
        Where its output goes.
    inputs : mapping
        The folders of the steps it needs, by name.
    key : str
        What it is made from (`crpo.step_folders.key_of`).
    start : float
        When it was begun, as `time.monotonic` has it.
    """

    step: Step
    folder: Path
    inputs: Mapping[str, Path]
    key: str
    start: float = field(default_factory=time.monotonic)

    def do(self) -> str:
        """Do it, and return the hash of its output."""
        return do_step(self.step, self.folder, self.inputs, self.key)


def work(pipe: Connection, folder: Path, place: Path) -> None:
    """Do the tasks that come through a pipe, until it is closed; what a worker process runs.

    It ends at once when the process that started it is gone, even by `kill -9`: the same run may be started again.

    Parameters
    ----------
    pipe : Connection
        Gives a `Task`; takes the hash of its output, or the exception that it ended with.
    folder : Path
        The run folder.
    place : Path
        The current folder of the process that started it.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(place)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not _parent_lives():  # then another run may have the folder already
            return
        try:
            _let_signals_stop_it()
            _do_tasks(pipe)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        finally:
            _ignore_signals()


def wait_for_workers(folder: Path) -> None:
    """Wait until the workers of an earlier run in this folder are gone, as they are a moment after it was killed.

    Raises
    ------
    RunInUseError
        When one is still there after half a minute.
    """
    if (folder / LOCK).exists():
        with (folder / LOCK).open("w") as lock:
            end = time.monotonic() + PATIENCE
            while not _is_free(lock):
                if time.monotonic() > end:
                    raise RunInUseError(f"processes of an earlier run still work in {folder}", "Wait for them.")
                time.sleep(0.05)


def _is_free(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _do_tasks(pipe: Connection) -> None:
    while True:
        try:
            task = pipe.recv()
            speak_for(task.step.name)
            pipe.send(_outcome(task))
        except (EOFError, ConnectionError):  # closed: there is nothing more to do
            return


def _outcome(task: Task) -> str | Exception:
    try:
        return task.do()
    except Exception as error:
        error.add_note(f"In the worker that did {task.step.name}:\n{traceback.format_exc()}")
        return error if _can_be_sent(error) else RuntimeError(f"{type(error).__name__}: {error}\n{error.__notes__[-1]}")


def _can_be_sent(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301
    except Exception:  # a library's own, with a constructor of its own
        return False


def _let_signals_stop_it() -> None:
    """Let Ctrl-C and SIGTERM interrupt, once, now that there is somebody to notice; until here they were held back."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _interrupt(_: int, __: FrameType | None) -> None:
    _ignore_signals()  # from here on: one may come from the terminal, and another from our parent
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # Python complains where one that has come already is SIG_IGN now


def _parent_lives() -> bool:
    parent = parent_process()
    return parent is not None and parent.is_alive()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)
