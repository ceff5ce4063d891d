"""Append-only records: one JSON object a line, one write each, so that a kill loses nothing already written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crpo.errors import InputError, RunMismatchError

ABOUT = "about"


class RecordStore:
    """Records by key in one JSONL file.

    The first record of a key counts. A torn last line (a kill in the middle of a write) is cut off when the store is
    opened; lines before it are whole, because every record is one write.

    Parameters
    ----------
    path : Path
        The file; made when missing.
    about : mapping
        What the records come from: model and settings, as plain values. It is the file's first line.

    Raises
    ------
    RunMismatchError
        When the file's records come from something else (exit code 4).
    InputError
        When a line that is not the last is damaged.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._records: dict[str, dict[str, Any]] = {}
        self._cut_torn_tail()
        for record in self._read():
            self._records.setdefault(record["key"], record)
        if ABOUT not in self._records:
            self.append({"key": ABOUT, **about})
        before = self._records.pop(ABOUT)
        for name, value in about.items():
            if before.get(name) != value:
                raise RunMismatchError(
                    f"{path} holds records of {name} {before.get(name)!r}, this is {value!r}",
                    "Choose another output, or delete the file.",
                )

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._records[key]

    def all(self) -> list[dict[str, Any]]:
        """Return every record, in the order they were written."""
        return list(self._records.values())

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record, which must have a `key`; a key already there is left as it is."""
        if record["key"] in self._records:
            return
        line = (json.dumps(record, ensure_ascii=True, allow_nan=False, sort_keys=True) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, before)
                raise OSError(28, "disk full while writing a record", str(self.path))
        finally:
            os.close(descriptor)
        self._records[record["key"]] = dict(record)

    def _cut_torn_tail(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def _read(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    try:
                        record = json.loads(line)
                        yield {"key": record["key"], **record}
                    except (ValueError, TypeError, KeyError) as error:
                        raise InputError(f"{self.path} row {number} is damaged", "Delete that line.") from error
