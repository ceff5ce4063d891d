"""Judge response theory: creativity scores from ratings, by the graded response model.

Raters are the items, responses the persons. Rater j gives category k or a higher one to a response of creativity theta
with probability ``logistic(a_j theta + d_jk)``; theta is standard normal (Samejima 1969). The discriminations a and
intercepts d maximise marginal likelihood times a prior on a, by expectation-maximisation (Bock & Aitkin 1981). Across
unconnected blocks of raters and responses, scores compare only because each block is assumed standard normal.
"""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit, log_expit, logit, logsumexp

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Categories = tuple[NDArray[Any], ...]
MODELS, PRIORS = ("grm", "cgrm"), ("weak", "none", "normal")
LIMIT = 6.0  # theta runs over [-LIMIT, LIMIT]
MEMORY = 6  # earlier steps that the acceleration looks at
STEEPEST = 1.7  # node distance times largest |a|; above it, sums over nodes are no longer exact
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
        theta, log_weight = _grid(max(121, 2 * self.nodes - 1))
        table = _log_probabilities(np.nan_to_num(self.discrimination), _padded(self.intercepts), theta)
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
    end = _climb(task, _start(task), tolerance, max_iterations)
    if model == "grm":
        start = end[0].parameters
        common = start[:, 0] = max(abs(float(start[0, 0])), LEAST_COMMON)  # while all share a slope, its sign is free
        task = replace(task, prior=prior, common=common)
        end = _climb(task, start, tolerance, max_iterations)
    while end[0].steepness > STEEPEST and len(task.theta) < MAX_NODES:
        theta, log_weight = _grid(2 * len(task.theta) - 1)
        task = replace(task, theta=theta, log_weight=log_weight)
        end = _climb(task, end[0].parameters, tolerance, max_iterations)
    return _finished((model, prior), categories, task, end)


class _Point(NamedTuple):
    """Parameters (raters, 1 + M), slope first, then intercepts, and what the E step finds there."""

    parameters: Floats
    table: Floats  # log-probability per rater, category and node
    counts: Floats  # expected ratings, likewise
    log_likelihood: float
    objective: float
    steepness: float  # largest |slope| times the distance of nodes


@dataclass(frozen=True, eq=False)
class _Task:
    indicator: csr_matrix  # (distinct rows, raters * categories), 1 where the rater chose the category
    weight: Floats  # responses per distinct row
    free: Flags  # (raters, 1 + M), false where a rater lacks the category
    theta: Floats
    log_weight: Floats
    prior: str = "shared"
    common: float = 1.0

    def expect(self, parameters: Floats) -> _Point:
        """E step: marginal log-likelihood and expected counts, each by one sparse-dense product."""
        table = _log_probabilities(parameters[:, 0], parameters[:, 1:], self.theta)
        joint = self.indicator @ table.reshape(-1, len(self.theta)) + self.log_weight
        top = joint.max(axis=1)
        np.exp(np.subtract(joint, top[:, None], out=joint), out=joint)
        total = joint.sum(axis=1)
        joint *= (self.weight / total)[:, None]
        log_likelihood = float(self.weight @ (top + np.log(total)))
        objective = log_likelihood + float(self.log_prior(parameters[:, 0])[0].sum())
        counts = (self.indicator.T @ joint).reshape(table.shape)
        steepness = float(np.abs(parameters[:, 0]).max() * (self.theta[1] - self.theta[0]))
        return _Point(parameters, table, counts, log_likelihood, objective, steepness)

    def log_prior(self, slope: Floats) -> tuple[Floats, Floats, Floats]:
        """Log prior per rater, its gradient, and minus its curvature (kept positive), by the slope."""
        rate = np.full_like(slope, self.prior == "normal")
        away = rate * (slope - self.common)
        if self.prior == "weak":
            away, rate = 2.0 * np.log(slope / self.common), 2.0 / slope
        return -(away**2) / 2, -away * rate, rate**2

    def step(self, point: _Point) -> Floats:
        """M step: Fisher scoring, all raters at once; intercepts are eliminated first, so that slopes can be shared."""
        gradient, information = _derivatives(point, self.theta)
        _, prior_gradient, prior_curvature = self.log_prior(point.parameters[:, 0])
        cross = information[:, 1:, 0]
        solved = np.linalg.solve(information[:, 1:, 1:], np.stack([gradient[:, 1:], cross], axis=2))
        rest = np.stack([gradient[:, 0] + prior_gradient, information[:, 0, 0] + prior_curvature], axis=1)
        rest -= np.einsum("jm,jmc->jc", cross, solved)
        if self.prior == "shared":
            rest[:] = rest.sum(axis=0)
        slope = rest[:, :1] / np.maximum(rest[:, 1:], 1e-12)
        return np.hstack([slope, solved[:, :, 0] - solved[:, :, 1] * slope])


_End = tuple[_Point, list[float], bool]  # last point, objectives so far, whether converged


