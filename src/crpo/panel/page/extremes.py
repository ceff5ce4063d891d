"""The answers that did best and worst, prompt by prompt."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from crpo.report.answers import Answer, folded
from crpo.report.views import number, unique, where

from .content import PanelPage
from .numbers import rate, several

PROMPTS_SHOWN = 4


class Extreme(NamedTuple):
    """An answer at the top or the bottom: which end, the model, what it got, the text."""

    end: str
    model: str
    got: str
    text: Answer


def extremes(page: PanelPage) -> tuple[list[tuple[str, list[tuple[str, list[Extreme]]]]], int]:
    """Return, for the first prompts, the best and the worst answer on each dimension; and how many prompts there are.

    Prompts come in the order of their names, so nothing is picked by hand. Of answers equally good the one judged
    more often stands there.
    """
    table = page.counts.answers
    prompts = unique(table, "prompt_id")
    found = []
    for prompt_id in prompts[:PROMPTS_SHOWN]:
        own = where(table, "prompt_id", prompt_id)
        parts = [(dimension, where(own, "dimension", dimension)) for dimension in page.dimensions]
        ends = [(dimension, _ends(page, part)) for dimension, part in parts if len(part) > 1]
        found.append((str(own["prompt"].iloc[0]), ends))
    return found, len(prompts)


def _ends(page: PanelPage, own: pd.DataFrame) -> list[Extreme]:
    most, least = ("highest mean", "lowest mean") if page.kind == "ratings" else ("won most", "won least")
    ranked = own.sort_values(["value", "judged"], ascending=[False, False], kind="stable")
    last = own.sort_values(["value", "judged"], ascending=[True, False], kind="stable")
    return [_extreme(page, most, ranked.iloc[0]), _extreme(page, least, last.iloc[0])]


def _extreme(page: PanelPage, end: str, row: pd.Series) -> Extreme:
    value = number(row["value"], 2) if page.kind == "ratings" else rate(row["value"])
    unit = "rating" if page.kind == "ratings" else "page"
    return Extreme(
        end, str(row["model"]), f"{value} of {several(int(row['judged']), unit)}", folded(str(row["response"]))
    )
