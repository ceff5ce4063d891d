"""Progress: a bar with the time left on a terminal; plain lines elsewhere, and where several processes speak."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 20.0
_speaker = ""  # whom this process speaks for, where it is one of several


def say(text: str) -> None:
    """Tell the person at the command line something, on standard error."""
    # In one write, so that no other process can speak in between.
    sys.stderr.write(f"  {_speaker}: {text.strip()}\n" if _speaker else f"{text}\n")
    sys.stderr.flush()


def speak_for(name: str) -> None:
    """Say from now on, in every line, that it is about `name`, and show no bars: other processes speak, too."""
    global _speaker
    _speaker = name


@contextmanager
def track(label: str, total: int) -> Iterator[Callable[..., None]]:
    """Show the progress of something that may take more than a few seconds.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        How many units there are.

    Yields
    ------
    callable
        Call it with the number of units done since the last call and, where there is more to tell, a note: what was
        spent so far, say.
    """
    if sys.stderr.isatty() and not _speaker:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda units, note="": bar.update(task, advance=units, description=f"{label} {note}".strip())
    else:
        yield _lines(label, total)


def _lines(label: str, total: int) -> Callable[..., None]:
    start = last = time.monotonic()
    done = 0

    def advance(units: int, note: str = "") -> None:
        nonlocal done, last
        done += units
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES and total:
            last = now
            left = (now - start) * (total - done) / max(done, 1)
            say(f"  {label}: {done:,} of {total:,}, about {left:.0f} s left{f', {note}' if note else ''}")

    return advance
