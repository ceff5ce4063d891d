"""Items in an order of which every stretch is even in models and prompts."""

from __future__ import annotations

import numpy as np

from crpo.panel.positions import Integers


def spread(models: Integers, prompts: Integers, begun: list[int], window: int, random: np.random.Generator) -> Integers:
    """Return an order of items in which each window has its models and prompts about equally often.

    Greedily: each next item is the one whose models and prompt the window has met least, ties drawn.

    Parameters
    ----------
    models : ndarray of int (n, k)
        Models of each item's answers.
    prompts : ndarray of int (n,)
    begun : list of int
        Items the first window has already, and does not get again; fewer than `window`.
    window : int
        Items of one rater, at most n.
    random : Generator

    Returns
    -------
    ndarray of int (n,)
        Each item once.
    """
    total = len(prompts)
    left = np.ones(total, dtype=bool)
    met_models, met_prompts = _met(models, prompts, begun)
    banned = np.zeros(total, dtype=bool)
    banned[begun] = True
    order = np.empty(total, dtype=np.int64)
    luck = random.random(total)
    for place in range(total):
        if (place + len(begun)) % window == 0:
            met_models, met_prompts = _met(models, prompts, [])
            banned[:] = False
        cost = met_models[models].sum(axis=1) + met_prompts[prompts] + luck
        cost[~left | banned] = np.inf
        order[place] = chosen = cost.argmin()
        left[chosen] = False
        met_models[models[chosen]] += 1
        met_prompts[prompts[chosen]] += 1
    return order


def _met(models: Integers, prompts: Integers, items: list[int]) -> tuple[np.ndarray, np.ndarray]:
    counts = np.zeros(models.max(initial=0) + 1), np.zeros(prompts.max(initial=0) + 1)
    np.add.at(counts[0], models[items].ravel(), 1)
    np.add.at(counts[1], prompts[items], 1)
    return counts
