"""From a reward model's numbers to NoveltyBench's scores of 1 to 10."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crpo.errors import InputError

REWARD_MODEL = "Skywork/Skywork-Reward-Gemma-2-27B-v0.2"
# Of that model, in bfloat16, and of no other: NoveltyBench's src/score.py.
THRESHOLDS = (-7.71875, -6.28125, -6.0, -5.71875, -5.5, -5.0, -4.375, -3.4375, -2.046875)


def marks(rewards: np.ndarray, thresholds: tuple[float, ...] = THRESHOLDS) -> np.ndarray:
    """Return scores (n,): 1 + the number of thresholds below the reward; NaN where the reward is NaN."""
    rewards = np.asarray(rewards, float)
    found = 1.0 + np.searchsorted(np.asarray(thresholds), rewards, side="left")
    return np.where(np.isnan(rewards), np.nan, found)


def is_the_benchmarks(model: str) -> bool:
    """Return whether a hub id or folder is, by its name, the reward model the thresholds belong to."""
    return model == REWARD_MODEL or Path(model).expanduser().resolve().name == REWARD_MODEL.rpartition("/")[2]


def refuse_others(model: str) -> None:
    """Raise InputError for a reward model that the thresholds do not belong to."""
    if is_the_benchmarks(model):
        return
    found = f"the scores of 1 to 10 belong to the rewards of {REWARD_MODEL}, and the quality model is {model}"
    fix = "Take that model, or map the other's rewards onto its scores: --calibrate (noveltybench.calibrate) with"
    raise InputError(found, f"{fix} a published scores.jsonl that has its generations; such utilities are ours alone.")
