"""The page's figures: heat maps of win rates, dots of strengths and of mean ratings."""

from __future__ import annotations

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crpo.report.captions import listed, spread, titled
from crpo.report.drawing import INK, WIDE, WIDTH, Picture, draw, short
from crpo.report.figures.dots import draw_dots
from crpo.report.figures.points import CUT, frame, is_cut
from crpo.report.figures.win_rates import TIES, heat_maps
from crpo.report.files import file_names
from crpo.report.looks import Look, looks_of
from crpo.report.views import floats, number, unique, where

from .content import PanelPage

COLUMNS = 3
INTERVALS = "Bars: 95\u202f% intervals over prompts and raters."


def pictures_of(page: PanelPage) -> dict[str, list[Picture]]:
    """Return the page's figures by section: "rates", "strengths", "means"; none where nothing was judged."""
    found: dict[str, list[Picture]] = {"rates": [], "strengths": [], "means": []}
    if page.found.means is not None and len(page.found.means):
        found["means"] = [mean_dots(page.found.means)]
    if page.found.win_rates is not None and len(page.found.win_rates):
        found["rates"] = heat_maps(_shown_rates(page), simulated=False)
    if page.found.strengths is not None and len(page.found.strengths):
        found["strengths"] = strength_dots(page.found.strengths, page.section.ties)
    return found


def _shown_rates(page: PanelPage) -> pd.DataFrame:
    """Return the win rates in a heat map: ours against baselines where there are baselines, strongest first."""
    table, against, strengths = page.found.win_rates, page.campaign.settings.against, page.found.strengths
    assert table is not None
    assert strengths is not None
    if against:
        table = table[table["against"].isin(against) & ~table["model"].isin(against)]
    place = {(row["dimension"], row["model"]): i for i, row in enumerate(strengths.to_dict("records"))}
    keys = [[place[(dimension, model)] for dimension, model in zip(table["dimension"], table[column], strict=True)]
            for column in ("model", "against")]  # fmt: skip
    order = np.lexsort([keys[1], keys[0]])
    return table.iloc[order].reset_index(drop=True)


def strength_dots(strengths: pd.DataFrame, ties: str) -> list[Picture]:
    """Draw every model's Bradley-Terry strength with its interval, a figure for each dimension."""
    dimensions, looks = unique(strengths, "dimension"), looks_of(sorted(set(strengths["model"])))
    return [
        _strengths(name, dimension, where(strengths, "dimension", dimension).reset_index(drop=True), looks, ties)
        for name, dimension in zip(file_names("strengths", dimensions), dimensions, strict=True)
    ]


def _strengths(name: str, dimension: str, rows: pd.DataFrame, looks: dict[str, Look], ties: str) -> Picture:
    ends = _ends(rows, "strength")
    middle = ~((rows["low"] > 0) | (rows["high"] < 0)).to_numpy(bool)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_title(short(f"Strength: {dimension}", 46))
        axes.set_xlabel("log-odds of winning, less the models’ mean")
        draw_dots(axes, rows["model"].tolist(), ends, [looks[model] for model in rows["model"]], middle)
        axes.axvline(0, color=INK, linewidth=0.9)

    caption = listed(
        f"Bradley–Terry strengths in {dimension}, from {spread(rows, 'votes', 'vote')} per model{TIES[ties]}.",
        INTERVALS, "Filled: the interval leaves out 0, the mean of the models.", _cut(ends), _unknown(rows, ends),
    )  # fmt: skip
    told = "; ".join(f"{row['model']} {number(row['strength'])}" for row in rows.to_dict("records"))
    drawing = draw(name, 1.0 + 0.21 * max(len(rows), 3), paint, simulated=False)
    return Picture(drawing, f"Strengths in {dimension}: {told}.", "", caption, rows)


def mean_dots(means: pd.DataFrame) -> Picture:
    """Draw every model's mean rating with its interval, a panel for each dimension, all on one scale."""
    dimensions, models = unique(means, "dimension"), unique(means, "model")
    looks = looks_of(sorted(models))
    by_dimension = {
        dimension: _ends(where(means, "dimension", dimension).set_index("model").reindex(models), "mean")
        for dimension in dimensions
    }
    limits = frame(np.concatenate([ends[np.isfinite(ends[:, 0])] for ends in by_dimension.values()]))
    columns = 2 if len(dimensions) == 4 else min(COLUMNS, len(dimensions))  # four: two and two
    lines = ceil(len(dimensions) / columns)

    def panel(axes: Axes, dimension: str, *, named: bool) -> None:
        axes.set_title(short(titled(dimension), 30), size=9.5)
        ends = by_dimension[dimension]
        draw_dots(axes, models, ends, [looks[model] for model in models], np.zeros(len(models), bool), named=named)
        axes.set_xlim(*limits)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        figure.supxlabel("mean rating", size=9.5)
        for place, (axes, dimension) in enumerate(zip(panels, dimensions, strict=False)):
            panel(axes, dimension, named=not place % columns)
        for axes in panels[len(dimensions) :]:
            axes.set_visible(False)

    told = "; ".join(f"{row['dimension']}, {row['model']} {number(row['mean'])}" for row in means.to_dict("records"))
    every = np.concatenate(list(by_dimension.values()))
    caption = listed(
        f"Mean rating of each model, from {spread(means, 'ratings', 'rating')} of {spread(means, 'answers', 'answer')}",
        f"by {spread(means, 'raters', 'rater')}; all panels have one scale, models in the order of {dimensions[0]}.",
        INTERVALS, _cut(every),
    )  # fmt: skip
    wide = columns > 1
    drawing = draw("means", lines * (0.75 + 0.21 * max(len(models), 3)) + 0.25, paint, simulated=False,
                   width=WIDE if wide else WIDTH)  # fmt: skip
    return Picture(drawing, f"Mean ratings: {told}.", "", caption, means, wide=wide)


def _ends(rows: pd.DataFrame, value: str) -> np.ndarray:
    """Return value, low and high (n, 3); without an interval the ends are the value."""
    ends = floats(rows, value, "low", "high")
    return np.where(np.isfinite(ends), ends, ends[:, :1])


def _cut(ends: np.ndarray) -> str:
    there = ends[np.isfinite(ends[:, 0])]
    return CUT if len(there) and is_cut(there) else ""


def _unknown(rows: pd.DataFrame, ends: np.ndarray) -> str:
    left = rows["model"][~np.isfinite(ends[:, 0])].tolist()
    return f"Not known, as they were never compared with all others: {', '.join(left)}." if left else ""
