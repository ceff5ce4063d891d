"""The report's figures: each a small one of its own, so that the page can lay them out anew on a phone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .drawing import BLUE, FAINT, INK, MARKERS, ORANGE, PALETTE, WIDTH, Picture, axes_of, draw, short
from .labels import Box, label_points
from .views import NOT_SCORED, count, floats, number, percent, unique, where

AGAINST = "quality"
ON_Y = ("novelty", "diversity", "surprise")
RATER_NAMES_UP_TO = 40
STAGES = ("base", "sft", "train")
HELD_OUT = "held_out_"
STRIPS = ("loss", "accuracy", "margin")
POINTS = 300

Lines = dict[Any, np.ndarray]  # (model, name) -> steps and values (2, n)


def scatters(estimates: pd.DataFrame, split: str, *, simulated: bool) -> list[Picture]:
    """Draw the paper's three scatter plots: novelty, diversity and surprise against quality, one point per model."""
    rows = where(estimates, "split", split)
    return [_scatter(rows, metric, simulated) for metric in ON_Y]


def _scatter(rows: pd.DataFrame, metric: str, simulated: bool) -> Picture:
    models = unique(rows, "model")
    x, y = (_ends(rows, name, models) for name in (AGAINST, metric))
    shown = np.isfinite(x[:, 0]) & np.isfinite(y[:, 0])
    left = [model for model, there in zip(models, shown, strict=True) if not there]
    note = f"Not shown ({metric} or {AGAINST} {NOT_SCORED}): {', '.join(left)}." if left else ""

    def paint(figure: Figure) -> None:
        (axes,) = axes_of(figure)
        axes.set(title=f"{metric.capitalize()} and {AGAINST}", xlabel=AGAINST, ylabel=metric)
        if not shown.any():
            _say(axes, f"no model has both {metric} and {AGAINST}")
            return
        _points(figure, axes, x, y, np.flatnonzero(shown), models)

    pairs = [f"{models[i]} {number(y[i, 0])} at {number(x[i, 0])}" for i in np.flatnonzero(shown)]
    description = f"Scatter plot of {metric} against {AGAINST}: {'; '.join(pairs) or 'nothing to show'}."
    return Picture(
        draw(f"scatter-{metric}", 4.0 if shown.any() else 1.6, paint, simulated=simulated), description, note
    )


def _ends(rows: pd.DataFrame, metric: str, models: list[str]) -> np.ndarray:
    """Value, low and high of every model (n, 3); an interval that is not there shrinks to its value."""
    ends = floats(where(rows, "metric", metric).set_index("model").reindex(models), "value", "low", "high")
    return np.where(np.isfinite(ends), ends, ends[:, :1])


def _points(figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray, shown: np.ndarray, models: list[str]) -> None:
    colours = [PALETTE[i % len(PALETTE)] for i in shown]
    for i, colour in zip(shown, colours, strict=True):
        axes.plot(x[i, 1:], [y[i, 0]] * 2, color=colour, linewidth=1, alpha=0.55)
        axes.plot([x[i, 0]] * 2, y[i, 1:], color=colour, linewidth=1, alpha=0.55)
        marker = MARKERS[i % len(MARKERS)]
        axes.plot(
            x[i, 0], y[i, 0], marker, color=colour, markersize=8, markeredgecolor="white", markeredgewidth=0.6, zorder=3
        )
    axes.margins(0.09)
    # Places are known only once the layout is; it is then kept, or the labels would move it.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    pixels = axes.transData.transform
    bars: list[Box] = []
    for i in shown:
        for ends in ([(end, y[i, 0]) for end in x[i, 1:]], [(x[i, 0], end) for end in y[i, 1:]]):
            (left, low), (right, high) = pixels(ends)
            bars.append((left - 0.5, low - 0.5, right + 0.5, high + 0.5))
    points = pixels(np.column_stack([x[shown, 0], y[shown, 0]]))
    label_points(axes, points, [short(models[i]) for i in shown], bars, colours)


