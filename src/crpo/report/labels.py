"""Labels beside points, without overlaps: greedy, the most crowded point first."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .drawing import ink_of

Box = tuple[float, float, float, float]  # left, bottom, right, top; in pixels

ANGLES = np.deg2rad([20, 0, -20, 160, 180, 200, 90, -90, 50, -50, 130, -130, 70, -70, 110, -110])
RADII = (8, 13, 20, 29, 40, 54, 70, 90)
LEADER_FROM = 14


def label_points(axes: Axes, points: np.ndarray, names: list[str], bars: list[Box], colours: list[str]) -> None:
    """Write every name beside its point.

    Parameters
    ----------
    axes : Axes
        Its limits must be final.
    points : ndarray (n, 2)
        In pixels.
    names : list of str
        One per point.
    bars : list of tuple
        Thin boxes that a label should not cross, in pixels: the intervals.
    colours : list of str
        One per point.
    """
    window = axes.get_window_extent()
    frame = (window.x0 + 2, window.y0 + 2, window.x1 - 2, window.y1 - 2)
    marks = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    sizes = [_size(axes, name) for name in names]
    placed: list[Box] = []
    leaders: list[np.ndarray] = []
    for i in _crowded_first(points):
        boxes = _candidates(points[i], *sizes[i])
        costs = [
            _cost(box, far, frame, [*marks, *placed], bars) + _tangle(_leader(points[i], box), box, placed, leaders)
            for box, far in boxes
        ]
        best = boxes[int(np.argmin(costs))][0]
        placed.append(best)
        leaders.append(_leader(points[i], best))
        _write(axes, leaders[-1], best, names[i], colours[i])


def _size(axes: Axes, name: str) -> tuple[float, float]:
    figure = axes.get_figure(root=True)
    assert figure is not None
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    text = axes.text(0, 0, name, fontsize=9)
    extent = text.get_window_extent(canvas.get_renderer())
    text.remove()
    return extent.width + 2, extent.height + 1


def _crowded_first(points: np.ndarray) -> list[int]:
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return np.argsort(-np.exp(-distances / 40).sum(axis=1), kind="stable").tolist()


def _candidates(point: np.ndarray, width: float, height: float) -> list[tuple[Box, float]]:
    """Boxes around the point, near ones first: the side that faces the point sits at the given distance."""
    boxes = []
    for radius in RADII:
        for across, up in zip(np.cos(ANGLES), np.sin(ANGLES), strict=True):
            left = point[0] + radius * across + width * (across - 1) / 2
            bottom = point[1] + radius * up + height * (up - 1) / 2
            boxes.append(((left, bottom, left + width, bottom + height), radius))
    return boxes


def _cost(box: Box, far: float, frame: Box, taken: list[Box], bars: list[Box]) -> float:
    """Overlap with names or points weighs most, then leaving the frame, then crossing intervals, then distance."""
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
    covered = sum(_overlap(box, other) for other in taken)
    crossed = sum(_overlap(box, bar) > 0 for bar in bars)
    return 100 * covered + 100 * outside + 14 * crossed + far


def _leader(point: np.ndarray, box: Box) -> np.ndarray:
    """Places along the straight line from a point to the near side of its name (n, 2)."""
    near = np.clip(point, (box[0], box[1]), (box[2], box[3]))
    return np.linspace(point, near, 12)


def _tangle(leader: np.ndarray, box: Box, placed: list[Box], leaders: list[np.ndarray]) -> float:
    """Cost of a leader that runs under other names, or of a name that lies on other leaders."""
    under = sum(_inside(leader, other) for other in placed)
    return 40.0 * (under + sum(_inside(other, box) for other in leaders))


def _inside(line: np.ndarray, box: Box) -> bool:
    return bool(((line >= (box[0], box[1])) & (line <= (box[2], box[3]))).all(axis=1).any())


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)


def _write(axes: Axes, leader: np.ndarray, box: Box, name: str, colour: str) -> None:
    to_data = axes.transData.inverted()
    if np.linalg.norm(leader[-1] - leader[0]) >= LEADER_FROM:
        line = to_data.transform(leader[[0, -1]])
        axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=0.7, alpha=0.8, zorder=4)
    x, y = to_data.transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    axes.text(x, y, name, fontsize=9, color=ink_of(colour), ha="center", va="center", zorder=5, bbox=backing)
