"""Another reward model's numbers on the scale of the benchmark's, by texts that both have scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crpo.errors import InputError
from crpo.noveltybench.rows import read_rows
from crpo.noveltybench.utility import first_members

SCORES = 10
LEAST = 50  # texts with a published score
Rewarding = Callable[[Sequence[str], Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """Thresholds for another reward model.

    Attributes
    ----------
    thresholds : tuple of float (9,)
        See `crpo.noveltybench.marks.marks`.
    texts : int
        Generations with a published score that they were found on.
    spearman : float
        Rank correlation of the model's rewards with the published scores on those texts: how far it can stand in.
    """

    thresholds: tuple[float, ...]
    texts: int
    spearman: float

    def account(self) -> dict[str, Any]:
        """Return what is written beside every number that rests on it."""
        return {"rule": "equipercentile", "texts": self.texts, "spearman": round(self.spearman, 4),
                "thresholds": list(self.thresholds)}  # fmt: skip


def calibrate(files: Sequence[Path], rewarding: Rewarding) -> Calibration:
    """Link another reward model to the published scores: equipercentile linking on the same texts.

    The model scores the generations of published files; threshold j is then put where the share of its rewards below is
    the share of published scores up to j. So over those texts the new scores are distributed as the published ones. It
    is not done on the generations under evaluation: every model's scores would then be the same on average.

    Parameters
    ----------
    files : sequence of Path
        Published scores.jsonl with their generations; first members of classes count, later ones hold 0.
    rewarding : callable
        Rewards (n,) of (prompts, generations).

    Raises
    ------
    InputError
        With fewer than 50 texts, or where all rewards or all published scores are equal.
    """
    prompts, texts, scores = published(files)
    rewards = np.asarray(rewarding(prompts, texts), float)
    scored = np.isfinite(rewards)
    if scored.sum() < LEAST or np.ptp(rewards[scored]) == 0 or np.ptp(scores[scored]) == 0:
        found = f"{' and '.join(map(str, files))}: {int(scored.sum())} texts with a published score and a reward"
        raise InputError(found, f"Calibrating needs {LEAST} that differ in both; give more published files.")
    from scipy.stats import spearmanr

    agreement = float(spearmanr(rewards[scored], scores[scored])[0])  # type: ignore[arg-type]
    return Calibration(linked(rewards[scored], scores[scored]), int(scored.sum()), agreement)


def published(files: Sequence[Path]) -> tuple[list[str], list[str], np.ndarray]:
    """Return prompts, generations and scores (n,) of the first members in published files."""
    found: list[tuple[str, str, float]] = []
    for path in files:
        for row in read_rows(path, "prompt", "generations", "partition", "generation_scores"):
            first = first_members(row["partition"])
            for text, score, new in zip(row["generations"], row["generation_scores"], first, strict=True):
                if new and score is not None:
                    found.append((row["prompt"], text, float(score)))
    prompts, texts, scores = ([turn[part] for turn in found] for part in range(3))
    return prompts, texts, np.array(scores, float)  # type: ignore[return-value]


def linked(rewards: np.ndarray, scores: np.ndarray) -> tuple[float, ...]:
    """Return nine thresholds, rising: below threshold j lie as many rewards (n,) as scores (n,) are at most j.

    Half-way between the two rewards next to it; just under the lowest reward where no score is so low, and at the
    highest where all are.
    """
    ordered = np.sort(rewards)
    below = [int((scores <= score).sum()) for score in range(1, SCORES)]
    return tuple(_between(ordered, count) for count in below)


def _between(ordered: np.ndarray, count: int) -> float:
    if count == 0:
        return float(np.nextafter(ordered[0], -np.inf))
    if count == len(ordered):
        return float(ordered[-1])
    return float((ordered[count - 1] + ordered[count]) / 2)
