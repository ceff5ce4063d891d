"""Tables and numbers as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

import numpy as np
import pandas as pd

from crpo.report.views import number
from names import LEVEL, spoken

MISSING = "–"


def table(frame: pd.DataFrame, left: int = 1) -> str:
    """Return a Markdown table of texts; the first `left` columns are set to the left, all others to the right."""
    if frame.empty:
        return "*Nothing to show.*"
    head = [str(name) for name in frame.columns]
    rule = [":--" if place < left else "--:" for place in range(len(head))]
    rows = [[str(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def decimals(value: float, low: float, high: float) -> int:
    """Return how many decimals show two digits of an interval's width, and one more where the value needs it; 0 to 4.

    Without an interval, three digits of the value.
    """
    width = high - low
    if not (np.isfinite(width) and width > 0):
        return _places(abs(value), 3)
    return max(_places(width, 2), min(_places(abs(value), 1), _places(width, 2) + 1))


def signed(value: float, low: float, high: float) -> str:
    """Write a difference with its interval, as "+0.12 [−0.05, 0.29]"; "–" where there is none."""
    if not np.isfinite(value):
        return MISSING
    places = decimals(value, low, high)
    text = number(value, places)
    return f"{'+' if value > 0 and float(f'{value:.{places}f}') else ''}{text}{_interval(low, high, places)}"


def ranged(value: float, low: float, high: float) -> str:
    """Write a value with its interval, as "0.52 [0.48, 0.56]"."""
    if not np.isfinite(value):
        return MISSING
    places = decimals(value, low, high)
    return f"{number(value, places)}{_interval(low, high, places)}"


def digits(value: float, count: int = 3) -> str:
    """Write a number with so many significant digits; whole numbers and large ones whole."""
    if not np.isfinite(value):
        return MISSING
    if value == round(value) or abs(value) >= 10**count:
        return number(value, 0)
    return number(value, max(0, count - 1 - floor(log10(abs(value)))))


def p_value(p: float) -> str:
    """Write a p value."""
    return MISSING if not np.isfinite(p) else "<\u202f.001" if p < 0.001 else number(p, 3)


def verdict(row: dict) -> str:
    """Write a verdict; where the difference is clear but against the claim, it says so."""
    against = row["p_holm"] < LEVEL and row["difference"] * row["direction"] < 0
    told = f"{row['verdict']}: the other way" if against else row["verdict"]
    return f"**{told}**" if row["verdict"] == "yes" or against else told


def tested(rows: pd.DataFrame) -> str:
    """Return a table of tested differences."""
    cells = [
        (row["claim"], row["model"], row["baseline"], signed(row["difference"], row["low"], row["high"]),
         p_value(row["p"]), p_value(row["p_holm"]), digits(row["effect_size"], 2),
         f"{row['prompts']:g} × {row['seeds']:g}", verdict(row))
        for row in rows.to_dict("records")
    ]  # fmt: skip
    names = ["claim", "arm", "against", "difference [95 %]", "p", "p (Holm)", "d_z", "prompts × seeds", "shown"]
    return table(pd.DataFrame(cells, columns=pd.Index(names)), left=3)


def crossed(rows: pd.DataFrame, metrics: Sequence[str], *, star: bool = False) -> str:
    """Return a table with a row for each arm and a column for each metric, of differences.

    Bold: the interval does not hold 0. With `star`, a star is p (Holm) < .05.
    """
    found = {}
    for row in rows.to_dict("records"):
        text = signed(row["difference"], row["low"], row["high"])
        text = f"**{text}**" if row["low"] > 0 or row["high"] < 0 else text
        found[row["model"], row["metric"]] = text + (" \\*" if star and row["p_holm"] < LEVEL else "")
    return _cells(found, list(dict.fromkeys(rows["model"])), metrics)


def spaced(text: str) -> str:
    """Return Markdown with one blank line around headings, tables and pictures, and no line that ends in spaces.

    Without it, what follows a table would be read as its next row.
    """
    kept: list[str] = []
    for line in text.splitlines():
        line = line.rstrip()
        before = kept[-1] if kept else ""
        if before and line and (_kind(before) != _kind(line) or _kind(line) == "#"):
            kept.append("")
        if line or before:
            kept.append(line)
    return "\n".join(kept).strip() + "\n"


def _kind(line: str) -> str:
    return next((sign for sign in ("#", "|", "![") if line.startswith(sign)), "")


def valued(estimates: pd.DataFrame, models: Sequence[str], metrics: Sequence[str]) -> str:
    """Return a table with a row for each model and a column for each metric, of means with intervals; seeds beside."""
    found = {
        (row["model"], row["metric"]): ranged(row["value"], row["low"], row["high"])
        for row in estimates.to_dict("records")
    }
    seeds = estimates.groupby("model")["seeds"].max().map("{:g}".format) if "seeds" in estimates else None
    return _cells(found, models, metrics, seeds)


def _cells(
    found: dict[tuple[str, str], str], models: Sequence[str], metrics: Sequence[str], seeds: pd.Series | None = None
) -> str:
    rows = [[found.get((model, metric), MISSING) for metric in metrics] for model in models]
    frame = pd.DataFrame(rows, columns=pd.Index([spoken(metric) for metric in metrics]))
    if seeds is not None:
        frame.insert(0, "seeds", [seeds.get(model, MISSING) for model in models])
    frame.insert(0, "arm", list(models))
    return table(frame)


def _places(size: float, count: int) -> int:
    """Return the decimals that show so many digits of a number, 0 to 4; 2 for 0."""
    return int(np.clip(count - 1 - floor(log10(size)), 0, 4)) if np.isfinite(size) and size > 0 else 2


def _interval(low: float, high: float, places: int) -> str:
    return f" [{number(low, places)}, {number(high, places)}]" if np.isfinite(low) and np.isfinite(high) else ""
