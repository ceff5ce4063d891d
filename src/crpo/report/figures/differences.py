"""Differences from the baseline, a figure for each metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.captions import listed, spread, titled
from crpo.report.drawing import INK, Picture, axes_of, draw, short
from crpo.report.files import file_names
from crpo.report.looks import looks_of
from crpo.report.views import NOT_SCORED, floats, number, where

from .dots import draw_dots
from .points import CUT, is_cut

LEVEL = 0.05


def difference_dots(comparisons: pd.DataFrame, models: list[str], *, simulated: bool) -> list[tuple[str, Picture]]:
    """Draw every model's difference from the baseline, for each metric and baseline.

    Parameters
    ----------
    comparisons : DataFrame
        Of one split.
    models : list of str
        Which to show, in order.
    simulated : bool
    """
    rows = comparisons[comparisons["model"].isin(models)]
    keys = list(rows.drop_duplicates(["metric", "baseline"])[["metric", "baseline"]].itertuples(index=False, name=None))
    several = len({baseline for _, baseline in keys}) > 1
    labels = [f"{metric} {baseline}" if several else metric for metric, baseline in keys]
    return [
        (metric, _picture(name, metric, baseline, rows, models, simulated))
        for name, (metric, baseline) in zip(file_names("difference", labels), keys, strict=True)
    ]


def _picture(name: str, metric: str, baseline: str, rows: pd.DataFrame, models: list[str], simulated: bool) -> Picture:
    own = where(where(rows, "metric", metric), "baseline", baseline).set_index("model")
    table = own.reindex([model for model in models if model in own.index]).rename_axis("model").reset_index()
    ends = floats(table, "difference", "low", "high")
    ends = np.where(np.isfinite(ends), ends, ends[:, :1])
    clear = floats(table, "p_holm") < LEVEL
    looks = looks_of(models)
    trained = table["trained_on"].astype(str).eq("True").to_numpy(dtype=bool)
    names = [f"{short(model, 22)}{' ᵗ' if used else ''}" for model, used in zip(table["model"], trained, strict=True)]

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set_title(short(f"{titled(metric)} minus {baseline}’s", 44))
        axes.set_xlabel("difference")
        draw_dots(axes, names, ends, [looks[model] for model in table["model"]], ~clear)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -0.03 * (high - low)), max(high, 0.03 * (high - low)))
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.locator_params(axis="x", nbins=5)

    told = [f"{row['model']} {number(row['difference'], 3)}" for row in table.to_dict("records")]
    there = np.isfinite(ends[:, 0])
    caption = listed(
        f"{titled(metric)}: difference from {baseline} on the same prompts;",
        f"{spread(table, 'prompts', 'prompt')}. Bars: 95\u202f% intervals. Filled: Holm's p below {LEVEL:g}.",
        "ᵗ: the metric was in this model's training weights." if trained.any() else "",
        CUT if there.any() and is_cut(ends[there]) else "",
    )
    left = [model for model, known in zip(table["model"], there, strict=True) if not known]
    note = f"Not shown ({NOT_SCORED}): {', '.join(left)}." if left else ""
    drawing = draw(name, 1.0 + 0.21 * max(len(table), 3), paint, simulated=simulated)
    return Picture(drawing, f"Difference from {baseline} in {metric}: {'; '.join(told)}.", note, caption, table)
