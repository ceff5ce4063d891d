"""Raters from the lowest to the highest discrimination."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.drawing import BLUE, FAINT, ORANGE, WIDTH, Picture, axes_of, draw, short
from crpo.report.views import count, floats

RATER_NAMES_UP_TO = 40


def rater_dots(raters: pd.DataFrame, *, simulated: bool) -> Picture:
    """Draw every rater's discrimination, from the lowest to the highest, kept and dropped raters apart."""
    scored = raters.loc[np.isfinite(floats(raters, "discrimination"))].sort_values(by="discrimination", kind="stable")
    kept = scored["kept"].to_numpy(dtype=bool)
    values = floats(scored, "discrimination")
    named = len(scored) <= RATER_NAMES_UP_TO

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set(title="Discrimination of the raters", xlabel="discrimination", ylabel="" if named else "rater")
        rows = np.arange(len(values))
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.plot(values[kept], rows[kept], "o", color=BLUE, label=f"kept ({kept.sum()})")
        axes.plot(values[~kept], rows[~kept], "X", color=ORANGE, label=f"dropped ({(~kept).sum()})")
        axes.set_yticks(rows if named else [], [short(rater) for rater in scored["rater"]] if named else [])
        axes.legend(loc="lower right", frameon=True, edgecolor="none", fontsize=8.5)

    left = len(raters) - len(scored)
    note = f"Not shown (no discrimination estimated): {count(left)}." if left else ""
    height = 1.1 + (0.19 * max(len(scored), 3) if named else WIDTH - 1)
    description = f"Discrimination of {count(len(scored))} raters, {kept.sum()} kept and {(~kept).sum()} dropped."
    caption = f"How well each rater's scores separate better from worse answers; {count(len(scored))} raters."
    return Picture(draw("raters", height, paint, simulated=simulated), description, note, caption, raters)
