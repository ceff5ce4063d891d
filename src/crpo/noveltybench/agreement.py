"""How well a judge of equivalence agrees with people: accuracy, F1, AUC, and the threshold that suits it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.errors import InputError
from crpo.estimates import Estimate
from crpo.grouped import group_codes, rows_by_group
from crpo.tables import load_table

Measure = Callable[[np.ndarray, np.ndarray], float]
FIELDS = {"prompt": "prompt", "generation_0": "left", "generation_1": "right", "similar": "same"}


def read_human_pairs(path: Path) -> pd.DataFrame:
    """Read pairs that people judged, as NoveltyBench publishes them: id, prompt, generation_0, generation_1, similar.

    Returns
    -------
    DataFrame
        prompt, left, right (text), same (bool).
    """
    table = load_table(path)
    for field in FIELDS:
        if field not in table:
            raise InputError(f"{path}: field {field!r} is missing", f"It has: {', '.join(map(str, table.columns))}.")
    found = table.rename(columns=FIELDS)[list(FIELDS.values())]
    known = found["same"].astype(str).str.lower().map({"1": True, "0": False, "true": True, "false": False})
    if known.isna().any():
        row = known.index[known.isna()][0]
        raise InputError(f"{path} row {row}, field 'similar': found {str(found['same'][row])[:60]!r}", "Write 1 or 0.")
    found = found.assign(same=known.astype(bool)).reset_index(drop=True)
    return found.astype({"prompt": str, "left": str, "right": str})


def accuracy(decided: np.ndarray, same: np.ndarray) -> float:
    """Return the share of pairs (n,) decided as people did."""
    return float((decided == same).mean())


def f1(decided: np.ndarray, same: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall of "the same"; NaN where there is none on either side."""
    total = decided.sum() + same.sum()
    return float(2 * (decided & same).sum() / total) if total else np.nan


def auc(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the probability that a same pair scores higher than a different one, ties half; NaN for one kind."""
    from scipy.stats import rankdata

    ones, zeros = int(same.sum()), int((~same).sum())
    if not ones or not zeros:
        return np.nan
    return float((rankdata(scores)[same].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def over_prompts(
    measure: Measure, found: np.ndarray, same: np.ndarray, prompts: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Return a measure of (found, same) with its 95 % percentile interval, prompts drawn with replacement.

    Parameters
    ----------
    measure : callable
    found : ndarray (n,)
        Scores or decisions.
    same : ndarray of bool (n,)
    prompts : ndarray of int (n,)
        Prompt of each pair, numbered from 0.
    """
    members = list(rows_by_group(prompts))
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for _ in range(draws):
        rows = np.concatenate([members[n] for n in random.integers(len(members), size=len(members))])
        drawn.append(measure(found[rows], same[rows]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(measure(found, same), float(low), float(high), len(members), 1)


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold of the highest F1, half-way between two neighbouring scores; the highest of equals."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(same[order])
    values = 2 * hits / (np.arange(1, len(order) + 1) + same.sum())
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores are decided together
    last = ends[np.argmax(values[ends])]
    inside, outside = scores[order[last]], scores[order[min(last + 1, len(order) - 1)]]
    return float((inside + outside) / 2)


def out_of_fold(
    scores: np.ndarray, same: np.ndarray, prompts: np.ndarray, *, folds: int = 10, seed: int = 0
) -> np.ndarray:
    """Return decisions (n,), each by the `best_threshold` of the folds its prompt is not in."""
    random = np.random.Generator(np.random.PCG64(seed))
    fold_of = random.permutation(np.arange(prompts.max() + 1) % folds)[prompts]
    decided = np.zeros(len(scores), dtype=bool)
    for fold in np.unique(fold_of):
        others = fold_of != fold
        decided[~others] = scores[~others] >= best_threshold(scores[others], same[others])
    return decided


def prompt_codes(pairs: pd.DataFrame) -> np.ndarray:
    """Return the prompt of each pair (n,), numbered from 0."""
    return group_codes(pairs["prompt"])[0]
