"""Pearmut: a campaign with sliders out, its log of annotations in.

Format: github.com/zouharvi/pearmut, README (campaign: info, campaign_id, data by user, document and item; `tgt` by
model) and server/results_export.py (log: a line each with annotation, item, user_id, item_i, actions). Where `tgt`
wants names of models it gets answer_ids, which say nothing. Pearmut rates every answer by itself: of a pair, or of n,
the answer with the highest slider has won, and equal ones are a tie.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crpo.errors import InputError
from crpo.panel.campaign import TIE
from crpo.panel.exchange.sheets import Judged, Sheet, Sheets, json_text

HIGHEST = 100  # of a slider, where answers are compared
MEDIA = ("<audio ", "<video ", "<img ", "<iframe ")  # pearmut would run such an answer as a page's element
BLANK = "\u200b"


def files(sheets: Sheets) -> dict[str, str]:
    """Return `campaign.json`, for `pearmut add`."""
    settings = sheets.campaign.settings
    low, high = settings.scale if settings.kind == "ratings" else (0, HIGHEST)
    sliders = [{"name": _slider(name), "min": low, "max": high, "step": 1} for name in settings.dimensions]
    text = html.escape(sheets.campaign.instructions).replace("\n", "<br>")
    info = {"assignment": "task-based", "protocol": "DA", "shuffle": False, "sliders": sliders, "instructions": text}
    data = [[[_item(sheet)] for sheet in own] for own in sheets.raters]
    return {"campaign.json": json_text({"info": info, "campaign_id": f"panel_{sheets.campaign.of}", "data": data})}


def _item(sheet: Sheet) -> dict[str, Any]:
    shown = {answer.answer_id: _harmless(answer.response) for answer in sheet.answers}
    return {"item_id": sheet.key, "src": _harmless(sheet.answers[0].prompt), "tgt": shown}


def _harmless(text: str) -> str:
    return BLANK + text if text.startswith(MEDIA) else text


def _slider(dimension: str) -> str:
    return dimension.replace(" ", "_")  # it becomes a part of an HTML id


def judged(sheets: Sheets, path: Path) -> Iterator[Judged]:
    """Yield the judgements of a log (JSON lines); of two entries of a user on a page the later one counts."""
    latest: dict[tuple[str, str], tuple[Sheet, Mapping[str, Any], float]] = {}
    for number, line in enumerate(_lines(path), 1):
        where = f"{path} row {number}"
        try:
            entry = json.loads(line)
            pages = list(zip(entry["item"], entry["annotation"], strict=True))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where} is no annotation of pearmut", "Download the annotations again.") from error
        for item, annotation in pages:
            sheet = sheets.find(str(item.get("item_id")), where)
            if annotation is not None:
                seconds = _seconds(entry.get("actions") or []) / len(pages)
                latest[str(entry.get("user_id")), sheet.key] = sheet, annotation, seconds
    for (user, key), (sheet, annotation, seconds) in latest.items():
        for dimension in sheets.campaign.settings.dimensions:
            scores = _scores(sheet, annotation, dimension, f"{path}, page {key}")
            value = _value(sheets, sheet, scores)
            if value is not None:
                yield Judged(user, sheet.item_id, sheet.answer_ids, dimension, value, seconds)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Check its name.") from error


def _scores(sheet: Sheet, annotation: Mapping[str, Any], dimension: str, where: str) -> dict[str, float]:
    name, ids = _slider(dimension), [answer.answer_id for answer in sheet.answers]
    try:
        return {answer: float(annotation[answer]["sliders"][name]) for answer in ids}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: not every answer has a slider {name!r}", "Export the campaign anew.") from error


def _value(sheets: Sheets, sheet: Sheet, scores: Mapping[str, float]) -> str | None:
    """Return the judgement; None where equal sliders name no winner and ties are not allowed."""
    settings = sheets.campaign.settings
    if settings.kind == "ratings":
        return str(round(scores[sheet.answers[0].answer_id]))
    best = [answer for answer, score in scores.items() if score == max(scores.values())]
    if len(best) == 1:
        return best[0]
    return TIE if settings.kind == "pairwise" and settings.ties else None


def _seconds(actions: list[Mapping[str, Any]]) -> float:
    times = [float(action["time"]) for action in actions if "time" in action]
    return times[-1] - times[0] if len(times) > 1 else math.nan
