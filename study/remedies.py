"""The exploratory remedies: arms that the plan does not have, against DPO and the arm they were made from."""

from __future__ import annotations

import pandas as pd

from crpo.recipe import Recipe
from differences import Comparison, compared
from names import BASELINE, EXPLORATORY, INDEPENDENT, TRAINED, spoken


def remedies(recipe: Recipe, scores: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Compare every arm whose name begins with "Try-" with DPO and with its parent, as one family.

    Parameters
    ----------
    recipe : Recipe
    scores : DataFrame
        Of all arms.
    models : list of str
        Labels of the arms, in order.

    Returns
    -------
    DataFrame
        As `differences.compared`, for the metrics that some arm was trained on and the independent ones; empty where
        there is no such arm.
    """
    wanted = []
    for model in models:
        if model.startswith(EXPLORATORY):
            against = dict.fromkeys(name for name in (BASELINE, parent(recipe, model, models)) if name)
            wanted += [Comparison(f"more {spoken(metric)} than {other}", model, other, metric, family="remedies")
                       for other in against for metric in (*TRAINED, *INDEPENDENT)]  # fmt: skip
    return compared("remedies", wanted, scores, recipe.evaluate)


def parent(recipe: Recipe, remedy: str, models: list[str]) -> str | None:
    """Return the arm that a remedy was made from: the first of the plan's with the same signals; None without one.

    Signals are the same where the same component measures them with the same λ: `novelty_rank` is novelty.
    """
    own = _measured(recipe, remedy)
    planned = [model for model in models if model in recipe.variants and not model.startswith(EXPLORATORY)]
    return next((model for model in planned if _measured(recipe, model) == own), None)


def _measured(recipe: Recipe, variant: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, factor in recipe.variants.get(variant, {}).items():
        spec = recipe.score.signals.get(name, name)
        found[str(spec if isinstance(spec, str) else spec["use"])] = factor
    return found
