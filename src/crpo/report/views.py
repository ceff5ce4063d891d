"""How the page writes numbers, and how it reads tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

NOT_SCORED = "not scored"


def unique(table: pd.DataFrame, column: str) -> list:
    """Return a column's distinct values in order of appearance."""
    return list(dict.fromkeys(table[column]))


def where(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    """Return the rows whose column holds the value."""
    return table.loc[(table[column] == value).to_numpy(dtype=bool)]


def floats(table: pd.DataFrame, *columns: str) -> np.ndarray:
    """Return columns as numbers, (n,) for one column and (n, k) for k of them; what is missing is NaN."""
    numbers = table[list(columns)].to_numpy(dtype=float, na_value=np.nan)
    return numbers[:, 0] if len(columns) == 1 else numbers


def number(value: float, decimals: int = 2, missing: str = NOT_SCORED) -> str:
    """Write a number with a true minus sign and thin groups of thousands; NaN becomes ``missing``."""
    if not np.isfinite(value):
        return missing
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")
    return text.replace("-", "\u2212") if float(f"{value:.{decimals}f}") else text.lstrip("-")


def count(value: float) -> str:
    """Write a count; NaN becomes "not counted"."""
    return number(value, 0, "not counted")


def amount(value: float) -> str:
    """Write a number of an account: a count, or three decimals where it is none."""
    return count(value) if not value % 1 or not np.isfinite(value) else number(value, 3)


def percent(share: float) -> str:
    """Write a share as a percentage, never rounding some to none or to all."""
    if 0 < share < 0.005:
        return "<\u202f1\u202f%"
    if 0.995 < share < 1:
        return ">\u202f99\u202f%"
    text = number(100 * share, 0)
    return text if text == NOT_SCORED else f"{text}\u202f%"


def split_order(estimates: pd.DataFrame) -> list[str]:
    """Return the splits, the widest ("all") first."""
    return sorted(unique(estimates, "split"), key=lambda split: split != "all")


def decimals_of(rows: pd.DataFrame) -> int:
    """Return how many decimals show two digits of the metric's typical interval (or three of its values)."""
    width, value = np.abs(floats(rows, "high") - floats(rows, "low")), np.abs(floats(rows, "value"))
    width, value = width[np.isfinite(width) & (width > 0)], value[np.isfinite(value) & (value > 0)]
    if not len(width) and not len(value):
        return 2
    size = np.median(width) if len(width) else value.max() / 10
    return int(np.clip(1 - np.floor(np.log10(size)), 0, 4))
