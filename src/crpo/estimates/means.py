"""Estimates with intervals: means over prompts, and over tasks, with the prompts drawn again by bootstrap."""

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
    prompts, tasks, seeds : int
        How many prompts, tasks and training seeds went into it.
    """

    value: float
    low: float
    high: float
    prompts: int
    tasks: int
    seeds: int = 1


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


def weighted_mean(
    values: np.ndarray, weights: np.ndarray, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Average values per prompt, weighted, with a bootstrap interval over prompts.

    Prompts are drawn with replacement, each with its weight. As in `mean_over_tasks` the deviations are scaled by
    √(n/(n − 1)) and by the ratio of Student's t (n − 1 degrees of freedom) to the normal quantile. With weights as
    unequal as 33 and 1,500 answers the interval covers 92 % where it says 95 % (tests/test_estimates.py).

    Parameters
    ----------
    values : ndarray of float (p,)
        One value per prompt; NaN is not scored and is left out.
    weights : ndarray of float (p,)
        ≥ 0, for example the number of answers.
    draws, level, seed
        See `mean_over_tasks`.

    Returns
    -------
    Estimate
        NaN where nothing has weight; `low` and `high` are NaN for a single prompt.
    """
    used = np.isfinite(values) & (np.asarray(weights) > 0)
    own, weight = np.asarray(values, float)[used], np.asarray(weights, float)[used]
    n = len(own)
    if not n:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    center = float(np.average(own, weights=weight))
    if n < 2:
        return Estimate(center, np.nan, np.nan, n, 1)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(n, size=(draws, n))
    means = (weight * own)[drawn].sum(axis=1) / weight[drawn].sum(axis=1)
    quantiles = np.quantile((means - center) * np.sqrt(n / (n - 1)), [(1 - level) / 2, (1 + level) / 2])
    low, high = center + quantiles * _small_sample_factor([own], level)
    return Estimate(center, float(low), float(high), n, 1)


def _small_sample_factor(by_task: list[np.ndarray], level: float) -> float:
    from scipy.stats import norm, t

    variances = np.array([own.var(ddof=1) / len(own) for own in by_task])
    if not variances.any():
        return 1.0
    freedom = variances.sum() ** 2 / sum(v**2 / (len(own) - 1) for v, own in zip(variances, by_task, strict=True))
    tail = (1 + level) / 2
    return float(t.ppf(tail, freedom) / norm.ppf(tail))
