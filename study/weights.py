"""How far trained weights lie apart: at two λ with one seed, and at one λ with two seeds (question 4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.arms import Arm
from names import SINGLE

FILE = "model/model.safetensors"
COLUMNS = [
    "variant",
    "apart",
    "lambda",
    "other_lambda",
    "seed",
    "other_seed",
    "distance",
    "cosine",
    "moved",
    "other_moved",
]
BY_LAMBDA, BY_SEED = "two λ, one seed", "one λ, two seeds"


def distances(folder: Path, arms: Sequence[Arm]) -> pd.DataFrame:
    """Compare the ways that training moved the weights.

    Of each arm the update u = W − W_SFT is taken, W_SFT being the SFT model it started from (another for each seed,
    where SFT is reseeded, so that weights themselves are not compared across seeds). The distance of two arms is
    |u − u'| / ((|u| + |u'|) / 2), over all weights; with one SFT model |u − u'| = |W − W'|. Two updates of equal length
    that have nothing to do with each other are √2 apart.

    Parameters
    ----------
    folder : Path
        The run's.
    arms : sequence of Arm
        Those of single-signal variants are compared, within a variant: arms with one seed and two λ, and arms with one
        λ and two seeds.

    Returns
    -------
    DataFrame
        variant, apart ("two λ, one seed" or "one λ, two seeds"), lambda, other_lambda, seed, other_seed, distance,
        cosine of the two updates, moved and other_moved (|u| / |W_SFT|). Empty where weights are not there, as with
        adapters.
    """
    rows = []
    for variant in SINGLE:
        own = [arm for arm in arms if arm.variant == variant]
        if len(own) < 2 or not all(
            _paths(folder, arm)[0].is_file() and _paths(folder, arm)[1].is_file() for arm in own
        ):
            continue
        products, starts = _products(folder, own)
        for i, j in combinations(range(len(own)), 2):
            one, other = own[i], own[j]
            if (one.seed == other.seed) != (one.factor == other.factor):
                apart = BY_LAMBDA if one.seed == other.seed else BY_SEED
                about = (variant, apart, one.factor, other.factor, one.seed, other.seed)
                rows.append((*about, *_apart(products, i, j), *(np.sqrt(products[k, k]) / starts[k] for k in (i, j))))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each variant and way to be apart: the least, the mean and the largest distance, and mean cosine."""
    groups = table.groupby(["variant", "apart"], sort=False)
    found = groups.agg(least=("distance", "min"), mean=("distance", "mean"), largest=("distance", "max"),
                       cosine=("cosine", "mean"), pairs=("distance", "size"))  # fmt: skip
    return found.reset_index()


def _paths(folder: Path, arm: Arm) -> tuple[Path, Path]:
    return folder / "train" / arm.folder / FILE, folder / "sft" / arm.start / FILE


def _products(folder: Path, arms: Sequence[Arm]) -> tuple[np.ndarray, np.ndarray]:
    """Return the inner products (n, n) of the arms' updates and the lengths (n,) of what they started from."""
    updates, starts = [], []
    for arm in arms:
        trained, start = (_flat(path) for path in _paths(folder, arm))
        updates.append(trained - start)
        starts.append(np.linalg.norm(start))
    stacked = np.array(updates)
    return stacked @ stacked.T, np.array(starts)


def _flat(path: Path) -> np.ndarray:
    from safetensors.torch import load_file  # numpy has no bfloat16

    tensors = load_file(path)
    return np.concatenate([tensors[name].double().numpy().ravel() for name in sorted(tensors)])


def _apart(products: np.ndarray, i: int, j: int) -> tuple[float, float]:
    """Return distance and cosine; NaN where training moved nothing."""
    lengths = np.sqrt([products[i, i], products[j, j]])
    if not lengths.all():
        return np.nan, np.nan
    between = np.sqrt(max(products[i, i] + products[j, j] - 2 * products[i, j], 0.0))
    return float(between / lengths.mean()), float(products[i, j] / lengths.prod())
