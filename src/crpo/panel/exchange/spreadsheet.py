"""Spreadsheets: a CSV for each rater to fill in, in any spreadsheet program, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from crpo.errors import InputError
from crpo.panel.exchange.sheets import LETTERS, Judged, Sheet, Sheets, labels, question, value_of
from crpo.panel.folder import csv_text
from crpo.panel.settings import Settings
from crpo.tables import load_table

FIX = "Give a filled-in sheet of this export."


def files(sheets: Sheets) -> dict[str, str]:
    """Return `rater-01.csv` and so on: page, task, the answers A, B, …, and an empty column for each dimension.

    Formulas in texts are made inert (`crpo.panel.inert`). What may be written is in the column's head.
    """
    settings = sheets.campaign.settings
    heads = _heads(settings, sheets.raters[0][0])
    out = {}
    for own in sheets.raters:
        rows = [
            {"page": sheet.key, "task": sheet.answers[0].prompt, **dict.fromkeys(heads, ""),
             **{letter: answer.response for letter, answer in zip(LETTERS, sheet.answers, strict=False)}}
            for sheet in own
        ]  # fmt: skip
        # A mark at the beginning, by which Excel knows UTF-8.
        out[f"{sheets.name(own[0].rater)}.csv"] = "\ufeff" + csv_text(list(rows[0]), rows)
    return out


def _heads(settings: Settings, sheet: Sheet) -> dict[str, str]:
    """Return the head of each dimension's column."""
    known = " / ".join(labels(settings, sheet.answers))  # no comma: a program may part cells at it
    return {f"{question(settings, dimension)} ({known})": dimension for dimension in settings.dimensions}


def judged(sheets: Sheets, path: Path) -> Iterator[Judged]:
    """Yield the judgements of a filled-in sheet; empty cells are not judged. The file's name says who the rater is."""
    settings, table = sheets.campaign.settings, load_table(path)
    heads = _heads(settings, sheets.raters[0][0])
    missing = [head for head in ("page", *heads) if head not in table]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}", FIX)
    for row, cells in zip(table.index, table.to_dict("records"), strict=True):
        sheet = sheets.find(str(cells["page"]), f"{path} row {row}")
        for head, dimension in heads.items():
            label = str(cells[head] if cells[head] is not None else "").strip().removesuffix(".0")
            if label:
                value = value_of(sheet, settings, label.capitalize(), f"{path} row {row}, column {head!r}")
                yield Judged(path.stem, sheet.item_id, sheet.answer_ids, dimension, value, math.nan)