@np.errstate(all="ignore")  # a step too far gives NaN and is refused
def _climb(task: _Task, parameters: Floats, tolerance: float, max_iterations: int) -> _End:
    """EM with Anderson's acceleration (Walker & Ni 2011): a mix of past steps in which their changes cancel best.

    Where that lowers the objective the plain step is taken, halved until the objective does not fall.
    """
    point, history, converged = task.expect(parameters), [], False
    path = [point.objective]
    while not converged and len(path) <= max_iterations and point.steepness <= STEEPEST:
        step = task.step(point)
        history = [*history, (point.parameters[task.free], step[task.free])][-MEMORY - 1 :]
        places, steps = (np.array(points) for points in zip(*history, strict=True))
        mix = np.linalg.lstsq(np.diff(steps, axis=0).T, steps[-1], rcond=1e-10)[0]
        ahead = step.copy()
        ahead[task.free] -= mix @ np.diff(places + steps, axis=0)
        converged = max(np.abs(step).max(), np.abs(ahead).max()) <= tolerance
        candidate = task.expect(point.parameters + ahead)
        for size in 0.5 ** np.arange(60):
            if candidate.objective >= point.objective - 1e-13 * abs(point.objective):  # false for NaN
                break
            candidate, history = task.expect(point.parameters + size * step), history[-1:]
        else:  # no step is short enough: numbers broke down
            return point, path, False
        point = candidate
        path.append(point.objective)
    return point, path, converged


def _finished(names: tuple[str, str], categories: Categories, task: _Task, end: _End) -> RaterModel:
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


def _task(ratings: Ratings, categories: Categories, nodes: int) -> _Task:
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
    return _Task(rows[rated[first]], count.astype(float), free, *_grid(nodes))


def _start(task: _Task) -> Floats:
    """Slope 1 and intercepts near the raters' own category frequencies (1.2 because theta varies)."""
    counts = (task.indicator.T @ task.weight).reshape(task.free.shape)
    share = counts[:, :-1].cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    intercepts = np.where(task.free[:, 1:], -1.2 * logit(share), np.nan)
    return np.hstack([np.ones((len(counts), 1)), _padded(intercepts)])


def _categories(ratings: Ratings) -> Categories:
    levels, code = np.unique(ratings.value, return_inverse=True)
    given = np.zeros((ratings.n_raters, len(levels)), dtype=bool)
    given[ratings.rater, code] = True
    return tuple(levels[row] for row in given)


def _nearest_category(ratings: Ratings, categories: Categories) -> Integers:
    padded = np.array(list(zip_longest(*categories, fillvalue=np.inf))).T
    return np.abs(padded[ratings.rater] - ratings.value[:, None]).argmin(axis=1)


def _grid(nodes: int) -> tuple[Floats, Floats]:
    theta = np.linspace(-LIMIT, LIMIT, nodes)
    log_weight = -(theta**2) / 2
    return theta, log_weight - np.log(np.exp(log_weight).sum())


def _padded(intercepts: Floats) -> Floats:
    """In place of NaN, intercepts that give the categories a rater lacks probability zero, but nothing infinite."""
    return np.where(np.isnan(intercepts), -1000.0 * np.arange(1, intercepts.shape[1] + 1), intercepts)


def _log_probabilities(slope: Floats, intercepts: Floats, theta: Floats) -> Floats:
    """Sums of logs instead of a log of differences, so nothing cancels; NaN where intercepts do not fall."""
    z = slope[:, None, None] * theta + intercepts[:, :, None]
    above = log_expit(z)
    table = np.zeros((len(slope), intercepts.shape[1] + 1, len(theta)))
    table[:, 1:] = above
    table[:, :-1] += above - z
    table[:, 1:-1] += np.log(-np.expm1(np.diff(intercepts, axis=1)))[:, :, None]
    return table


def _derivatives(point: _Point, theta: Floats) -> tuple[Floats, Floats]:
    """Gradient (raters, 1 + M) and Fisher information (raters, 1 + M, 1 + M) of the expected log-likelihood."""
    slope, intercepts = point.parameters[:, :1, None], point.parameters[:, 1:, None]
    density = expit(slope * theta + intercepts) * expit(-slope * theta - intercepts)
    inverse = np.exp(np.minimum(-point.table, 690.0))
    number = np.arange(1, point.parameters.shape[1])
    jacobian = np.zeros((*point.parameters.shape, *point.table.shape[1:]))  # of the probability of each category
    jacobian[:, number, number], jacobian[:, number, number - 1] = density, -density
    jacobian[:, 0] = jacobian.sum(axis=1) * theta
    gradient = np.einsum("jpkq,jkq->jp", jacobian, point.counts * inverse)
    jacobian *= np.sqrt(inverse * point.counts.sum(axis=1, keepdims=True))[:, None]
    flat = jacobian.reshape(*point.parameters.shape, -1)
    information = flat @ flat.swapaxes(1, 2)
    information[:, number, number] += information[:, number, number] == 0  # where a rater lacks the category
    return gradient, information
