"""Which models stand in the main table and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .views import floats

FIRST = ("quality", "novelty", "diversity", "surprise")  # the paper's metrics; others come after them


def in_order(metric: str) -> int:
    """Return a metric's place: the paper's in their order, all others after them."""
    return FIRST.index(metric) if metric in FIRST else len(FIRST)


def main_models(models: list[str], arms: pd.DataFrame) -> list[str]:
    """Return the models that stand in the main table and figures, in order.

    Of a variant with several λ that is the one with λ = 1, or the nearest to it (by ratio) where there is none.
    Models that `arms` does not name, baselines for example, stand there too.
    """
    aside = set(_aside(arms)["model"]) if len(arms) else set()
    return [model for model in models if model not in aside]


def main_weights(names: list[str], arms: pd.DataFrame) -> list[str]:
    """Return the names of weighted sets of pairs, a variant with its λ, that belong to main models."""
    rows = _aside(arms) if len(arms) else arms
    aside = {f"{row['variant']} λ={row['lambda']:g}" for row in rows.to_dict("records")}
    return [name for name in names if name not in aside]


def _aside(arms: pd.DataFrame) -> pd.DataFrame:
    size = floats(arms, "lambda")
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(np.isnan(size), 0.0, np.abs(np.log(np.maximum(size, 0))))
    nearest = arms.assign(far=far).groupby(["policy", "variant"], dropna=False)["far"].transform("min")
    return arms.loc[far > nearest.to_numpy() + 1e-9]
