"""Models below each other, each with a dot and its interval."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from crpo.report.drawing import short
from crpo.report.looks import Look

from .points import frame, mark


def draw_dots(
    axes: Axes, names: list[str], ends: np.ndarray, looks: list[Look], hollow: np.ndarray, *, named: bool = True
) -> None:
    """Draw value, low and high (n, 3) of every model, the first on top; NaN leaves its line empty.

    Parameters
    ----------
    axes : Axes
        Its horizontal scale is fitted to the values and the usual interval.
    names : list of str
    ends : ndarray (n, 3)
    looks : list of Look
    hollow : ndarray of bool (n,)
        Which markers are outlines.
    named : bool
        Whether to write the names at the left.
    """
    rows = np.arange(len(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(rows, [short(name, 24) for name in names] if named else [])
    axes.tick_params("y", length=0)
    there = np.isfinite(ends[:, 0])
    if there.any():
        axes.set_xlim(*frame(ends[there]))
    for row in rows[there]:
        axes.plot(ends[row, 1:], [row, row], color=looks[row].colour, linewidth=1.3, alpha=0.75)
        mark(axes, ends[row, 0], float(row), looks[row], hollow=bool(hollow[row]), size=6)
