"""Estimates with intervals: means over prompts, then over tasks, with the prompts drawn again by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crpo.grouped import mean_by_group


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its percentile interval; NaN when nothing was scored.
    prompts, tasks : int
        How many prompts and tasks went into it.
    """

    value: float
    low: float
    high: float
    prompts: int
    tasks: int


def mean_over_tasks(
    values: np.ndarray, tasks: np.ndarray, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Average values per prompt over prompts and then over tasks, with a bootstrap interval over prompts.

    Prompts are drawn with replacement within their task, so the interval speaks of new prompts of the same tasks.

    Parameters
    ----------
    values : ndarray of float (p,)
        One value per prompt; NaN is not scored and is left out.
    tasks : ndarray of int (p,)
        Task of each prompt.
    draws : int
        Bootstrap draws.
    level : float
        Coverage of the percentile interval.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        With one prompt per task the interval has no width: say so where it is shown.
    """
    values, tasks = np.asarray(values, float), np.asarray(tasks)
    scored = np.isfinite(values)
    if not scored.any():
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    values = values[scored]
    _, tasks = np.unique(tasks[scored], return_inverse=True)
    center = float(mean_by_group(values, tasks).mean())
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros(draws)
    for task in range(tasks.max() + 1):
        own = values[tasks == task]
        drawn += own[generator.integers(len(own), size=(draws, len(own)))].mean(axis=1)
    low, high = np.quantile(drawn / (tasks.max() + 1), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(center, float(low), float(high), len(values), int(tasks.max() + 1))


def correlation_interval(correlation: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Fisher's interval for a Pearson correlation of n independent pairs; NaN when n < 4."""
    from scipy.stats import norm

    if n < 4 or not np.isfinite(correlation):
        return np.nan, np.nan
    half = norm.ppf((1 + level) / 2) / np.sqrt(n - 3)
    center = np.arctanh(np.clip(correlation, -0.999999, 0.999999))
    return float(np.tanh(center - half)), float(np.tanh(center + half))
