"""Two models on the same prompts: their difference, its interval, a test and an effect size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crpo.estimates.crossed import crossed_spread, interval, prompt_means
from crpo.estimates.means import mean_over_tasks


@dataclass(frozen=True)
class Difference:
    """How much more one model has than another, over prompts both answered.

    Attributes
    ----------
    value, low, high : float
        Mean difference over prompts, then over tasks, in the metric's unit, and the ends of its interval.
    p : float
        Two-sided, in (0, 1]; NaN where nothing is known of the spread.
    effect_size : float
        Standardised paired difference, see `effect_size`.
    prompts, prompts_left_out : int
        How many prompts both were scored on, and how many only one was.
    seeds : int
        How many training seeds of the first model went into it.
    """

    value: float
    low: float
    high: float
    p: float
    effect_size: float
    prompts: int
    prompts_left_out: int
    seeds: int


def paired_difference(
    model: np.ndarray,
    baseline: np.ndarray,
    tasks: np.ndarray,
    *,
    same_seeds: bool = True,
    draws: int = 2000,
    permutations: int = 9999,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare a model with a baseline, prompt by prompt.

    Values are averaged over seeds within a prompt, and differences over prompts, then over tasks. With one seed on both
    sides the interval is `mean_over_tasks` of the differences and p is `sign_flip_p`: both speak of new prompts, for
    these two trained models. With several seeds on a side, prompts and seeds are both random (`crossed_spread`), and p
    is the two-sided one of Student's t = difference/√V: flipping prompts would call significant what another seed would
    not give again. Few seeds can refute a difference but hardly prove a small one: with three, and seeds differing more
    than prompts, |difference| must exceed 4.3 standard errors.

    Parameters
    ----------
    model, baseline : ndarray of float (p, s), (p, s')
        A row per prompt, the same in both, and a column per seed; NaN is not scored. A model from a provider has no
        seed and one column: its difference from the mean over the other's seeds is taken, and nothing is added for its
        own.
    tasks : ndarray of int (p,)
        Task of each prompt.
    same_seeds : bool
        Column k of both is the same seed (and, in a study, the same SFT model): differences are taken seed by seed.
        Otherwise, or where the numbers of columns differ, each side's seeds add their own part.
    draws, level, seed
        See `mean_over_tasks`; the seed is also that of the permutations.
    permutations : int
        See `sign_flip_p`.

    Returns
    -------
    Difference
        Interval and p are NaN where a task has one prompt.
    """
    first, second = prompt_means(model), prompt_means(baseline)
    paired = same_seeds and model.shape == baseline.shape
    gaps = prompt_means(model - baseline) if paired else first - second
    scored = np.isfinite(gaps)
    apart = int((np.isfinite(first) | np.isfinite(second)).sum() - scored.sum())
    gaps, tasks, model, baseline = gaps[scored], tasks[scored], model[scored], baseline[scored]
    found = mean_over_tasks(gaps, tasks, draws=draws, level=level, seed=seed)
    if max(model.shape[1], baseline.shape[1]) > 1:
        spread = crossed_spread(gaps, tasks, [model - baseline] if paired else [model, baseline])
        low, high = interval(found.value, spread, level)
        p = _student_p(found.value, *spread)
    else:
        low, high, p = found.low, found.high, sign_flip_p(gaps, tasks, permutations=permutations, seed=seed)
    seeds = int(np.isfinite(model).any(axis=0).sum())
    return Difference(found.value, low, high, p, effect_size(gaps, tasks), len(gaps), apart, seeds)


def sign_flip_p(gaps: np.ndarray, tasks: np.ndarray, *, permutations: int = 9999, seed: int = 0) -> float:
    """Return the two-sided p of a sign-flip test: were it chance which model is which, prompt by prompt.

    Each prompt's difference keeps its size and gets a sign at random; the statistic is the mean over prompts within
    tasks, then over tasks (Fisher's randomisation test for paired samples; Edgington & Onghena 2007, chapter 5). Exact
    where there are at most `permutations` ways to give signs (13 prompts for 9,999), otherwise (b + 1)/(m + 1) of m
    draws (Phipson & Smyth 2010), so it is never zero. Computed by `scipy.stats.permutation_test`.

    Parameters
    ----------
    gaps : ndarray of float (p,)
        Difference on each prompt; NaN is left out.
    tasks : ndarray of int (p,)
        Task of each prompt.
    permutations : int
        Most sign patterns that are tried.
    seed : int
        Seed of the draws.

    Returns
    -------
    float
        In (0, 1]; NaN where a task has a single prompt, as for intervals.
    """
    from scipy.stats import permutation_test

    weights = task_weights(gaps, tasks)
    used = np.isfinite(gaps)
    if not used.any() or np.min(np.unique(tasks[used], return_counts=True)[1]) < 2:
        return np.nan
    parts = (weights * gaps)[used]
    found = permutation_test(
        (parts, np.zeros(len(parts))),
        lambda one, other, axis: (one - other).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, 2_000_000 // len(parts)),
        rng=np.random.Generator(np.random.PCG64(seed)),
    )
    return float(found.pvalue)


def effect_size(gaps: np.ndarray, tasks: np.ndarray) -> float:
    """Return Cohen's d_z: the mean difference over the standard deviation of the differences between prompts.

    d_z = mean/SD of paired differences (Cohen 1988, page 48; Lakens 2013, equation 6), here with the mean over tasks of
    each task's mean, and SD the root of the mean over tasks of the variance within each (n − 1). No correction for
    small samples. It tells how consistently prompts differ, not how far the two models' answers lie apart: more samples
    per prompt make it larger.

    Parameters
    ----------
    gaps, tasks
        See `sign_flip_p`.

    Returns
    -------
    float
        In standard deviations, signed; NaN where a task has a single prompt, or all differences are equal.
    """
    used = np.isfinite(gaps)
    by_task = [gaps[used & (tasks == task)] for task in np.unique(tasks[used])]
    if not by_task or min(map(len, by_task)) < 2:
        return np.nan
    deviation = float(np.sqrt(np.mean([own.var(ddof=1) for own in by_task])))
    scale = float(np.abs(gaps[used]).max())
    return float(np.mean([own.mean() for own in by_task])) / deviation if deviation > 1e-12 * scale else np.nan


def task_weights(gaps: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Return weights (p,) whose sum with the gaps is their mean over prompts, then over tasks; 0 where not scored."""
    used = np.isfinite(gaps)
    _, codes = np.unique(tasks, return_inverse=True)
    counts = np.bincount(codes, used)
    return np.where(used, 1 / (np.maximum(counts, 1)[codes] * max(int((counts > 0).sum()), 1)), 0.0)


def _student_p(value: float, variance: float, freedom: float) -> float:
    from scipy.stats import t

    return float(2 * t.sf(abs(value) / np.sqrt(variance), freedom)) if variance > 0 else np.nan
