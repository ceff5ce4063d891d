"""How the weights of a variant's pairs are spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crpo.report.drawing import BLUE, ORANGE, Picture, axes_of, draw, say, short
from crpo.report.files import file_names
from crpo.report.views import NOT_SCORED, count, floats, number, percent, unique, where


def weight_histograms(weights: pd.DataFrame, *, simulated: bool) -> dict[str, Picture]:
    """Draw every variant's weights, all on the same axes; pairs of weight zero stand apart."""
    variants = unique(weights, "variant")
    values = [floats(where(weights, "variant", variant), "weight") for variant in variants]
    values = [value[np.isfinite(value)] for value in values]
    top = max((value.max() for value in values if len(value)), default=1.0)
    bins = np.linspace(0, top if top > 0 else 1.0, 25)
    # Where all pairs weigh the same, as in plain DPO, the one bar would flatten every other panel.
    varied = [_shares(value, bins).max() for value in values if len(np.unique(value)) > 1]
    tops = [max(varied) if len(np.unique(value)) > 1 else 1.0 for value in values]
    return {
        variant: _histogram(name, variant, value, bins, tall, simulated)
        for name, variant, value, tall in zip(file_names("weights", variants), variants, values, tops, strict=True)
    }


def _shares(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Share of the pairs in each bin, after the share of those at exactly zero."""
    above, _ = np.histogram(values[values > 0], bins)
    return np.concatenate([[np.sum(values == 0)], above]) / max(len(values), 1)


def _histogram(name: str, variant: str, values: np.ndarray, bins: np.ndarray, top: float, simulated: bool) -> Picture:
    shares = _shares(values, bins)
    title = f"{short(variant)}: {percent(shares[0])} zero" if len(values) else f"{short(variant)}: {NOT_SCORED}"
    step = bins[1] - bins[0]

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set(title=title, xlabel="weight of a pair", ylabel="share of pairs")
        axes.set(xlim=(-2 * step, bins[-1] + step), ylim=(0, 1.08 * top))
        if not len(values):
            say(axes, NOT_SCORED)
        axes.bar(bins[:-1], shares[1:], width=0.92 * step, align="edge", color=BLUE)
        if shares[0]:
            axes.bar(-0.85 * step, shares[0], width=0.92 * step, color=ORANGE, hatch="////", edgecolor="white")

    middle = f"median weight {number(float(np.median(values)))}" if len(values) else "no weights"
    description = f"Histogram of weights, {title}, {middle}, {count(len(values))} pairs."
    table = pd.DataFrame({"variant": variant, "from": [0.0, *bins[:-1]], "to": [0.0, *bins[1:]], "share": shares})
    caption = f"Weights of {short(variant)}'s pairs; {count(len(values))} pairs."
    return Picture(draw(name, 2.3, paint, simulated=simulated), description, "", caption, table)
