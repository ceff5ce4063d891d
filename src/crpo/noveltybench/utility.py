"""The two numbers of a prompt: how many different answers, and what a patient user gets from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def first_members(partition: Sequence[int]) -> np.ndarray:
    """Return which generations (n,) are the first of their class: those that are new to the user."""
    _, places = np.unique(np.asarray(partition), return_index=True)
    first = np.zeros(len(partition), dtype=bool)
    first[places] = True
    return first


def distinct(partition: Sequence[int]) -> int:
    """Return the number of classes (distinct_k).

    The field `distinct` of published files holds the highest class number instead, one less, up to the code of 2026.
    """
    return len(set(partition))


def utility(scores: Sequence[float | None], partition: Sequence[int], patience: float) -> float:
    """Return utility_k = (1 − p)/(1 − p^k) Σ p^(i−1) · 1[i opens a class] · u_i.

    Parameters
    ----------
    scores : sequence of float (k,)
        Scores of generations, from 1 to 10. Those of later members of a class are not looked at: files of 2025 hold 0
        there, newer ones their own scores.
    partition : sequence of int (k,)
        Class of each generation, in the order of drawing.
    patience : float
        p in (0, 1]: the probability that the user looks at one more generation.

    Returns
    -------
    float
        From 0 to 10; NaN where the score of a first member is NaN or None, as not scored.
    """
    first = first_members(partition)
    values = np.array([np.nan if score is None else score for score in scores], float)
    weights = patience ** np.arange(len(values))
    return float(np.where(first, values, 0) @ weights / weights.sum())
