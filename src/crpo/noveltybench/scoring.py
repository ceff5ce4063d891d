"""Rewards into scores and utilities: partitions.jsonl to scores.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.cache_folder import cache_folder
from crpo.kept_numbers import KeptNumbers, key_of
from crpo.learned_rater import LearnedRater
from crpo.models import fingerprint
from crpo.noveltybench.calibration import Calibration
from crpo.noveltybench.marks import THRESHOLDS, is_the_benchmarks, marks
from crpo.noveltybench.rows import Row
from crpo.noveltybench.utility import first_members, utility
from crpo.signals.quality import Quality

TURNS_AT_A_TIME = 256  # rewards that a kill can lose


@dataclass(frozen=True)
class QualityModel:
    """A reward model, or a learned rater (`.npz`), whose rewards of (prompt, generation) are kept on disk.

    Parameters
    ----------
    name : str
        Hub id, folder, or a learned rater's file.
    dtype : str, optional
        Of a reward model's weights; the benchmark's own is used in bfloat16, as its thresholds were found, others in
        float32.
    revision : str, optional
        Commit of a hub model.
    """

    name: str
    dtype: str | None = None
    revision: str | None = None

    def __call__(self, prompts: Sequence[str], generations: Sequence[str]) -> np.ndarray:
        """Return rewards (n,), blank generations' too; NaN where there is none, as one longer than the model reads."""
        if Path(self.name).suffix == ".npz":
            table = pd.DataFrame({"prompt_id": list(prompts), "response": list(generations)})
            return LearnedRater.load(self.name).predict(table)
        kept = KeptNumbers(f"rewards {fingerprint(self.name)} {self.revision} {self._dtype}", cache_folder())
        turns = list(zip(prompts, generations, strict=True))
        found = kept.of([key_of(*turn) for turn in turns], lambda places: self._rewards(turns, places))
        return found.astype(float)

    def _rewards(
        self, turns: Sequence[tuple[str, str]], places: Sequence[int]
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        quality = Quality(self.name, quality_dtype=self._dtype, quality_revision=self.revision)
        for start in range(0, len(places), TURNS_AT_A_TIME):
            own = places[start : start + TURNS_AT_A_TIME]
            yield own, quality.rewards([turns[place] for place in own])

    @property
    def _dtype(self) -> str:
        return self.dtype or ("bfloat16" if is_the_benchmarks(self.name) else "float32")


def score(
    rows: Sequence[Row], model: QualityModel | None, patience: float, calibration: Calibration | None = None
) -> list[Row]:
    """Score the first member of each class, and each prompt's utility.

    Parameters
    ----------
    rows : sequence of Row
        With prompt, generations and partition.
    model : QualityModel, optional
        Without one nothing is scored: null, and utility is null.
    patience : float
        See `crpo.noveltybench.utility.utility`.
    calibration : Calibration, optional
        Thresholds of a model that is not the benchmark's.

    Returns
    -------
    list of Row
        With `generation_scores` (0 for later members, as in published files of version 1.0), `partition_scores`,
        `utility`, `patience`, `quality_model`, `rewards` (of first members, in the model's unit; else null) and, where
        it was calibrated, `calibration`.
    """
    firsts = [first_members(row["partition"]) for row in rows]
    turns = [(row["prompt"], text) for row, first in zip(rows, firsts, strict=True)
             for text, new in zip(row["generations"], first, strict=True) if new]  # fmt: skip
    rewards = np.full(len(turns), np.nan) if model is None else model(*map(list, zip(*turns, strict=True)))
    scores = marks(rewards, calibration.thresholds if calibration else THRESHOLDS)
    ends = np.cumsum([int(first.sum()) for first in firsts])[:-1]
    about = {"quality_model": model.name if model else None, "patience": patience}
    about |= {"calibration": calibration.account()} if calibration else {}
    parts = zip(rows, firsts, np.split(scores, ends), np.split(rewards, ends), strict=True)
    return [_scored(row, first, marked, raw, patience) | about for row, first, marked, raw in parts]


def _scored(row: Row, first: np.ndarray, scores: np.ndarray, rewards: np.ndarray, patience: float) -> Row:
    own = [None if np.isnan(value) else int(value) for value in scores]
    by_generation: list[int | None] = [0] * len(first)
    raw: list[float | None] = [None] * len(first)
    for place, value, reward in zip(np.flatnonzero(first).tolist(), own, rewards.tolist(), strict=True):
        by_generation[place], raw[place] = value, reward
    return {**row, "generation_scores": by_generation, "partition_scores": own,
            "utility": utility(by_generation, row["partition"], patience), "rewards": raw}  # fmt: skip
