"""People's votes between models as a heat map: the paper's Figure 4."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from crpo.report.captions import spread
from crpo.report.drawing import FAINT, WIDE, WIDTH, Picture, draw, short
from crpo.report.files import file_names
from crpo.report.views import NOT_SCORED, number, percent, unique, where

# Losing is light and winning dark, so that a copy in grey keeps the order; the hues part at one half.
SHADES = LinearSegmentedColormap.from_list(
    "wins", [(0, "#fbe3cf"), (0.35, "#fbf3ec"), (0.5, "#f4f4f4"), (0.65, "#bcd7ea"), (1, "#1f6fa8")]
)
TIES = {"half": ", a tie as half", "drop": ", ties left out", "": ""}  # "": the table does not say
MOST_NARROW = 6  # columns whose numbers fit into a figure of the usual width
PALE_INK, DARK_INK = "#fefefe", "#202020"  # cells keep their colours in the dark, so their words do too


def heat_maps(win_rates: pd.DataFrame, *, simulated: bool) -> list[Picture]:
    """Draw one heat map for each dimension that people voted on; the column tie_rule, if there, says how ties count."""
    dimensions = unique(win_rates, "dimension")
    return [
        _heat_map(name, dimension, where(win_rates, "dimension", dimension).reset_index(drop=True), simulated)
        for name, dimension in zip(file_names("win-rates", dimensions), dimensions, strict=True)
    ]


def _heat_map(name: str, dimension: str, rows: pd.DataFrame, simulated: bool) -> Picture:
    models, against = unique(rows, "model"), unique(rows, "against")
    against.sort(key=lambda name: models.index(name) if name in models else len(models))  # the same order both ways
    cells = {(row["model"], row["against"]): row for row in rows.to_dict("records")}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_title(short(f"Won against the column: {dimension}", 46))
        axes.set(xlim=(-0.5, len(against) - 0.5), ylim=(len(models) - 0.5, -0.5))
        axes.set_xticks(range(len(against)), [short(other, 22) for other in against])
        axes.set_yticks(range(len(models)), [short(model, 24) for model in models])
        axes.set_xlabel("against")
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)
        if max(len(short(other, 22)) for other in against) * len(against) > 40:
            axes.tick_params("x", labelrotation=30)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        for place, model in enumerate(models):
            for column, other in enumerate(against):
                _cell(axes, column, place, cells.get((model, other)), model == other)

    told = [f"{row['model']} against {row['against']} {percent(row['win_rate'])}" for row in rows.to_dict("records")]
    found = rows["tie_rule"].iloc[0] if "tie_rule" in rows else ""
    ties = found if found in TIES else ""
    counted = ["wins", "losses"] if ties == "drop" else ["wins", "ties", "losses"]
    votes = rows.assign(votes=rows[counted].sum(axis=1))
    caption = (
        f"Share of votes on {dimension} that the row's model won against the column's{TIES[ties]}; "
        f"{spread(votes, 'votes', 'vote')} per cell. Below: the 95\u202f% interval. "
        "Bold and framed: the interval does not hold 50 %."
    )
    height = 1.3 + 0.5 * len(models)
    wide = len(against) > MOST_NARROW
    drawing = draw(name, height, paint, simulated=simulated, width=WIDE if wide else WIDTH)
    return Picture(drawing, f"Heat map of win rates, {dimension}: {'; '.join(told)}.", "", caption, rows, wide)


def _cell(axes: Axes, column: int, row: int, cell: dict | None, same: bool) -> None:
    if cell is None:
        axes.text(column, row, "" if same else "–", ha="center", va="center", color=FAINT)
        return
    rate, low, high = (float(cell[key]) for key in ("win_rate", "low", "high"))
    if not np.isfinite(rate):
        axes.text(column, row, NOT_SCORED, ha="center", va="center", color=FAINT, size=8)
        return
    clear = bool(np.isfinite(low) and np.isfinite(high) and not low <= 0.5 <= high)
    ink = PALE_INK if rate > 0.93 else DARK_INK
    box = {"facecolor": SHADES(rate), "edgecolor": DARK_INK if clear else "none", "linewidth": 1.2}
    axes.bar(column, 0.92, bottom=row - 0.46, width=0.94, **box)
    axes.text(column, row - 0.12, percent(rate), ha="center", va="center", color=ink, size=9.5,
              weight="bold" if clear else "normal")  # fmt: skip
    if np.isfinite([low, high]).all():
        axes.text(column, row + 0.22, f"{number(100 * low, 0)}–{number(100 * high, 0)}", ha="center", va="center",
                  color=ink, size=7.5)  # fmt: skip
