"""Who does the steps of a run: this process, or several others, which end when the run ends, in whatever way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from crpo.errors import TooManyFailuresError
from crpo.processes import threads_for
from crpo.progress import say
from crpo.worker import INTERRUPTED, STOPPING, Task, wait_for_workers, work

SAME = 1.0  # seconds: SLURM and a launcher of several processes pass the same signal on, each
_FROM_OUTSIDE = (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM)  # exit codes of a worker that somebody has stopped


class Alone:
    """This process as the only worker: it does a task when it is asked for the next one that is done."""

    def __init__(self) -> None:
        self.running: list[Task] = []

    @property
    def has_room(self) -> bool:
        """Whether it can be given a task."""
        return not self.running

    def begin(self, task: Task) -> None:
        """Take a task."""
        self.running.append(task)

    def next_done(self) -> tuple[Task, str]:
        """Return the next task that is done and the hash of its output; what its step raises is raised."""
        task = self.running.pop()
        return task, task.do()

    def tell_done(self, task: Task) -> None:
        """Say how long a task took."""
        say(f"  done in {time.monotonic() - task.start:.0f} s")


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class Workers:
    """Several processes; each is started when there is a first task for it, and kept for further ones.

    Parameters
    ----------
    count : int
        How many, at most.
    folder : Path
        The run folder.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._count, self._folder = count, folder
        self._workers: list[_Worker] = []

    @property
    def running(self) -> list[Task]:
        """The tasks that are being done."""
        return [worker.task for worker in self._workers if worker.task is not None]

    @property
    def has_room(self) -> bool:
        """Whether one of them is free."""
        return len(self.running) < self._count

    def begin(self, task: Task) -> None:
        """Give a task to one that is free."""
        worker = next((worker for worker in self._workers if worker.task is None), None) or self._another()
        worker.task = task
        with suppress(ConnectionError):  # it has just been ended from outside, which `next_done` will find
            worker.pipe.send(task)

    def next_done(self) -> tuple[Task, str]:
        """Wait for the next task that is done; return it and the hash of its output.

        Raises
        ------
        Exception
            What its step raised.
        TooManyFailuresError
            When its process was killed, by the system for want of memory, say.
        KeyboardInterrupt
            When its process was asked to stop.
        """
        ready = connection.wait([worker.pipe for worker in self._workers if worker.task is not None])[0]
        worker = next(worker for worker in self._workers if worker.pipe is ready)
        task, worker.task = worker.task, None
        assert task is not None
        try:
            outcome = worker.pipe.recv()
        except (EOFError, ConnectionError):
            self._workers.remove(worker)
            raise _lost(worker.process, task) from None
        if isinstance(outcome, Exception):
            raise outcome
        return task, outcome

    def tell_done(self, task: Task) -> None:
        """Say how long a task took."""
        say(f"  {task.step.name}: done in {time.monotonic() - task.start:.0f} s")

    def finish(self) -> None:
        """Wait for the tasks that are being done, and say how they end."""
        while self.running:
            try:
                self.tell_done(self.next_done()[0])
            except Exception as error:
                say(f"  another step has failed, too: {error}")

    def interrupt(self) -> None:
        """Ask them to stop as Ctrl-C does, and wait until they have; a second Ctrl-C ends them at once."""
        try:
            for worker in self._workers:
                if worker.process.is_alive() and worker.process.pid:
                    os.kill(worker.process.pid, signal.SIGINT)
            self.close()
        except KeyboardInterrupt:
            for worker in self._workers:
                worker.process.kill()
            self.close()

    def close(self) -> None:
        """Let them go, and wait until they are gone."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()

    def _another(self) -> _Worker:
        spawn = get_context("spawn")  # torch does not survive a fork
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=work, args=(theirs, self._folder.absolute(), Path.cwd()))
        with _threads(self._count), _stopping_signals_held_back():
            process.start()
        theirs.close()  # so that the pipe ends when the worker does
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]


@contextmanager
def workers_for(folder: Path, count: int) -> Iterator[Alone | Workers]:
    """Yield who does the steps of the run in `folder`: this process, or up to `count` others.

    When the block ends by an error, the steps that are being done are finished first. When it is interrupted, by Ctrl-C
    or SIGTERM, they are asked to stop, and the next run goes on with what they have left.

    Raises
    ------
    RunInUseError
        When workers of an earlier run still work in the folder.
    """
    wait_for_workers(folder)
    if count == 1:
        yield Alone()
        return
    workers = Workers(count, folder)
    with _stopping_signals_as_interrupts():
        try:
            try:
                yield workers
            except Exception:
                workers.finish()
                raise
        except KeyboardInterrupt:
            workers.interrupt()
            raise
        finally:
            workers.close()


def _lost(process: BaseProcess, task: Task) -> BaseException:
    process.join()
    code = process.exitcode or 0
    if code in _FROM_OUTSIDE:
        return KeyboardInterrupt()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return TooManyFailuresError(
        f"the process that did {task.step.name} was ended from outside ({how})",
        "Is there memory enough for so many workers? The same command again continues.",
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Give each process that is started here its share of the cores, unless the user has said how many threads."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(threads_for(count))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


@contextmanager
def _stopping_signals_held_back() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started here until it can do something about it: it would only complain."""
    resource_tracker.ensure_running()  # the first start of a process would start it, which lets signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _stopping_signals_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGINT and SIGTERM, but not twice for the same one; ignored ones stay ignored."""
    first = 0.0

    def interrupt(_: int, __: FrameType | None) -> None:
        nonlocal first
        if not first or time.monotonic() - first > SAME:
            first = first or time.monotonic()
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
        for number in STOPPING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
