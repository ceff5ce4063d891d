"""Expectation-maximisation for graded response models: the arithmetic under `crpo.irt`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
LIMIT = 6.0  # theta runs over [-LIMIT, LIMIT]
MEMORY = 6  # earlier steps that the acceleration looks at
STEEPEST = 1.7  # node distance times largest |a|; above it, sums over nodes are no longer exact


class Point(NamedTuple):
    """Parameters (raters, 1 + M), slope first, then intercepts, and what the E step finds there."""

    parameters: Floats
    table: Floats  # log-probability per rater, category and node
    counts: Floats  # expected ratings, likewise
    log_likelihood: float
    objective: float
    steepness: float  # largest |slope| times the distance of nodes


@dataclass(frozen=True, eq=False)
class Task:
    """What is maximised: merged rows of ratings, the grid of theta, and the prior on slopes."""

    indicator: csr_matrix  # (distinct rows, raters * categories), 1 where the rater chose the category
    weight: Floats  # responses per distinct row
    free: Flags  # (raters, 1 + M), false where a rater lacks the category
    theta: Floats
    log_weight: Floats
    prior: str = "shared"
    common: float = 1.0

    def expect(self, parameters: Floats) -> Point:
        """E step: marginal log-likelihood and expected counts, each by one sparse-dense product."""
        table = log_probabilities(parameters[:, 0], parameters[:, 1:], self.theta)
        joint = self.indicator @ table.reshape(-1, len(self.theta)) + self.log_weight
        top = joint.max(axis=1)
        np.exp(np.subtract(joint, top[:, None], out=joint), out=joint)
        total = joint.sum(axis=1)
        joint *= (self.weight / total)[:, None]
        log_likelihood = float(self.weight @ (top + np.log(total)))
        objective = log_likelihood + float(self.log_prior(parameters[:, 0])[0].sum())
        counts = (self.indicator.T @ joint).reshape(table.shape)
        steepness = float(np.abs(parameters[:, 0]).max() * (self.theta[1] - self.theta[0]))
        return Point(parameters, table, counts, log_likelihood, objective, steepness)

    def log_prior(self, slope: Floats) -> tuple[Floats, Floats, Floats]:
        """Log prior per rater, its gradient, and minus its curvature (kept positive), by the slope."""
        rate = np.full_like(slope, self.prior == "normal")
        away = rate * (slope - self.common)
        if self.prior == "weak":
            away, rate = 2.0 * np.log(slope / self.common), 2.0 / slope
        return -(away**2) / 2, -away * rate, rate**2

    def step(self, point: Point) -> Floats:
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


End = tuple[Point, list[float], bool]  # last point, objectives so far, whether converged


@np.errstate(all="ignore")  # a step too far gives NaN and is refused
def climb(task: Task, parameters: Floats, tolerance: float, max_iterations: int) -> End:
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


def grid(nodes: int) -> tuple[Floats, Floats]:
    """Return equally spaced nodes (q,) and their log normal weights, which sum to one."""
    theta = np.linspace(-LIMIT, LIMIT, nodes)
    log_weight = -(theta**2) / 2
    return theta, log_weight - np.log(np.exp(log_weight).sum())


def padded(intercepts: Floats) -> Floats:
    """In place of NaN, intercepts that give the categories a rater lacks probability zero, but nothing infinite."""
    return np.where(np.isnan(intercepts), -1000.0 * np.arange(1, intercepts.shape[1] + 1), intercepts)


def log_probabilities(slope: Floats, intercepts: Floats, theta: Floats) -> Floats:
    """Sums of logs instead of a log of differences, so nothing cancels; NaN where intercepts do not fall."""
    z = slope[:, None, None] * theta + intercepts[:, :, None]
    above = log_expit(z)
    table = np.zeros((len(slope), intercepts.shape[1] + 1, len(theta)))
    table[:, 1:] = above
    table[:, :-1] += above - z
    table[:, 1:-1] += np.log(-np.expm1(np.diff(intercepts, axis=1)))[:, :, None]
    return table


def _derivatives(point: Point, theta: Floats) -> tuple[Floats, Floats]:
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
