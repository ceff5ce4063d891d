"""Judge response theory: creativity scores from ratings, by the graded response model.

Raters are the items, responses the persons. Rater j gives category k or a higher one to a response of creativity theta
with probability ``logistic(a_j theta + d_jk)``; theta is standard normal (Samejima 1969). The discriminations a and
intercepts d maximise marginal likelihood times a prior on a, by expectation-maximisation (Bock & Aitkin 1981). Across
unconnected blocks of raters and responses, scores compare only because each block is assumed standard normal.
"""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logit, logsumexp

from crpo.expectation_maximisation import (
    STEEPEST,
    End,
    Flags,
    Floats,
    Task,
    climb,
    grid,
    log_probabilities,
    padded,
)

Integers = NDArray[np.int64]
Categories = tuple[NDArray[Any], ...]
MODELS, PRIORS = ("grm", "cgrm"), ("weak", "none", "normal")
LEAST_COMMON = 0.25  # where raters contradict each other a0 nears 0: a dead point to start from, a senseless prior
MAX_NODES = 241
MAX_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Ratings:
    """The ratings that were given, an entry each; a missing rating has no entry.

    `response` and `rater` (m,) are numbers below `n_responses` and `n_raters`, which also count those without ratings;
    `value` (m,) is on the rater's own scale. Raises ValueError for unequal lengths, numbers out of range, values that
    are not finite, and a response that one rater rated twice.
    """

    response: Integers
    rater: Integers
    value: NDArray[Any]
    n_responses: int
    n_raters: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", np.asarray(self.value))
        for name, count in (("response", self.n_responses), ("rater", self.n_raters)):
            numbers = np.asarray(getattr(self, name), dtype=np.int64)
            object.__setattr__(self, name, numbers)
            if numbers.ndim != 1 or numbers.shape != self.value.shape:
                raise ValueError("response, rater and value must be one-dimensional and of one length")
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
                raise ValueError(f"{name} must lie in 0..{count - 1}")
        if not np.isfinite(self.value).all():
            raise ValueError("value must be finite: leave missing ratings out")
        cells = np.sort(self.response * self.n_raters + self.rater)
        if (twice := cells[1:][cells[1:] == cells[:-1]]).size:
            raise ValueError("rater {1} rated response {0} twice".format(*divmod(int(twice[0]), self.n_raters)))

    def of_raters(self, kept: Flags) -> "Ratings":
        """Only the ratings of raters whose entry in `kept` (n_raters,) is true; the numbering stays."""
        chosen = np.asarray(kept, dtype=bool)[self.rater]
        return replace(self, response=self.response[chosen], rater=self.rater[chosen], value=self.value[chosen])


