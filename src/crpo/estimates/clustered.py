"""Intervals of what people's judgements tell, when prompts and raters are both drawn from many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

AT_ONCE = 4_000_000  # weights in memory


def clustered_spread(
    clusters: Sequence[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray], n: int, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of statistics of judgements over new prompts and new raters, by bootstrap.

    Whole prompts are drawn with replacement, then whole raters, then whole prompt-and-rater cells, and

        V = V_prompts + V_raters − V_cells,

    as in cluster-robust variances for two ways of clustering (Cameron, Gelbach & Miller 2011); drawing prompts and
    raters at once would count a vote's own chance three times (Owen 2007). Each part is scaled by c/(c − 1) for c
    clusters, and V is never below V_prompts or V_raters. Where only prompts or only raters are known, or there is a
    single one of the others, V is that of the known ones, and nothing is said of the rest; where neither is, votes are
    drawn.

    Parameters
    ----------
    clusters : sequence of ndarray of int (n,)
        The prompt of each judgement, the rater, or both; empty where neither is known.
    statistic : callable
        Of weights (d, n), a row per draw, gives values (d, k); draws where it is NaN are left out.
    n : int
        How many judgements.
    draws : int
        Of each kind.
    seed : int

    Returns
    -------
    variance, freedom : ndarray of float (k,)
        Degrees of freedom are Satterthwaite's for V_prompts + V_raters; where V is 0, `least_units` − 1. The variance
        is NaN where fewer than two draws tell anything, or there is one judgement.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    levels = [codes for codes in clusters if len(np.unique(codes)) > 1]
    parts = [_variance(codes, statistic, draws, generator) for codes in levels or [np.arange(n)]]
    total, least = np.sum([part for part, _ in parts], axis=0), np.max([part for part, _ in parts], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / np.sum([part**2 / (count - 1) for part, count in parts], axis=0)
    if len(levels) == 2:
        cells = np.unique(np.stack(levels, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        total = np.maximum(total - _variance(cells, statistic, draws, generator)[0], least)
    return total, np.where(total > 0, freedom, least_units(clusters, n) - 1)


def least_units(clusters: Sequence[np.ndarray], n: int) -> int:
    """Return how many prompts or raters there are, whichever are fewer; judgements where neither is known."""
    return min([count for count in (len(np.unique(codes)) for codes in clusters) if count > 1], default=n)


def _variance(
    codes: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], draws: int, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    _, codes = np.unique(codes, return_inverse=True)
    clusters = int(codes.max()) + 1
    if clusters < 2:
        return np.full(statistic(np.ones((1, len(codes)))).shape[1], np.nan), clusters
    values, step = [], max(1, AT_ONCE // len(codes))
    for start in range(0, draws, step):
        drawn = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=min(step, draws - start))
        values.append(statistic(drawn[:, codes].astype(float)))
    found = np.ma.masked_invalid(np.concatenate(values))
    return found.var(axis=0, ddof=1).filled(np.nan) * clusters / (clusters - 1), clusters
