"""scores.jsonl into two numbers, checked against what the file itself says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crpo.estimates import Estimate, mean_over_tasks
from crpo.noveltybench.rows import Row
from crpo.noveltybench.utility import distinct, utility

SAME = 1e-9  # utilities closer than this are equal


@dataclass(frozen=True)
class Summary:
    """The two numbers of a run, and what there is to know about them.

    Attributes
    ----------
    distinct, utility : Estimate
        Means over prompts with bootstrap intervals over prompts; utility is NaN where nothing is scored.
    facts : dict
        prompts, k, patience, not_scored (prompts without a utility), blank_generations, and judge, quality_model and
        calibration where the rows name them.
    notes : list of str
        What does not agree, a sentence each.
    """

    distinct: Estimate
    utility: Estimate
    facts: dict[str, Any]
    notes: list[str]

    def content(self) -> dict[str, Any]:
        """Return summary.json: the benchmark's two fields first, NaN as None."""
        number = {"mean_distinct": self.distinct.value, "mean_utility": _known(self.utility.value)}
        spread = {f"{name}_interval": [_known(found.low), _known(found.high)]
                  for name, found in (("mean_distinct", self.distinct), ("mean_utility", self.utility))}  # fmt: skip
        return {**number, **spread, **self.facts, "notes": self.notes}


def summarise(rows: Sequence[Row], k: int, patience: float, *, draws: int = 2000, seed: int = 0) -> Summary:
    """Count classes and recompute utilities from scores and partition, over each prompt's first k generations.

    The first k generations' classes are the same however many follow, as each is compared with earlier ones only.

    Parameters
    ----------
    rows : sequence of Row
        With partition and generation_scores, k entries at least (`crpo.noveltybench.rows.generations_that_count`).
    k : int
    patience : float
        See `crpo.noveltybench.utility.utility`.
    draws, seed
        See `crpo.estimates.mean_over_tasks`.
    """
    found = by_prompt(rows, k, patience)
    utilities = found["utility"].to_numpy()
    facts = {"prompts": len(rows), "k": k, "patience": patience, "not_scored": int(np.isnan(utilities).sum()),
             **_blank(rows, k), **_named(rows)}  # fmt: skip
    whole = all(len(row["partition"]) == k for row in rows)
    notes = [*_about_distinct(rows), *(_about_utility(rows, utilities, patience) if whole else _longer(rows, k))]
    means = [mean_of(found[name], draws, seed) for name in ("distinct", "utility")]
    return Summary(means[0], means[1], facts, [*notes, *_about_mixture(rows)])


def by_prompt(rows: Sequence[Row], k: int, patience: float) -> pd.DataFrame:
    """Return distinct and utility of each prompt, indexed by id."""
    parted = [row["partition"][:k] for row in rows]
    utilities = [utility(row["generation_scores"][:k], own, patience) for row, own in zip(rows, parted, strict=True)]
    ids = pd.Index([str(row["id"]) for row in rows], name="id")
    return pd.DataFrame({"distinct": [float(distinct(own)) for own in parted], "utility": utilities}, index=ids)


def mean_of(values: pd.Series, draws: int, seed: int) -> Estimate:
    """Return the mean over prompts of a column of `by_prompt`, with its interval over prompts."""
    return mean_over_tasks(values.to_numpy(float), np.zeros(len(values), int), draws=draws, seed=seed)


def about_earlier(path: Path, found: Summary) -> list[str]:
    """Return what there is to say of a summary.json that another made: that its mean_distinct is one too low, say."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["mean_distinct"]
        one_too_low = abs(float(before) - (found.distinct.value - 1)) < SAME
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not one_too_low:
        return []
    return [f"{path.name} held mean_distinct {before:.6g}, one too low: it was taken from the field 'distinct'"]


def _about_distinct(rows: Sequence[Row]) -> list[str]:
    told = [row for row in rows if isinstance(row.get("distinct"), int)]
    off = Counter(row["distinct"] - distinct(row["partition"]) for row in told)
    if set(off) == {-1}:
        return [f"the field 'distinct' is one too low in all {len(told):,} rows: it holds the highest class number, "
                "and classes are numbered from 0; mean_distinct counts the classes themselves"]  # fmt: skip
    wrong = len(told) - off[0]
    return [f"the field 'distinct' is not the number of classes in {wrong:,} of {len(told):,} rows"] if wrong else []


def _about_utility(rows: Sequence[Row], utilities: np.ndarray, patience: float) -> list[str]:
    stated = np.array([np.nan if row.get("utility") is None else float(row["utility"]) for row in rows])
    differ = np.abs(stated - utilities)
    wrong = int((differ > SAME).sum())
    if not wrong:
        return []
    return [f"the field 'utility' differs from scores and partition at patience {patience:g} in {wrong:,} of "
            f"{len(rows):,} rows, by up to {np.nanmax(differ):.3g}: it was made with another patience, or changed; "
            "mean_utility is recomputed"]  # fmt: skip


def _longer(rows: Sequence[Row], k: int) -> list[str]:
    more = sum(len(row["partition"]) > k for row in rows)
    return [f"{more:,} of {len(rows):,} prompts have more than {k} generations; their first {k} count"]


def _about_mixture(rows: Sequence[Row]) -> list[str]:
    found = []
    for field in ("model", "judge", "quality_model", "patience"):
        kinds = {str(row[field]) for row in rows if field in row}
        if len(kinds) > 1:
            found.append(f"rows of {len(kinds)} different values of {field!r} in one file")
    return found


def _blank(rows: Sequence[Row], k: int) -> dict[str, int]:
    texts = [text for row in rows for text in row.get("generations", [])[:k]]
    return {"blank_generations": sum(not str(text).strip() for text in texts)} if texts else {}


def _named(rows: Sequence[Row]) -> dict[str, Any]:
    return {field: rows[0][field] for field in ("model", "judge", "quality_model", "calibration") if field in rows[0]}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
