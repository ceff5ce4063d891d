"""Points with an interval both ways and a name beside each: the form of every scatter plot of models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from crpo.report.drawing import short
from crpo.report.labels import Box, label_points
from crpo.report.looks import Look
from crpo.report.views import number

LOG_FROM = 30.0  # largest value over smallest, from which a scale of ratios shows more
CUT = "A bar that ends at the frame goes on beyond it."


@dataclass(frozen=True)
class Points:
    """Models at their values.

    Attributes
    ----------
    names : list of str
    x, y : ndarray (n, 3)
        Value, low and high; the ends equal the value where there is no interval.
    looks : list of Look
    hollow : ndarray of bool (n,)
        Which markers are drawn as outlines.
    """

    names: list[str]
    x: np.ndarray
    y: np.ndarray
    looks: list[Look]
    hollow: np.ndarray


def draw_points(figure: Figure, axes: Axes, points: Points) -> None:
    """Draw the points with their names; the frame fits the values and the usual interval, not the longest."""
    for setter, scale, ends in ((axes.set_xlim, axes.set_xscale, points.x), (axes.set_ylim, axes.set_yscale, points.y)):
        if is_wide(ends):
            scale("log")
        setter(*frame(ends, log=is_wide(ends)))
    for axis, ends in ((axes.xaxis, points.x), (axes.yaxis, points.y)):
        if is_wide(ends):
            axis.set_major_formatter(lambda value, _: number(value, 0 if value >= 1 else 3))
            axis.set_minor_formatter(NullFormatter())
    for x, y, look, hollow in zip(points.x, points.y, points.looks, points.hollow, strict=True):
        axes.plot(x[1:], [y[0]] * 2, color=look.colour, linewidth=1, alpha=0.6)
        axes.plot([x[0]] * 2, y[1:], color=look.colour, linewidth=1, alpha=0.6)
        mark(axes, x[0], y[0], look, hollow=bool(hollow))
    _name(figure, axes, points)


def spoken(points: Points) -> list[str]:
    """Return each point in words: its name, its y and its x."""
    places = zip(points.names, points.y[:, 0], points.x[:, 0], strict=True)
    return [f"{name} {number(y)} at {number(x)}" for name, y, x in places]


def mark(axes: Axes, x: float, y: float, look: Look, *, hollow: bool = False, size: float = 8) -> None:
    """Draw one marker, filled or as an outline."""
    face, edge, width = ("white", look.colour, 1.5) if hollow else (look.colour, "white", 0.6)
    axes.plot(
        x, y, look.marker, color=face, markeredgecolor=edge, markeredgewidth=width, markersize=size, zorder=3
    )  # fmt: skip


def is_wide(ends: np.ndarray) -> bool:
    """Tell whether values (n, 3) span so many sizes that a logarithmic scale is needed to tell them apart."""
    values = ends[:, 0]
    return bool(len(values) and values.min() > 0 and values.max() > LOG_FROM * values.min())


def frame(ends: np.ndarray, *, log: bool = False) -> tuple[float, float]:
    """Return the limits of a scale that shows all values (n, 3) with intervals of the usual length around them.

    One model with a very long interval would otherwise press all others into one spot.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value, low, high = (np.log(ends) if log else ends).T
    below, above = (value - low)[np.isfinite(low)], (high - value)[np.isfinite(high)]
    bottom = value.min() - (np.median(below) if len(below) else 0)
    top = value.max() + (np.median(above) if len(above) else 0)
    margin = 0.09 * (top - bottom) or 0.1 * abs(top) or 0.1
    found = (bottom - margin, top + margin)
    return (float(np.exp(found[0])), float(np.exp(found[1]))) if log else (float(found[0]), float(found[1]))


def is_cut(ends: np.ndarray) -> bool:
    """Tell whether some interval leaves the frame of its scale."""
    low, high = frame(ends, log=is_wide(ends))
    return bool((ends[:, 1] < low).any() or (ends[:, 2] > high).any())


def _name(figure: Figure, axes: Axes, points: Points) -> None:
    # Places are known only once the layout is; it is then kept, or the labels would move it.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    pixels = axes.transData.transform
    x, y = (_inside(ends, limits) for ends, limits in ((points.x, axes.get_xlim()), (points.y, axes.get_ylim())))
    bars: list[Box] = []
    for one, other in zip(x, y, strict=True):
        for ends in ([(end, other[0]) for end in one[1:]], [(one[0], end) for end in other[1:]]):
            (left, low), (right, high) = pixels(ends)
            bars.append((left - 0.5, low - 0.5, right + 0.5, high + 0.5))
    places = pixels(np.column_stack([x[:, 0], y[:, 0]]))
    label_points(axes, places, [short(name) for name in points.names], bars, [look.colour for look in points.looks])


def _inside(ends: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.clip(ends, *limits)
