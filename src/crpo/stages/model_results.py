"""The results on a model's card: estimates with intervals, and comparisons, from the run's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from crpo.stages.model_facts import ModelFacts
from crpo.stages.present import what_counts


def results(facts: ModelFacts) -> str:
    """Return the results of a model of a run: its estimates, and beside them what it is compared with."""
    if facts.estimates is None:
        return "None: the run has no finished report of this model."
    every = facts.estimates[facts.estimates["split"] == "all"]
    own = every[every["model"] == facts.name]
    against = facts.comparisons.query("split == 'all'") if facts.comparisons is not None else pd.DataFrame()
    by_metric = {row.metric: row for row in against.itertuples()}
    others = {(row.model, row.metric): row for row in every.itertuples()}
    baseline = next((str(row.baseline) for row in by_metric.values()), "")
    rows = []
    for row in own.itertuples():
        found: Any = by_metric.get(row.metric)
        compared = (interval(others.get((baseline, row.metric))), _difference(found), _number(found, "p_holm"),
                    _trained_on(found)) if baseline else ()  # fmt: skip
        rows.append((f"{row.metric}", interval(row), *compared))
    beside = (baseline, "difference", "p (Holm)", "trained on") if baseline else ()
    prompts = int(own["prompts"].max()) if len(own) else 0
    seeds = f"{facts.seeds} training seeds" if facts.seeds > 1 else "one training seed"
    told = f"Means over tasks of {prompts} held-out prompts, {seeds}; in brackets 95 % intervals."
    told += what_counts(facts.arm.recipe.evaluate) if facts.arm is not None else ""
    return f"{told}\n\n{table(('metric', facts.name, *beside), rows)}"


def interval(row: Any) -> str:
    """Return a row of the estimates in words; NaN is not scored, and an interval may be unknown."""
    return "not scored" if row is None or row.value != row.value else _with_ends(f"{row.value:.3g}", row)


def _difference(row: Any) -> str:
    return "" if row is None or row.difference != row.difference else _with_ends(f"{row.difference:+.3g}", row)


def _with_ends(value: str, row: Any) -> str:
    return value if row.low != row.low else f"{value} [{row.low:.3g}, {row.high:.3g}]"


def _number(row: Any, name: str) -> str:
    value = float("nan") if row is None else float(getattr(row, name))
    return "" if value != value else f"{value:.2g}"


def _trained_on(row: Any) -> str:
    return {"True": "yes", "False": "no"}.get(str(getattr(row, "trained_on", "")), "")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
