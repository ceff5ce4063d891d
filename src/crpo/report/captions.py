"""What the captions of figures say of the numbers behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .views import count, floats


def basis(rows: pd.DataFrame, models: list[str] | None = None) -> str:
    """Say how many prompts, tasks, answers and seeds stand behind a number."""
    own = rows if models is None else rows[rows["model"].isin(models)]
    parts = [
        spread(own, "prompts", "prompt"),
        spread(own, "tasks", "task"),
        spread(own, "samples_used", "answer"),
        spread(own, "seeds", "seed"),
    ]
    return ", ".join(part for part in parts if part) + " per number"


def spread(rows: pd.DataFrame, column: str, name: str) -> str:
    """Say a count, or the range of counts; "" where the table does not know them."""
    if column not in rows:
        return ""
    values = floats(rows, column)
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    low, high = float(values.min()), float(values.max())
    amount = count(high) if low == high else f"{count(low)} to {count(high)}"
    return f"{amount} {name if amount == '1' else name + 's'}"


def titled(metric: str) -> str:
    """Return a metric's name as it begins a title."""
    words = metric.replace("_", " ")
    return words[:1].upper() + words[1:]


def listed(*sentences: str) -> str:
    """Join the sentences that are there."""
    return " ".join(sentence for sentence in sentences if sentence)
