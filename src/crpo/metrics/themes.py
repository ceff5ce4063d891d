"""Themes: into how many classes of same answers a prompt's samples fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from crpo.metrics.samples import usable
from crpo.signals.equivalence_rarity import build_judge, classes_by_prompt


@dataclass(frozen=True)
class Themes:
    """Number of classes of same answers among a prompt's samples, from 1 to their number; NaN where there is none.

    Classes are those of `crpo.signals.equivalence_rarity.classes_by_prompt`: NoveltyBench's greedy partition, with the
    most frequent answers first instead of the order they were drawn in. Compare equal numbers of samples only.

    Parameters
    ----------
    judge : str or mapping
        Which answers are the same; see `crpo.signals.equivalence_rarity.EquivalenceRarity`.
    embedder : str
        Of a judge that has one and does not set it.
    """

    judge: Any = "embedding"
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        build_judge(self.judge, self.embedder)

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        parted = classes_by_prompt(build_judge(self.judge, self.embedder), used)
        found = {used["prompt_id"].iloc[rows[0]]: float(classes.max() + 1) for rows, classes in parted}
        return pd.Series(found, dtype=float).reindex(sorted(set(samples["prompt_id"])))
