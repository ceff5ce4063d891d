"""Variance of a mean when both its prompts and the training seeds are drawn: two crossed sources of chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from crpo.estimates.means import Estimate, mean_over_tasks


class Spread(NamedTuple):
    """How far an estimate may be off: its variance, and the degrees of freedom this variance is known with."""

    variance: float
    freedom: float


def mean_over_seeds(
    values: np.ndarray, tasks: np.ndarray, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Average values per prompt and seed over seeds, then prompts, then tasks, with an interval over prompts and seeds.

    The interval is value ± t·√V, with V and its degrees of freedom from `crossed_spread`: it speaks of new prompts of
    the same tasks and of new seeds of the same training. Three seeds tell the variance between seeds with two degrees
    of freedom, so where seeds differ more than prompts do, the interval is honest but wide (t = 4.3). A single seed
    says nothing of seeds: then this is `mean_over_tasks`, and the interval is about these trained models alone.

    Parameters
    ----------
    values : ndarray of float (p, s)
        A row per prompt, a column per seed, in the metric's unit; NaN is not scored. A prompt counts where any seed
        scored it.
    tasks : ndarray of int (p,)
        Task of each prompt.
    draws, level, seed
        See `mean_over_tasks`; draws are used with a single seed only.

    Returns
    -------
    Estimate
        `low` and `high` are NaN when a task has a single prompt.
    """
    means = prompt_means(values)
    found = mean_over_tasks(means, tasks, draws=draws, level=level, seed=seed)
    seeds = int(np.isfinite(values).any(axis=0).sum())
    if seeds < 2:
        return found
    low, high = interval(found.value, crossed_spread(means, tasks, [values]), level)
    return Estimate(found.value, low, high, found.prompts, found.tasks, seeds)


def crossed_spread(values: np.ndarray, tasks: np.ndarray, grids: Iterable[np.ndarray]) -> Spread:
    """Return the variance of a mean over prompts and tasks, prompts and seeds being drawn from many.

    For a value per prompt p of task t and seed s, taken as effects of prompt, seed, and both together, the mean's
    variance is estimated from mean squares (Searle, Casella & McCulloch 1992, section 4.6, two-way crossed, random):

        V = V_prompts + V_seeds − V_both,

    where V_prompts is the sum over tasks of the variance between prompts' means / (n_t T²), V_seeds the variance
    between seeds' means / S, and V_both the sum over tasks of the residual mean square / (S n_t T²), which is in both
    others. Tasks are fixed; that seeds differ more in one task than in another is part of V_seeds. V is never taken
    below V_prompts or V_seeds. Degrees of freedom are Satterthwaite's. With missing cells the mean squares are
    approximate.

    Parameters
    ----------
    values : ndarray of float (p,)
        One value per prompt, over seeds: what is averaged. NaN is left out.
    tasks : ndarray of int (p,)
        Task of each prompt.
    grids : iterable of ndarray of float (p, s)
        The values by seed, NaN where not scored. Two models whose seeds have nothing to do with each other give two
        grids, which add up. A grid with one column adds nothing, as nothing is known of it.

    Returns
    -------
    Spread
        NaN where a task has a single prompt.
    """
    used = np.isfinite(values)
    values, tasks = values[used], tasks[used]
    rows = [np.flatnonzero(tasks == task) for task in np.unique(tasks)]
    if not rows or min(map(len, rows)) < 2:
        return Spread(np.nan, np.nan)
    prompts = [Spread(values[own].var(ddof=1) / (len(own) * len(rows) ** 2), len(own) - 1) for own in rows]
    seeds, both = [], []
    for grid in grids:
        filled = grid[used][:, np.isfinite(grid[used]).any(axis=0)]
        if filled.shape[1] > 1:
            own_seeds, own_both = _seed_spreads(filled - prompt_means(filled)[:, None], rows)
            seeds.append(own_seeds)
            both += own_both
    least = max(_total(prompts), _total(seeds))
    variance = max(_total(prompts) + _total(seeds) - _total(both), least)
    return Spread(variance, _freedom(variance, [*prompts, *seeds, *both]))


def interval(value: float, spread: Spread, level: float) -> tuple[float, float]:
    """Return value ± t·√V; NaN where V is."""
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, spread.freedom) * np.sqrt(spread.variance)) if spread.variance else 0.0
    return value - half, value + half


def prompt_means(grid: np.ndarray) -> np.ndarray:
    """Return the mean over seeds of each prompt (p,), of those that scored it; NaN where none did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(grid, axis=1)


def _seed_spreads(centred: np.ndarray, rows: Sequence[np.ndarray]) -> tuple[Spread, list[Spread]]:
    """Return what seeds add to the variance, and by task what seed and prompt together do; rows have mean zero."""
    by_task = np.array([prompt_means(centred[own].T) for own in rows])  # (tasks, seeds)
    means = prompt_means(by_task.T)
    n = len(means)
    both = []
    for own, seed_means in zip(rows, by_task, strict=True):
        rest = centred[own] - seed_means
        present = np.isfinite(rest)
        freedom = int(present.sum() - present.any(axis=1).sum() - present.any(axis=0).sum() + 1)
        if freedom > 0:
            square = float((rest[present] ** 2).sum()) / freedom
            both.append(Spread(square / (n * len(own) * len(rows) ** 2), freedom))
    return Spread(float(means.var(ddof=1)) / n, n - 1), both


def _total(spreads: Iterable[Spread]) -> float:
    return float(sum(spread.variance for spread in spreads))


def _freedom(variance: float, spreads: Sequence[Spread]) -> float:
    # Never fewer than the least known part has: what is subtracted could otherwise bring them to nothing.
    below = sum(spread.variance**2 / spread.freedom for spread in spreads)
    return max(variance**2 / below, min(spread.freedom for spread in spreads)) if below > 0 else np.inf
