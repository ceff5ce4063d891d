"""Append-only records: one JSON object a line, one write each, so that a kill loses nothing already written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class RecordStore:
    """Records by key in one JSONL file.

    The first record of a key counts. A torn last line (a kill in the middle of a write) is cut off when the store is
    opened; lines before it are whole, because every record is one write.

    Parameters
    ----------
    path : Path
        The file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._records: dict[str, dict[str, Any]] = {}
        self._cut_torn_tail()
        for record in self._read():
            self._records.setdefault(record["key"], record)

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
                for line in file:
                    yield json.loads(line)