def weight_histograms(weights: pd.DataFrame, *, simulated: bool) -> list[Picture]:
    """Draw every variant's weights, all on the same axes; pairs of weight zero stand apart."""
    variants = unique(weights, "variant")
    values = [floats(where(weights, "variant", variant), "weight") for variant in variants]
    values = [value[np.isfinite(value)] for value in values]
    top = max((value.max() for value in values if len(value)), default=1.0)
    bins = np.linspace(0, top if top > 0 else 1.0, 25)
    # Where all pairs weigh the same, as in plain DPO, the one bar would flatten every other panel.
    varied = [_shares(value, bins).max() for value in values if len(np.unique(value)) > 1]
    tops = [max(varied) if len(np.unique(value)) > 1 else 1.0 for value in values]
    return [
        _histogram(f"weights-{i}", variant, value, bins, tops[i], simulated)
        for i, (variant, value) in enumerate(zip(variants, values, strict=True))
    ]


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
            _say(axes, NOT_SCORED)
        axes.bar(bins[:-1], shares[1:], width=0.92 * step, align="edge", color=BLUE)
        if shares[0]:
            axes.bar(-0.85 * step, shares[0], width=0.92 * step, color=ORANGE, hatch="////", edgecolor="white")

    middle = f"median weight {number(float(np.median(values)))}" if len(values) else "no weights"
    description = f"Histogram of weights, {title}, {middle}, {count(len(values))} pairs."
    return Picture(draw(name, 2.3, paint, simulated=simulated), description)


def training_curves(training: pd.DataFrame, *, simulated: bool) -> dict[str, list[Picture]]:
    """Draw every model's training log, by stage; the stage's other models stand behind in grey."""
    stages = sorted(unique(training, "stage"), key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES))
    return {stage: _stage(where(training, "stage", stage), stage, simulated) for stage in stages}


def _stage(log: pd.DataFrame, stage: str, simulated: bool) -> list[Picture]:
    names = {name.removeprefix(HELD_OUT) for name in log["name"]}
    strips = [name for name in STRIPS if name in names] + sorted(names - set(STRIPS))
    lines = {key: _line(part) for key, part in log.groupby(["model", "name"], sort=False)}
    models = unique(log, "model")
    return [_curves(f"training-{stage}-{i}", model, lines, strips, simulated) for i, model in enumerate(models)]


def _line(log: pd.DataFrame) -> np.ndarray:
    """Steps and values (2, n) in order; a long log is averaged in blocks, which keeps the page small."""
    steps, values = floats(log, "step", "value").T
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(values[order])]
    blocks = np.array_split(order, min(len(order), POINTS)) if len(order) else []
    return np.array([[steps[block].mean(), values[block].mean()] for block in blocks]).reshape(-1, 2).T


def _curves(name: str, model: str, lines: Lines, strips: list[str], simulated: bool) -> Picture:
    own = {metric: line for (whose, metric), line in lines.items() if whose == model and line.size}

    def paint(figure: Figure) -> None:
        columns = axes_of(figure, len(strips))
        columns[0].set_title(short(model))
        columns[-1].set_xlabel("step")
        if any(metric.startswith(HELD_OUT) for metric in own):
            columns[0].set_title("dashed: held out", loc="right", color=ORANGE, size=8.5, weight="normal")
        for axes, strip in zip(columns, strips, strict=True):
            axes.set_ylabel(short(strip.replace("_", " "), 16))
            axes.locator_params(axis="y", nbins=4)
            _strip(axes, lines, model, strip)

    ends = [f"{metric.replace('_', ' ')} {number(line[1, -1])}" for metric, line in own.items()]
    height = 0.75 + 1.05 * len(strips)
    return Picture(
        draw(name, height, paint, simulated=simulated), f"Training of {model}; at its end {', '.join(ends)}."
    )


def _strip(axes: Axes, lines: Lines, model: str, strip: str) -> None:
    for (other, name), line in lines.items():
        if other != model and name == strip:
            axes.plot(*line, color="#cfcfcf", linewidth=0.8)
    for name, colour, dash in ((strip, BLUE, "-"), (HELD_OUT + strip, ORANGE, (0, (3, 1.5)))):
        line = lines.get((model, name), np.empty((2, 0)))
        marker = "o" if line.shape[1] < 12 else None
        if name == strip and not line.size:
            axes.text(0.02, 0.06, "not logged", color=FAINT, transform=axes.transAxes, size=8.5)
        axes.plot(*line, linestyle=dash, color=colour, marker=marker, markersize=3, linewidth=1.5)


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
    return Picture(draw("raters", height, paint, simulated=simulated), description, note)


def _say(axes: Axes, words: str) -> None:
    """Write words in place of data."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, words, color=INK, ha="center", va="center", transform=axes.transAxes)
