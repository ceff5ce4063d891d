"""A step of a run: a stage, its settings, and where it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Folders = Mapping[str, Path]


@dataclass(frozen=True)
class Step:
    """One step, in a folder of its own.

    Attributes
    ----------
    name : str
        Name and folder, for example "train/CrPO-nov".
    work : callable
        Called with the folder to write into and the folders of the steps it needs, by name.
    settings : mapping
        Everything the step's result depends on besides its inputs, as plain values; hashed.
    needs : tuple of str
        Earlier steps whose output it reads.
    reads : tuple of Path
        Files outside the run folder it reads; hashed by content.
    apart : str
        Steps that name the same thing here are never done side by side: they write one file, or share a budget.
    """

    name: str
    work: Callable[[Path, Folders], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    apart: str = ""
