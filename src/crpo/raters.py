"""How good each rater is, which raters to leave out, and where raters agree."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from crpo.irt import Flags, Floats, RaterModel, Ratings, fit_irt

METHODS = ("lr", "none")
LEAST_LR = 2.0  # what one parameter, his discrimination, must bring by Akaike's criterion
LEAST_RATERS = 2
BLOCK = 20_000  # ratings handled at a time


def likelihood_ratios(ratings: Ratings, model: RaterModel) -> Floats:
    """How much better other raters predict a rater's ratings than his own category frequencies do.

    LR_j = 2 * sum over his ratings x of log p(x | the other ratings) - log p0(x), in nats. Leaving x out needs no fit:
    p(x | others) is the harmonic mean of p_j(x | theta) over the posterior of theta, with parameters that know x.

    Returns
    -------
    ndarray, shape (n_raters,)
        About zero or less for a rater who is noise. NaN: not informative in `model`.

    Raises
    ------
    ValueError
        If the number of raters is not the model's.
    """
    _, log_posterior, table, cell = model.posterior(ratings)
    count, total = np.bincount(cell, minlength=len(table)), np.bincount(ratings.rater, minlength=ratings.n_raters)
    gain = np.log(total[ratings.rater] / count[cell])
    for part in np.array_split(np.arange(len(cell)), len(cell) // BLOCK + 1):
        gain[part] -= logsumexp(log_posterior[ratings.response[part]] - table[cell[part]], axis=1)
    return np.where(model.informative, 2 * np.bincount(ratings.rater, gain, ratings.n_raters), np.nan)


def rater_table(ratings: Ratings, model: RaterModel) -> dict[str, NDArray[Any]]:
    """Columns that describe raters, each (n_raters,).

    `n` ratings given; `mean` rating, on the rater's scale (NaN: none given); `discrimination` in logits per standard
    deviation of theta and `bits` per rating, LR / (2 n log 2), how much the other raters tell about one of his ratings
    (both NaN: not informative). ValueError if the number of raters is not the model's.
    """
    bits = likelihood_ratios(ratings, model)
    n = np.bincount(ratings.rater, minlength=ratings.n_raters)
    total = np.bincount(ratings.rater, ratings.value, ratings.n_raters)
    with np.errstate(invalid="ignore"):
        return {"n": n, "mean": total / n, "discrimination": model.discrimination, "bits": bits / (2 * n * np.log(2))}


def filter_raters(ratings: Ratings, *, method: str = "lr") -> tuple[Flags, list[str], Floats]:
    """Which raters to keep.

    "lr" fits with the normal prior, which lets a discrimination be negative, and drops raters whose discrimination is
    not positive or whose likelihood ratio is under 2: the worst third of them at a time, then it fits again. Raters
    without two distinct values go first. Of the others at least two stay. "none" keeps everybody.

    Returns
    -------
    kept : ndarray of bool, shape (n_raters,)
    reason : list of str
        Why a rater was dropped; empty for those kept.
    lr : ndarray, shape (n_raters,)
        From the last fit that the rater was part of. NaN: from none.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; it is one of {', '.join(METHODS)}")
    kept, reason, lr = np.ones(ratings.n_raters, dtype=bool), [""] * ratings.n_raters, np.full(ratings.n_raters, np.nan)
    if method == "none":
        return kept, reason, lr
    for rater, values in enumerate(_distinct_values(ratings)):
        if values < 2:
            kept[rater], reason[rater] = False, "gave one value only" if values else "gave no ratings"
    while kept.sum() >= LEAST_RATERS:
        model = fit_irt(ratings.of_raters(kept), prior="normal")
        lr[kept] = likelihood_ratios(ratings, model)[kept]
        dropped = _worst(model.discrimination, lr, kept)
        if not dropped.size:
            break
        for rater in dropped:
            kept[rater], reason[rater] = False, _reason(float(model.discrimination[rater]), float(lr[rater]))
    return kept, reason, lr


def agreement(ratings: Ratings, kept: Flags) -> NDArray[np.str_]:
    """How far the kept raters agree on each response, shape (n_responses,).

    "full": all gave the same rating; "partial": all within one point of each other; "none": further apart; "single":
    fewer than two of them rated it. Meant for raters who share one scale.
    """
    chosen = ratings.of_raters(kept)
    lowest, highest = np.full(ratings.n_responses, np.inf), np.full(ratings.n_responses, -np.inf)
    np.minimum.at(lowest, chosen.response, chosen.value)
    np.maximum.at(highest, chosen.response, chosen.value)
    rated = np.bincount(chosen.response, minlength=ratings.n_responses)
    spread = highest - lowest
    return np.select([rated < 2, spread == 0, spread <= 1], ["single", "full", "partial"], "none")


def _distinct_values(ratings: Ratings) -> NDArray[np.int64]:
    pairs = np.unique(np.stack([ratings.rater, np.unique(ratings.value, return_inverse=True)[1]]), axis=1)
    return np.bincount(pairs[0], minlength=ratings.n_raters)


def _worst(discrimination: Floats, lr: Floats, kept: Flags) -> NDArray[np.int64]:
    """The worst third of the raters that should go: reversed ones first, as they mislead, then the least informed."""
    against = ~(discrimination > 0)
    bad = np.flatnonzero(kept & (against | (lr < LEAST_LR)))
    order = np.argsort(np.where(against, -np.abs(lr), lr)[bad], kind="stable")
    number = min(-(-len(bad) // 3), int(kept.sum()) - LEAST_RATERS)
    return bad[order[:number]]


def _reason(discrimination: float, lr: float) -> str:
    if not discrimination > 0:
        return f"rates against the others (discrimination {discrimination:.2f})"
    return f"the others tell nothing about the ratings (likelihood ratio {lr:.1f}, under {LEAST_LR:g})"
