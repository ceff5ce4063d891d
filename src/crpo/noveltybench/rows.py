"""The benchmark's files: one JSON object a line and prompt, checked field by field, written whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from crpo.errors import InputError
from crpo.tables import write_whole

Row = dict[str, Any]
GENERATIONS, PARTITIONS, SCORES, SUMMARY = "generations.jsonl", "partitions.jsonl", "scores.jsonl", "summary.json"
FILES = (GENERATIONS, PARTITIONS, SCORES, SUMMARY)


def read_rows(path: Path, *fields: str) -> list[Row]:
    """Read one of the benchmark's files; fields that nobody asks for are kept as they are.

    Parameters
    ----------
    path : Path
    fields : str
        What every row must have beside its id: "prompt", "generations", "partition", "generation_scores".

    Raises
    ------
    InputError
        Naming file, row and field: for a line that is no JSON object, a field that is missing or of another kind, an id
        that was there before, and lists of different lengths in one row.
    """
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        row = _object(line, f"{path} row {number}")
        for field in ("id", *fields):
            _check_field(row, field, f"{path} row {number}")
        before = seen.setdefault(str(row["id"]), number)
        if before != number:
            raise InputError(f"{path} row {number}: id {row['id']!r} was in row {before} already", "Keep one.")
        _check_lengths(row, [field for field in fields if field in _LISTS], f"{path} row {number}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} has no rows", "Every prompt is a row.")
    return rows


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as JSON lines, whole or not at all; NaN is null."""
    text = "".join(json.dumps(_without_nan(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_whole(text.encode("utf-8", "replace"), path)


def generations_that_count(rows: Sequence[Row], field: str, k: int | None, where: str) -> int:
    """Return how many generations of each prompt count: k, or without one as many as every row has.

    Raises
    ------
    InputError
        Naming the first prompt that has fewer than k, or another number than the prompt before it.
    """
    sizes = [len(row[field]) for row in rows]
    least = min(sizes)
    for number, (row, size, before) in enumerate(zip(rows, sizes, [sizes[0], *sizes[:-1]], strict=True), 1):
        if size < k if k is not None else size != before:
            told = f"fewer than k = {k}" if k is not None else f"the one before it {before}"
            fix = f"Draw the missing ones, or count the first {least} of each: --k {least}."
            raise InputError(f"{where} row {number}: prompt {row['id']!r} has {size} generations, {told}", fix)
    return sizes[0] if k is None else k


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        there = ", ".join(name for name in FILES if (path.parent / name).exists()) or "none of the benchmark's files"
        raise InputError(f"{path} does not exist", f"The folder has: {there}.") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Check its name and who may read it.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start:,})", "Save it as UTF-8.") from error


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({str(error).partition(':')[0]})",
                         "Put one JSON object on each line; a torn last line can be deleted.") from error  # fmt: skip
    if not isinstance(row, dict):
        raise InputError(f"{where}: a {type(row).__name__} where an object is expected", "Put one object on each line.")
    return row


def _check_field(row: Row, field: str, where: str) -> None:
    if field not in row:
        raise InputError(f"{where}: field {field!r} is missing", f"The row has: {', '.join(row) or 'none'}.")
    expected, fits = _FIELDS[field]
    if not fits(row[field]):
        found = f"{where}, field {field!r}: found {str(row[field])[:60]!r}, expected {expected}"
        raise InputError(found, "Correct it.")


def _check_lengths(row: Row, fields: Sequence[str], where: str) -> None:
    sizes = {field: len(row[field]) for field in fields}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} {field}" for field, size in sizes.items())
        raise InputError(f"{where}: {told}", "A row's lists have an entry for each generation.")


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(fits, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_class(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_score(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and not value < 0 and not math.isinf(value))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "id": ("a name", lambda value: isinstance(value, str | int) and str(value) != ""),
    "prompt": ("a text", _is_text),
    "generations": ("a list of texts", _list_of(_is_text)),
    "partition": ("a list of class numbers from 0", _list_of(_is_class)),
    "generation_scores": ("a list of scores from 0, or null", _list_of(_is_score)),
}  # fmt: skip
_LISTS = ("generations", "partition", "generation_scores")
