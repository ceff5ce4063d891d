"""Estimates with intervals: means over prompts, then over tasks, with the prompts drawn again by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its interval; NaN when nothing was scored, or nothing is known of the spread.
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

    Prompts are drawn with replacement within their task, so the interval speaks of new prompts of the same tasks. A
    plain percentile interval is far too narrow for a few prompts a task; so each task's drawn deviations are scaled by
    √(n/(n − 1)), and the interval by the ratio of Student's t to the normal quantile, with Satterthwaite's degrees of
    freedom.

    Parameters
    ----------
    values : ndarray of float (p,)
        One value per prompt; NaN is not scored and is left out.
    tasks : ndarray of int (p,)
        Task of each prompt.
    draws : int
        Bootstrap draws.
    level : float
        Coverage of the interval.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        `low` and `high` are NaN when a task has a single prompt: how much its prompts differ is not known.
    """
    values, tasks = np.asarray(values, float), np.asarray(tasks)
    scored = np.isfinite(values)
    if not scored.any():
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    by_task = [values[scored & (tasks == task)] for task in np.unique(tasks[scored])]
    center = float(np.mean([own.mean() for own in by_task]))
    n = int(scored.sum())
    if min(map(len, by_task)) < 2:
        return Estimate(center, np.nan, np.nan, n, len(by_task))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros(draws)
    for own in by_task:
        means = own[generator.integers(len(own), size=(draws, len(own)))].mean(axis=1)
        drawn += (means - own.mean()) * np.sqrt(len(own) / (len(own) - 1)) / len(by_task)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) * _small_sample_factor(by_task, level)
    return Estimate(center, center + float(low), center + float(high), n, len(by_task))


def _small_sample_factor(by_task: list[np.ndarray], level: float) -> float:
    from scipy.stats import norm, t

    variances = np.array([own.var(ddof=1) / len(own) for own in by_task])
    if not variances.any():
        return 1.0
    freedom = variances.sum() ** 2 / sum(v**2 / (len(own) - 1) for v, own in zip(variances, by_task, strict=True))
    tail = (1 + level) / 2
    return float(t.ppf(tail, freedom) / norm.ppf(tail))


def correlation_interval(correlation: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Fisher's interval for a Pearson correlation of n independent pairs; NaN when n < 4."""
    from scipy.stats import norm

    if n < 4 or not np.isfinite(correlation):
        return np.nan, np.nan
    half = norm.ppf((1 + level) / 2) / np.sqrt(n - 3)
    center = np.arctanh(np.clip(correlation, -0.999999, 0.999999))
    return float(np.tanh(center - half)), float(np.tanh(center + half))
