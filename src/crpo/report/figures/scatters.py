"""Novelty, diversity and surprise against quality: the paper's Figures 2 and 6."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.captions import basis, listed
from crpo.report.drawing import Picture, axes_of, draw, say
from crpo.report.looks import looks_of
from crpo.report.views import NOT_SCORED, floats, unique, where

from .points import CUT, Points, draw_points, is_cut, is_wide, spoken

AGAINST = "quality"
ON_Y = ("novelty", "diversity", "surprise")
ENDS = ("value", "low", "high")


def scatters(estimates: pd.DataFrame, models: list[str], *, simulated: bool) -> list[Picture]:
    """Draw the paper's three scatter plots, one point per model; a metric that was not computed has none.

    Parameters
    ----------
    estimates : DataFrame
        Of one split.
    models : list of str
        Which to show, in order.
    simulated : bool
    """
    there = set(unique(estimates, "metric"))
    return [_scatter(estimates, metric, models, simulated) for metric in ON_Y if {metric, AGAINST} <= there]


def _scatter(estimates: pd.DataFrame, metric: str, models: list[str], simulated: bool) -> Picture:
    table = _table(estimates, metric, models)
    x, y = (with_ends(table, name) for name in (AGAINST, metric))
    shown = np.isfinite(x[:, 0]) & np.isfinite(y[:, 0])
    looks = looks_of(models)
    own = [model for model, there in zip(models, shown, strict=True) if there]
    points = Points(own, x[shown], y[shown], [looks[model] for model in own], np.zeros(len(own), bool))

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        scale = " (logarithmic)" if own and is_wide(points.y) else ""
        axes.set(title=f"{metric.capitalize()} and {AGAINST}", xlabel=AGAINST, ylabel=f"{metric}{scale}")
        if own:
            draw_points(figure, axes, points)
        else:
            say(axes, f"no model has both {metric} and {AGAINST}")

    pairs = spoken(points)
    description = f"Scatter plot of {metric} against {AGAINST}: {'; '.join(pairs) or 'nothing to show'}."
    left = [model for model in models if model not in own]
    note = f"Not shown ({metric} or {AGAINST} {NOT_SCORED}): {', '.join(left)}." if left else ""
    cut = CUT if own and (is_cut(points.x) or is_cut(points.y)) else ""
    told = basis(where(estimates, "metric", metric), own)
    caption = listed(
        f"{metric.capitalize()} against {AGAINST}, a point per model; {told}. Bars: 95\u202f% intervals.", cut
    )
    drawing = draw(f"scatter-{metric}", 4.0 if own else 1.6, paint, simulated=simulated)
    return Picture(drawing, description, note, caption, table)


def _table(estimates: pd.DataFrame, metric: str, models: list[str]) -> pd.DataFrame:
    """Return model, the two metrics with their ends, and the prompts behind the second."""
    parts = []
    for name in (AGAINST, metric):
        rows = where(estimates, "metric", name).set_index("model").reindex(models)
        parts.append(rows[list(ENDS)].set_axis([name, f"{name}_low", f"{name}_high"], axis=1))
    parts.append(where(estimates, "metric", metric).set_index("model").reindex(models)[["prompts"]])
    return pd.concat(parts, axis=1).rename_axis("model").reset_index()


def with_ends(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return value, low and high (n, 3) of the columns NAME, NAME_low and NAME_high; without ends, the value."""
    ends = floats(table, name, f"{name}_low", f"{name}_high")
    return np.where(np.isfinite(ends), ends, ends[:, :1])