@dataclass(frozen=True, eq=False)
class RaterModel:
    """A fitted graded response model. NaN: the rater lacks the category, or is not informative.

    `discrimination` (n_raters,) is the slope a, in logits per standard deviation of theta; `intercepts` (n_raters, most
    categories - 1) are d, falling along a row; `categories` are the distinct values each rater gave, rising. Raters
    with fewer than two are not `informative` (n_raters,) and stay out of fit and scores. `log_likelihood` is marginal,
    in nats, without the prior; `bic` counts the responses that informative raters rated. `converged` is False where
    iterations ran out or a slope runs to infinity (without a prior only). `nodes` exceeds what was asked for if a slope
    is very steep; `iterations` and `objective_path` (log-likelihood plus log prior) begin at the last change of nodes.
    """

    model: str
    prior: str
    discrimination: Floats
    intercepts: Floats
    categories: Categories
    informative: Flags
    log_likelihood: float
    n_parameters: int
    aic: float
    bic: float
    converged: bool
    iterations: int
    nodes: int
    objective_path: Floats

    @property
    def thresholds(self) -> Floats:
        """Theta where category k or a higher one gets likelier than not, -d / a; shape and NaN as `intercepts`."""
        return -self.intercepts / self.discrimination[:, None]

    def posterior(self, ratings: Ratings) -> tuple[Floats, Floats, Floats, Integers]:
        """Theta of q nodes (q,), log posterior weights (n_responses, q), log-probabilities of all raters' categories
        (raters * categories, q; zero for raters not informative), and the row of these that each rating is about (m,).
        """
        if ratings.n_raters != len(self.informative):
            raise ValueError(f"the model knows {len(self.informative)} raters, the ratings name {ratings.n_raters}")
        theta, log_weight = grid(max(121, 2 * self.nodes - 1))
        table = log_probabilities(np.nan_to_num(self.discrimination), padded(self.intercepts), theta)
        table[~self.informative] = 0.0
        cell = ratings.rater * table.shape[1] + _nearest_category(ratings, self.categories)
        table = table.reshape(-1, len(theta))
        joint = csr_matrix((np.ones(len(cell)), (ratings.response, cell)), (ratings.n_responses, len(table)))
        joint = joint @ table + log_weight
        return theta, joint - logsumexp(joint, axis=1, keepdims=True), table, cell

    def scores(self, ratings: Ratings) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation of theta (EAP), each (n_responses,), in population standard deviations.

        Takes new ratings by the same raters too: a value that a rater did not give in the fit counts as the nearest he
        gave, the lower of two. NaN: no informative rater rated the response. ValueError: another number of raters.
        """
        theta, log_posterior, _, _ = self.posterior(ratings)
        posterior = np.exp(log_posterior)
        mean = posterior @ theta
        error = np.sqrt(np.maximum(posterior @ theta**2 - mean**2, 0.0))
        rated = np.bincount(ratings.response, self.informative[ratings.rater], ratings.n_responses) > 0
        return np.where(rated, mean, np.nan), np.where(rated, error, np.nan)


def minmax(theta: Floats) -> tuple[float, float]:
    """Constants for `rescale`: lowest and highest theta of a fit. NaN is passed over; ValueError if all are NaN."""
    if not np.isfinite(theta).any():
        raise ValueError("no response has a theta, so there is nothing to rescale")
    return float(np.nanmin(theta)), float(np.nanmax(theta))


def rescale(theta: Floats, constants: tuple[float, float]) -> Floats:
    """Scores ``10 + 40 (theta - low) / (high - low)``, unclipped, or 30 if low equals high; NaN stays NaN."""
    low, high = constants
    return 10.0 + 40.0 * (np.asarray(theta) - low) / (high - low) if high > low else 30.0 + 0.0 * np.asarray(theta)


def fit_irt(
    ratings: Ratings,
    *,
    model: str = "grm",
    prior: str = "weak",
    nodes: int = 61,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
) -> RaterModel:
    """Fit a graded response model; responses with the same ratings are merged, so cost grows with distinct rows.

    Parameters
    ----------
    model : {"grm", "cgrm"}
        A discrimination per rater, or one for all (constrained), which has no prior; a0 below is that, at least 0.25.
    prior : {"weak", "none", "normal"}
        "weak" is log a ~ N(log a0, 0.5^2): slopes stay positive; "normal" is a ~ N(a0, 1): they may be negative; "none"
        is plain maximum likelihood. If the median slope is negative, all are turned.
    nodes : int
        At least 3, equally spaced on [-6, 6] with normal weights; more are used (up to 241) for very steep slopes.
    tolerance, max_iterations : float, int
        Converged once neither an EM step nor its acceleration changes a parameter by more than `tolerance`.

    Raises
    ------
    ValueError
        Unknown model or prior, too few nodes, over 50 categories, or no rater with two distinct values.
    """
    for name, given, allowed in (("model", model, MODELS), ("prior", prior, PRIORS)):
        if given not in allowed:
            raise ValueError(f"{name} {given!r} is not known; it is one of {', '.join(allowed)}")
    if nodes < 3:
        raise ValueError(f"nodes must be at least 3, not {nodes}")
    categories = _categories(ratings)
    task = _task(ratings, categories, nodes)
    end = climb(task, _start(task), tolerance, max_iterations)
    if model == "grm":
        start = end[0].parameters
        common = start[:, 0] = max(abs(float(start[0, 0])), LEAST_COMMON)  # while all share a slope, its sign is free
        task = replace(task, prior=prior, common=common)
        end = climb(task, start, tolerance, max_iterations)
    while end[0].steepness > STEEPEST and len(task.theta) < MAX_NODES:
        theta, log_weight = grid(2 * len(task.theta) - 1)
        task = replace(task, theta=theta, log_weight=log_weight)
        end = climb(task, end[0].parameters, tolerance, max_iterations)
    return _finished((model, prior), categories, task, end)


def _finished(names: tuple[str, str], categories: Categories, task: Task, end: End) -> RaterModel:
    point, path, converged = end
    informative = np.array([len(values) > 1 for values in categories])
    parameters = np.full((len(categories), task.free.shape[1]), np.nan)
    parameters[informative] = np.where(task.free, point.parameters, np.nan)
    discrimination = parameters[:, 0] * (-1.0 if np.nanmedian(parameters[:, 0]) < 0 else 1.0)
    count = int(task.free.sum()) - (len(task.free) - 1 if names[0] == "cgrm" else 0)
    deviance, rated = -2 * point.log_likelihood, float(task.weight.sum())
    fit = (point.log_likelihood, count, deviance + 2 * count, deviance + count * float(np.log(rated)), converged)
    iterations = (len(path) - 1, len(task.theta), np.array(path))
    return RaterModel(*names, discrimination, parameters[:, 1:], categories, informative, *fit, *iterations)


def _task(ratings: Ratings, categories: Categories, nodes: int) -> Task:
    """Sparse rows of the informative raters' ratings; identical rows, known by a 64-bit hash, are merged."""
    sizes = np.array([len(values) for values in categories])
    informative = sizes > 1
    if not informative.any():
        raise ValueError("no rater gave two distinct values, so the ratings tell nothing about the responses")
    if (most := int(sizes.max())) > MAX_CATEGORIES:
        raise ValueError(f"a rater gave {most} distinct values; graded models take at most {MAX_CATEGORIES}")
    used = ratings.of_raters(informative)
    columns = (informative.cumsum() - 1)[used.rater] * most + _nearest_category(used, categories)
    shape = (ratings.n_responses, int(informative.sum()) * most)
    rows = csr_matrix((np.ones(len(columns)), (used.response, columns)), shape)
    hashes = rows.astype(np.int64) @ np.random.default_rng(0).integers(2**62, size=shape[1])
    rated = np.flatnonzero(np.diff(rows.indptr))
    _, first, count = np.unique(hashes[rated], return_index=True, return_counts=True)
    free = np.arange(most) < sizes[informative, None]  # a rater with K categories has a slope and K - 1 intercepts
    return Task(rows[rated[first]], count.astype(float), free, *grid(nodes))


def _start(task: Task) -> Floats:
    """Slope 1 and intercepts near the raters' own category frequencies (1.2 because theta varies)."""
    counts = (task.indicator.T @ task.weight).reshape(task.free.shape)
    share = counts[:, :-1].cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    intercepts = np.where(task.free[:, 1:], -1.2 * logit(share), np.nan)
    return np.hstack([np.ones((len(counts), 1)), padded(intercepts)])


def _categories(ratings: Ratings) -> Categories:
    levels, code = np.unique(ratings.value, return_inverse=True)
    given = np.zeros((ratings.n_raters, len(levels)), dtype=bool)
    given[ratings.rater, code] = True
    return tuple(levels[row] for row in given)


def _nearest_category(ratings: Ratings, categories: Categories) -> Integers:
    padded = np.array(list(zip_longest(*categories, fillvalue=np.inf))).T
    return np.abs(padded[ratings.rater] - ratings.value[:, None]).argmin(axis=1)
