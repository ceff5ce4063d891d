"""Records read without opening their file for writing: to count what they used, beside a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crpo.errors import InputError
from crpo.records.lines import decoded
from crpo.records.store import ABOUT


def read_records(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a file's records come from, and every record of it, superseded attempts too.

    A torn last line is passed over.

    Raises
    ------
    InputError
        When a line that is not the last is damaged, or the first does not say what the records are of.
    """
    found = []
    rows = path.read_bytes().splitlines(keepends=True)
    for number, row in enumerate(rows, 1):
        try:
            found.append(decoded(row))
        except ValueError as error:
            if number < len(rows):
                raise InputError(f"{path} row {number} is damaged", "Delete that line.") from error
    if not found or ABOUT not in found[0]:
        raise InputError(f"{path} row 1 does not say what the records are of", "Move it away.")
    return found[0][ABOUT], found[1:]
