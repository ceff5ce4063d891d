"""What was found, in a few sentences: who beats whom, and what is not decided."""

from __future__ import annotations

import math

import pandas as pd

from .content import PanelPage, is_decided, told_pairs
from .numbers import capital, listed, rate, several, span

MOST = 4  # sentences on single pairs, for each dimension


def headline(page: PanelPage) -> list[tuple[str, list[str]]]:
    """Return the sentences of each dimension; one that says so where nothing was judged."""
    if not page.count("judgements", "that count here"):
        return [("", ["Nobody has judged anything that counts yet."])]
    tell = _rated if page.kind == "ratings" else _voted
    return [(dimension, tell(page, dimension)) for dimension in page.dimensions]


def _voted(page: PanelPage, dimension: str) -> list[str]:
    rows = told_pairs(page, dimension).to_dict("records")
    decided = [row for row in rows if is_decided(row)]
    order = sorted(decided, key=lambda row: -abs(row["win_rate"] - 0.5))
    rest = [row for row in rows if not is_decided(row)]
    more = f"{several(len(decided) - MOST, 'more pair is', 'more pairs are')} decided." if len(decided) > MOST else ""
    first = capital(_how_many(len(decided), len(rows)))
    found = [first, *map(_won, order[:MOST]), more, _open(rest), _apart_from_mean(page, dimension)]
    return [sentence for sentence in found if sentence]


def _how_many(decided: int, pairs: int) -> str:
    if not pairs:
        return "no two models were compared."
    if pairs == 1:
        return "the order of the two models is decided." if decided else "the order of the two models is not decided."
    return f"of {pairs} pairs of models, the order of {decided or 'none'} is decided."


def _won(row: dict) -> str:
    wins = row["win_rate"] > 0.5
    winner, loser = (row["model"], row["against"]) if wins else (row["against"], row["model"])
    ends = (row["win_rate"], row["low"], row["high"])
    value, low, high = ends if wins else (1 - ends[0], 1 - ends[2], 1 - ends[1])
    return f"{winner} beats {loser} in {rate(value)} of votes, 95 % interval {span(low, high)}{_at_equal_length(row)}."


def _at_equal_length(row: dict) -> str:
    """Say where the lead is not decided once both answers are equally long."""
    equal, low, high = (row.get(f"equal_length{end}", math.nan) for end in ("", "_low", "_high"))
    if not math.isfinite(equal) or is_decided({"low": low, "high": high}):
        return ""
    return "; were their answers equally long, it would not be decided"


def _open(rows: list[dict]) -> str:
    if not rows:
        return ""
    if len(rows) > MOST:
        return f"Not decided: {several(len(rows), 'pair')}, whose intervals hold 50 % or are not known."
    return f"Not decided: {'; '.join(map(_against, rows))}."


def _against(row: dict) -> str:
    where = (
        f"{rate(row['win_rate'])}, {span(row['low'], row['high'])}" if math.isfinite(row["low"]) else "too few votes"
    )
    return f"{row['model']} against {row['against']} ({where})"


def _apart_from_mean(page: PanelPage, dimension: str) -> str:
    """Name the models whose strength over all comparisons differs from the mean of the models."""
    assert page.found.strengths is not None
    own = page.found.strengths[page.found.strengths["dimension"] == dimension]
    above, below = own[own["low"] > 0]["model"].tolist(), own[own["high"] < 0]["model"].tolist()
    if len(own) < 3 or not above + below:
        return ""
    sides = [f"{listed(_some(names))} {'is' if len(names) == 1 else 'are'} {word}"
             for names, word in ((above, "stronger"), (below, "weaker")) if names]  # fmt: skip
    return f"Over all comparisons, {' and '.join(sides)} than the mean of the models."


def _rated(page: PanelPage, dimension: str) -> list[str]:
    assert page.found.means is not None
    own = page.found.means[page.found.means["dimension"] == dimension]
    if own.empty:
        return ["Nothing was rated."]
    best, others = own.iloc[0], own.iloc[1:]
    if len(others) and (others["mean"] == best["mean"]).all():
        return [f"All models have the same mean, {best['mean']:.2f}."]
    ends = (
        f", 95 % interval {span(best['low'], best['high'], share=False, decimals=2)}"
        if best["low"] == best["low"]
        else ""
    )
    first = f"{best['model']} has the highest mean, {best['mean']:.2f}{ends}."
    return [first, *([_apart(best, others)] if len(others) else [])]


def _apart(best: pd.Series, others: pd.DataFrame) -> str:
    below = others["high"] < best["low"]
    apart, near = others[below]["model"].tolist(), others[~below]["model"].tolist()
    parts = [f"lies above {_those(apart)}"] if apart else []
    parts += [f"{'but ' if apart else ''}does not lie above {_those(near)}: that order is not settled"] if near else []
    return f"Its interval {', '.join(parts)}."


def _those(names: list[str]) -> str:
    return f"{'that' if len(names) == 1 else 'those'} of {listed(_some(names))}"


def _some(names: list[str]) -> list[str]:
    return names if len(names) <= MOST else [*names[: MOST - 1], f"{len(names) - MOST + 1} more"]
