"""Bradley-Terry: one strength per model from all its comparisons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crpo.estimates.clustered import clustered_spread
from crpo.estimates.logistic import logistic_covariance, logistic_fits
from crpo.estimates.votes import Ties, Votes


class Strengths(NamedTuple):
    """Log-odds strengths of models (m,), their mean being 0, and the ends of their intervals; NaN where not known."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bradley_terry(
    votes: Votes, *, ties: Ties, reduced: bool = True, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Strengths:
    """Estimate strengths θ such that model i beats model j with probability 1/(1 + e^(θ_j − θ_i)).

    (Bradley & Terry 1952.) A model that never loses has no finite strength by maximum likelihood; Jeffreys' prior
    (`logistic_fits`; Kosmidis & Firth 2021) gives it one, larger the more it won, and takes bias from the others: for
    two models it is half a win more on either side. A tie is half a win for both, or no vote; it has no parameter of
    its own. The intervals are ± t·√V over prompts and raters (`clustered_spread`), on the log-odds scale, V not being
    below what it were for independent votes: drawing again from wins alone would show no spread.

    Parameters
    ----------
    votes : Votes
        On all models.
    ties : {"drop", "half"}
    reduced : bool
        False is maximum likelihood: NaN for all where a model, or a group of them, never lost to the others.
    draws, level, seed
        Of the bootstrap; coverage of the intervals.

    Returns
    -------
    Strengths
        In the order of `votes.models`. NaN for all where some models were never compared with the others, directly or
        through others.
    """
    from scipy.stats import t

    votes = votes.without_ties(ties)
    models = len(votes.models)
    if models < 2 or not len(votes):
        return Strengths(*np.full((3, models), np.nan))
    design, rows, flipped = _contrasts(votes)
    outcome = np.where(flipped, 1 - votes.outcome, votes.outcome)
    one_hot = np.zeros((len(votes), len(design)))
    one_hot[np.arange(len(votes)), rows] = 1

    def strengths(weights: np.ndarray) -> np.ndarray:
        fits = logistic_fits(design, (weights * outcome) @ one_hot, weights @ one_hot, reduced=reduced)
        fits = np.concatenate([np.zeros((len(fits), 1)), fits], axis=1)
        return fits - fits.mean(axis=1, keepdims=True)

    value = strengths(np.ones((1, len(votes))))[0]
    if len(votes) < 2 or not np.isfinite(value).all():
        return Strengths(value, *np.full((2, models), np.nan))
    variance, freedom = clustered_spread(votes.clusters, strengths, len(votes), draws=draws, seed=seed)
    least = _independent_variance(design, one_hot.sum(axis=0), value)
    half = t.ppf((1 + level) / 2, freedom) * np.sqrt(np.maximum(variance, least))
    return Strengths(value, value - half, value + half)


def _independent_variance(design: np.ndarray, trials: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the variances of strengths (m,) were every vote independent of the others."""
    models = len(strengths)
    covariance = np.zeros((models, models))
    covariance[1:, 1:] = logistic_covariance(design, trials, strengths[1:] - strengths[0])
    centring = np.eye(models) - 1 / models
    return np.diag(centring @ covariance @ centring)


def _contrasts(votes: Votes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a row per pair of models compared (first model's strength is 0), each vote's row, and if it is turned."""
    pairs = np.sort(np.stack([votes.first, votes.second], axis=1), axis=1)
    kinds, rows = np.unique(pairs, axis=0, return_inverse=True)
    design = np.zeros((len(kinds), len(votes.models)))
    design[np.arange(len(kinds)), kinds[:, 0]] = 1
    design[np.arange(len(kinds)), kinds[:, 1]] = -1
    return design[:, 1:], rows.reshape(-1), votes.first != pairs[:, 0]
