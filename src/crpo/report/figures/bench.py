"""NoveltyBench: how many different answers against how useful they are, the paper's Figure 5."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.captions import listed, spread
from crpo.report.drawing import Picture, axes_of, draw, short
from crpo.report.files import file_names
from crpo.report.looks import looks_of
from crpo.report.views import NOT_SCORED, number, unique, where

from .dots import draw_dots
from .points import CUT, Points, draw_points, is_cut
from .scatters import with_ends

RECALIBRATED = "Its rewards were put into classes by our rule: these utilities are not those of published runs."


def bench_scatters(bench: pd.DataFrame, models: list[str], *, simulated: bool) -> list[Picture]:
    """Draw distinct against utility for each prompt set; where no model has a utility, distinct alone.

    `models` gives the order and looks; models of the table that it does not name come after them.
    """
    order = [*[model for model in models if model in set(bench["model"])],
             *[model for model in unique(bench, "model") if model not in models]]  # fmt: skip
    sets = unique(bench, "prompt_set")
    return [
        _picture(name, chosen, where(bench, "prompt_set", chosen), order, models, simulated)
        for name, chosen in zip(file_names("noveltybench", sets), sets, strict=True)
    ]


def _picture(
    name: str, prompt_set: str, rows: pd.DataFrame, order: list[str], models: list[str], simulated: bool
) -> Picture:
    table = rows.set_index("model").reindex(order).dropna(how="all").rename_axis("model").reset_index()
    x, y = with_ends(table, "utility"), with_ends(table, "distinct")
    looks = looks_of([*models, *[model for model in order if model not in models]])
    alone = not np.isfinite(x[:, 0]).any()
    shown = np.isfinite(y[:, 0]) & (alone | np.isfinite(x[:, 0]))
    own = [model for model, there in zip(table["model"], shown, strict=True) if there]
    chosen = [looks[model] for model in own]
    points = Points(own, x[shown], y[shown], chosen, np.zeros(len(own), bool))

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set_title(short(f"NoveltyBench, {prompt_set}", 44))
        if alone:
            axes.set_xlabel("distinct answers per prompt")
            draw_dots(axes, own, y[shown], chosen, np.zeros(len(own), bool))
        else:
            axes.set(xlabel="utility", ylabel="distinct answers per prompt")
            draw_points(figure, axes, points)

    pairs = [f"{r['model']} {number(r['distinct'])} at {number(r['utility'])}" for r in table.to_dict("records")]
    left = [model for model in table["model"] if model not in own]
    note = f"Not shown (distinct or utility {NOT_SCORED}): {', '.join(left)}." if left else ""
    caption = listed(
        f"NoveltyBench, prompt set {prompt_set}: classes of different answers",
        "(no rewards, so no utility);" if alone else "against utility, a point per model;",
        f"{spread(rows, 'prompts', 'prompt')} per model. Bars: 95\u202f% intervals. Judge: {_names(rows, 'judge')}.",
        "" if alone else f"Quality model: {_names(rows, 'quality_model')}.",
        RECALIBRATED if not alone and rows["calibrated"].eq(True).any() else "",
        CUT if not alone and own and (is_cut(points.x) or is_cut(points.y)) else "",
    )
    drawing = draw(name, 1.1 + 0.22 * len(own) if alone else 4.0, paint, simulated=simulated)
    return Picture(drawing, f"NoveltyBench, {prompt_set}: {'; '.join(pairs)}.", note, caption, table)


def _names(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(str(name) for name in rows[column].dropna().unique() if str(name)) or "not stated"
