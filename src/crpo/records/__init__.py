"""Append-only records: one JSON object a line, one write each, so that a kill loses nothing already written."""

from __future__ import annotations

from crpo.records.reading import read_records
from crpo.records.statuses import FINAL, STATUSES, better
from crpo.records.store import RecordStore

__all__ = ["FINAL", "STATUSES", "RecordStore", "better", "read_records"]
