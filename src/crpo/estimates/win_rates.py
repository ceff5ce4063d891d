"""Win rates with intervals, and what they would be at equal length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crpo.estimates.clustered import clustered_spread, least_units
from crpo.estimates.logistic import logistic_covariance, logistic_fits
from crpo.estimates.votes import Ties, Votes


@dataclass(frozen=True)
class Rate:
    """A share of comparisons won, in [0, 1], with its interval; NaN where nothing is known."""

    value: float
    low: float
    high: float


def win_rate(votes: Votes, *, ties: Ties, draws: int = 2000, level: float = 0.95, seed: int = 0) -> Rate:
    """Return how often the first model wins, with an interval over prompts and raters.

    The bootstrap variance V (`clustered_spread`) gives the number of independent votes that would be as uncertain,
    n* = min(n, π(1 − π)/V); the interval is Wilson's for n* votes, with Student's t in place of the normal quantile
    (the idea of Korn & Graubard 1998, who take Clopper and Pearson's). A percentile interval would have no width where
    every vote went one way; here n* is then the number of prompts or of raters, whichever are fewer.

    Parameters
    ----------
    votes : Votes
        Of two models, the first of which is asked about (`Votes.between`).
    ties : {"drop", "half"}
        Whether a tie is no vote, or half a win.
    draws, level, seed
        Of the bootstrap; coverage of the interval.
    """
    votes = votes.without_ties(ties)
    if not len(votes):
        return Rate(np.nan, np.nan, np.nan)
    rate = float(votes.outcome.mean())
    if len(votes) < 2:
        return Rate(rate, np.nan, np.nan)

    def share(weights: np.ndarray) -> np.ndarray:
        return (weights @ votes.outcome / weights.sum(axis=1))[:, None]

    (variance,), (freedom,) = clustered_spread(votes.clusters, share, len(votes), draws=draws, seed=seed)
    alike = rate * (1 - rate) / variance if variance > 0 else least_units(votes.clusters, len(votes))
    low, high = _wilson(rate, min(len(votes), alike), freedom, level)
    return Rate(rate, low, high)


def win_rate_at_equal_length(
    votes: Votes, *, ties: Ties, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Rate:
    """Return how often the first model would win if both answers had as many words.

    Log-odds of a win are α + β·tanh(Δ/s), Δ being the difference in words and s its standard deviation; the rate at
    equal length is 1/(1 + e^(−α)). This is the length term of length-controlled AlpacaEval (Dubois et al. 2024,
    equation 2), without its term for the instruction, fitted by `logistic_fits` to one pair of models. A tie counts as
    half a win and half a loss, or not. The interval is on the scale of α, ± t·√V over prompts and raters, V not below
    that of independent votes.

    Parameters
    ----------
    votes, ties, draws, level, seed
        See `win_rate`; votes whose lengths are not known do not count.

    Returns
    -------
    Rate
        NaN where lengths are not known, or all differences in length are the same.
    """
    votes = votes.without_ties(ties)
    votes = votes.at(np.isfinite(votes.longer))
    if len(votes) < 2 or np.ptp(votes.longer) == 0:
        return Rate(np.nan, np.nan, np.nan)
    length = np.tanh(votes.longer / votes.longer.std(ddof=1))
    design = np.stack([np.ones(len(votes)), length], axis=1)

    def advantage(weights: np.ndarray) -> np.ndarray:
        return logistic_fits(design, weights * votes.outcome, weights)[:, :1]

    once = np.ones((1, len(votes)))
    fit = logistic_fits(design, votes.outcome[None], once)[0]
    least = logistic_covariance(design, once[0], fit)[0, 0]
    (variance,), (freedom,) = clustered_spread(votes.clusters, advantage, len(votes), draws=draws, seed=seed)
    value, half = fit[0], _quantile(freedom, level) * np.sqrt(max(variance, least))
    value, low, high = (float(end) for end in _share(np.array([value, value - half, value + half])))
    return Rate(value, low, high)


def _wilson(rate: float, n: float, freedom: float, level: float) -> tuple[float, float]:
    square = _quantile(freedom, level) ** 2 / n
    middle = (rate + square / 2) / (1 + square)
    half = np.sqrt(rate * (1 - rate) * square + square**2 / 4) / (1 + square)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def _quantile(freedom: float, level: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))


def _share(log_odds: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(log_odds)
