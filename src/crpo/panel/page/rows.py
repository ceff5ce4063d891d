"""The page's tables, in words."""

from __future__ import annotations

import math
from typing import NamedTuple

from crpo.report.views import count, number

from .content import PanelPage, is_decided, told_pairs
from .numbers import UNKNOWN, capital, place_in_words, rate, span

FOLD_ABOVE = 24
NONE = "–"


class Table(NamedTuple):
    """A table: how many columns are texts, and whether it is folded."""

    heading: str
    columns: list[str]
    rows: list[list[str]]
    texts: int = 1
    folded: bool = False


def rate_tables(page: PanelPage) -> list[Table]:
    """Return a table of win rates for each dimension, with the rate at equal length where lengths are known."""
    tables = []
    for dimension in page.dimensions:
        pairs = told_pairs(page, dimension)
        lengths = "equal_length" in pairs
        columns = ["model", "against", "", "won", "ties", "lost", "win rate", "95 % interval"]
        columns += ["at equal length", "95 % interval", "words more"] if lengths else []
        rows = [_rate(row, lengths=lengths) for row in pairs.to_dict("records")]
        tables.append(Table(capital(dimension), columns, rows, 3, len(rows) > FOLD_ABOVE))
    return tables


def _rate(row: dict, *, lengths: bool) -> list[str]:
    cells = [str(row["model"]), str(row["against"]), "decided" if is_decided(row) else "not decided"]
    cells += [count(row[name]) for name in ("wins", "ties", "losses")]
    cells += [rate(row["win_rate"]), span(row["low"], row["high"])]
    if lengths:
        cells += [rate(row["equal_length"]), span(row["equal_length_low"], row["equal_length_high"]),
                  number(row["words_difference"], 1, UNKNOWN)]  # fmt: skip
    return cells


def strength_table(page: PanelPage) -> Table:
    """Return the strengths of all dimensions."""
    assert page.found.strengths is not None
    rows = [
        [row["dimension"], row["model"], number(row["strength"], 2, UNKNOWN), span(row["low"], row["high"], share=False,
         decimals=2), count(row["votes"])]
        for row in page.found.strengths.to_dict("records")
    ]  # fmt: skip
    return Table("Strengths", ["dimension", "model", "strength", "95 % interval", "votes"], rows, 2)


def mean_table(page: PanelPage) -> Table:
    """Return the mean ratings of all dimensions."""
    assert page.found.means is not None
    rows = [
        [row["dimension"], row["model"], number(row["mean"], 2), span(row["low"], row["high"], share=False, decimals=2),
         *(count(row[name]) for name in ("ratings", "raters", "prompts", "answers"))]
        for row in page.found.means.to_dict("records")
    ]  # fmt: skip
    columns = ["dimension", "model", "mean", "95 % interval", "ratings", "raters", "prompts", "answers"]
    return Table("Mean ratings", columns, rows, 2, len(rows) > FOLD_ABOVE)


def model_table(page: PanelPage) -> Table:
    """Return how many answers of each model were judged, how long they are, and how often they came first."""
    choices = page.kind != "ratings"
    rows = [
        [row["model"], count(row["answers"]), number(row["words"], 1, NONE), count(row["pages"]),
         *([rate(row["first"]) if math.isfinite(row["first"]) else NONE] if choices else [])]
        for row in page.counts.models.to_dict("records")
    ]  # fmt: skip
    columns = ["model", "answers", "words, mean", "times judged", *(["shown first"] if choices else [])]
    return Table("Models", columns, rows)


def position_table(page: PanelPage) -> Table | None:
    """Return how often each place was chosen; None for ratings."""
    table = page.counts.positions
    if table is None:
        return None
    rows = [
        [row["dimension"], place_in_words(row["place"]),
         *(count(row[name]) for name in ("chosen", "ties", "judgements")), rate(row["share"]),
         span(row["low"], row["high"]), rate(row["chance"])]
        for row in table.to_dict("records")
    ]  # fmt: skip
    columns = ["dimension", "shown", "chosen", "ties", "of", "share", "95 % interval", "if even"]
    return Table("Positions", columns, rows, 2)


def rater_rows(page: PanelPage) -> list[dict[str, str]]:
    """Return a row for each rater, with what speaks against their judgements."""
    return [
        {
            "rater": row["rater"],
            "state": "left out" if row["rater"] in page.left_out else "look" if row["flags"] else "",
            "why": row["flags"],
            "items": f"{count(row['items'])} of {count(row['of'])}",
            "seconds": number(row["median_seconds"], 1, NONE),
            "pace": number(row["pace"], 2, NONE),
            "same": number(100 * row["same"], 0, NONE),
            "checks": f"{row['checks'] - row['checks_failed']} of {row['checks']}",
        }
        for row in page.raters.to_dict("records")
    ]


def check_table(page: PanelPage) -> Table:
    """Return how many raters met and passed each attention check."""
    rows = [[row["shown"], count(row["met"]), count(row["passed"])] for row in page.counts.checks.to_dict("records")]
    return Table("Attention checks", ["the text made for it", "raters who met it", "passed"], rows)


def account_rows(page: PanelPage) -> list[list[str]]:
    """Return the design, the raters and what counts."""
    rows = [[row["stage"], row["what"], count(row["count"])] for row in page.counts.account.to_dict("records")]
    what = {"pairwise": "detectable win rate", "best_of": "detectable share of wins"}
    unit = what.get(page.kind, "detectable difference, in standard deviations of a rating")
    found = [
        ["power", f"{unit}, {row['who']}", _detectable(page, row["detectable"])]
        for row in page.counts.power.to_dict("records")
    ]
    rows += found
    return [
        ["" if place and rows[place - 1][0] == stage else stage, *rest] for place, (stage, *rest) in enumerate(rows)
    ]


def _detectable(page: PanelPage, value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return number(value, 2) if page.kind == "ratings" else rate(value)
