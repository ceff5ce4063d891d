"""Quality against creativity, with the models that no other beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.captions import listed, spread
from crpo.report.drawing import FAINT, Picture, axes_of, draw, say
from crpo.report.looks import looks_of
from crpo.report.views import NOT_SCORED

from .points import CUT, Points, draw_points, is_cut, spoken
from .scatters import with_ends


def front_picture(front: pd.DataFrame, models: list[str], *, simulated: bool) -> Picture:
    """Draw the front: filled markers lie on it, outlines do not."""
    table = front.set_index("model").reindex(models).dropna(how="all").rename_axis("model").reset_index()
    x, y = with_ends(table, "quality"), with_ends(table, "creativity")
    shown = np.isfinite(x[:, 0]) & np.isfinite(y[:, 0])
    looks = looks_of(models)
    own = [model for model, there in zip(table["model"], shown, strict=True) if there]
    on = np.array([value is True or value == 1 for value in table["on_front"]], bool)[shown]
    points = Points(own, x[shown], y[shown], [looks[model] for model in own], ~on)

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set(title="Quality and creativity", xlabel="quality", ylabel="creativity: share of models beaten")
        if not own:
            say(axes, "no model has both")
            return
        corners = _corners(points.x[on, 0], points.y[on, 0])
        axes.plot(*corners, color=FAINT, linewidth=1.2, linestyle=(0, (5, 2)), zorder=1)
        draw_points(figure, axes, points)

    left = [model for model in models if model not in own]
    told = spoken(points)
    caption = listed(
        "Quality against creativity, a point per model; filled: on the front (no other model is better in one and at",
        "least as good in the other), outlines: beaten, dashed: the front;",
        f"{spread(table, 'prompts', 'prompt')} per number. Bars: 95\u202f% intervals.",
        CUT if own and (is_cut(points.x) or is_cut(points.y)) else "",
    )
    note = f"Not shown ({NOT_SCORED}): {', '.join(left)}." if left else ""
    description = f"Quality against creativity: {'; '.join(told)}. On the front: {', '.join(np.array(own)[on])}."
    return Picture(draw("front", 4.0, paint, simulated=simulated), description, note, caption, table)


def _corners(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the stairs that join the models of the front, from the most creative to the best."""
    order = np.argsort(x, kind="stable")
    return np.repeat(x[order], 2)[:-1], np.repeat(y[order], 2)[1:]
