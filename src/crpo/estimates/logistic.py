"""Logistic regression that always has an answer, for many weightings of the same rows at once."""

from __future__ import annotations

import numpy as np

LONGEST_STEP = 5.0  # log-odds; as in logistf
ITERATIONS = 200
CLOSE = 1e-9
SINGULAR = 1e-10  # of the information's largest eigenvalue


def logistic_fits(design: np.ndarray, wins: np.ndarray, trials: np.ndarray, *, reduced: bool = True) -> np.ndarray:
    """Fit log-odds of winning, linear in the columns of `design`, by penalised maximum likelihood (Firth 1993).

    Maximised is Σ [w log π + (n − w) log(1 − π)] + ½ log|I(β)|, I being the Fisher information: Jeffreys' prior, which
    takes away the first-order bias and is finite where all went one way (Heinze & Schemper 2002). For one coefficient
    it is half a win and half a loss more. Solved by Fisher scoring with the modified score
    Xᵀ(w − nπ + h(½ − π)), h being the leverages.

    Parameters
    ----------
    design : ndarray of float (r, k)
        A row per kind of comparison.
    wins, trials : ndarray of float (d, r)
        For each of d weightings, 0 ≤ wins ≤ trials; need not be whole.
    reduced : bool
        False drops the penalty: maximum likelihood, which may not exist.

    Returns
    -------
    ndarray of float (d, k)
        NaN where the comparisons do not tell a coefficient, or nothing converged (without the penalty: where there is
        no finite maximum).
    """
    found = np.full((len(wins), design.shape[1]), np.nan)
    left = np.flatnonzero(_identified(design, trials))
    current = np.zeros((len(left), design.shape[1]))
    for _ in range(ITERATIONS):
        step = _step(design, wins[left], trials[left], current, reduced)
        current = current + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        sizes = np.abs(step).max(axis=1)
        done = sizes < CLOSE
        found[left[done]] = current[done]
        going = ~done & (np.abs(current).max(axis=1) < 30)  # farther out there is no maximum
        left, current = left[going], current[going]
        if not len(left):
            break
    return found


def logistic_covariance(design: np.ndarray, trials: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Return the covariance (k, k) of a fit (k,) for independent trials (r,): the inverse of the Fisher information."""
    from scipy.special import expit

    chance = expit(design @ fit)
    return np.linalg.pinv(design.T @ (design * (trials * chance * (1 - chance))[:, None]), hermitian=True)


def _step(design: np.ndarray, wins: np.ndarray, trials: np.ndarray, current: np.ndarray, reduced: bool) -> np.ndarray:
    from scipy.special import expit

    chance = expit(current @ design.T)
    weight = trials * chance * (1 - chance)
    information = np.einsum("rk,dr,rl->dkl", design, weight, design, optimize=True)
    inverse = np.linalg.pinv(information, hermitian=True)
    score = wins - trials * chance
    if reduced:
        leverage = weight * np.einsum("rk,dkl,rl->dr", design, inverse, design, optimize=True)
        score = score + leverage * (0.5 - chance)
    return np.einsum("dkl,rl,dr->dk", inverse, design, score, optimize=True)


def _identified(design: np.ndarray, trials: np.ndarray) -> np.ndarray:
    information = np.einsum("rk,dr,rl->dkl", design, trials, design, optimize=True)
    values = np.linalg.eigvalsh(information)
    return values[:, 0] > SINGULAR * np.maximum(values[:, -1], 1.0)
