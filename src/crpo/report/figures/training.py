"""Training logs: one panel per model, with the other models of its stage behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crpo.report.captions import listed
from crpo.report.drawing import BLUE, FAINT, ORANGE, OTHERS, Picture, axes_of, draw, short
from crpo.report.files import file_names
from crpo.report.views import count, floats, number, unique, where

STAGES = ("base", "sft", "train")
HELD_OUT = "held_out_"
STRIPS = ("loss", "accuracy", "margin")
POINTS = 300
LINES_BEHIND = 12  # more would make a large page, and a grey patch; then the range of the others is drawn

Lines = dict[Any, np.ndarray]  # (model, seed, name) -> steps and values (2, n)


def training_curves(training: pd.DataFrame, *, simulated: bool) -> dict[str, dict[str, Picture]]:
    """Draw every model's training log, by stage and model; the stage's other models stand behind in grey."""
    stages = sorted(unique(training, "stage"), key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES))
    return {stage: _stage(where(training, "stage", stage), stage, simulated) for stage in stages}


def _stage(log: pd.DataFrame, stage: str, simulated: bool) -> dict[str, Picture]:
    names = {name.removeprefix(HELD_OUT) for name in log["name"]}
    strips = [name for name in STRIPS if name in names] + sorted(names - set(STRIPS))
    keys = ["model", "seed", "name"]
    lines = {key: _line(part) for key, part in log.fillna({"seed": 0}).groupby(keys, sort=False)}
    models = unique(log, "model")
    files = file_names(f"training-{stage}", models)
    return {
        model: _curves(file, model, lines, strips, simulated) for file, model in zip(files, models, strict=True)
    }  # fmt: skip


def _line(log: pd.DataFrame) -> np.ndarray:
    """Steps and values (2, n) in order; a long log is averaged in blocks, which keeps the page small."""
    steps, values = floats(log, "step", "value").T
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(values[order])]
    blocks = np.array_split(order, min(len(order), POINTS)) if len(order) else []
    return np.array([[steps[block].mean(), values[block].mean()] for block in blocks]).reshape(-1, 2).T


def _curves(name: str, model: str, lines: Lines, strips: list[str], simulated: bool) -> Picture:
    own = {key: line for key, line in lines.items() if key[0] == model and line.size}
    seeds = len({seed for _, seed, _ in own})

    def paint(figure: Figure) -> None:
        columns = axes_of(figure, len(strips))
        columns[0].set_title(short(model))
        columns[-1].set_xlabel("step")
        if any(metric.startswith(HELD_OUT) for _, _, metric in own):
            columns[0].set_title("dashed: held out", loc="right", color=ORANGE, size=8.5, weight="normal")
        for axes, strip in zip(columns, strips, strict=True):
            axes.set_ylabel(short(strip.replace("_", " "), 16))
            axes.locator_params(axis="y", nbins=4)
            _others(axes, [line for (whose, _, n), line in lines.items() if whose != model and n == strip])
            _strip(axes, {n: [line for (_, _, m), line in own.items() if m == n] for n in (strip, HELD_OUT + strip)})

    ends = [f"{metric.replace('_', ' ')} {number(line[1, -1])}" for (_, _, metric), line in own.items()]
    tables = [_rows(model, seed, metric, line) for (_, seed, metric), line in own.items()]
    table = pd.concat(tables or [_rows(model, 0, "", np.empty((2, 0)))], ignore_index=True)
    told = listed(f"Training of {short(model)}", f"with {count(seeds)} seeds" if seeds > 1 else "")
    steps = max((float(line[0, -1]) for line in own.values()), default=0.0)
    return Picture(
        draw(name, 0.75 + 1.05 * len(strips), paint, simulated=simulated),
        f"Training of {model}; at its end {', '.join(ends)}.",
        "",
        f"{told}; {count(steps)} steps.",
        table,
    )


def _rows(model: str, seed: float, name: str, line: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"model": model, "seed": seed, "name": name, "step": line[0], "value": line[1]})


def _others(axes: Axes, lines: list[np.ndarray]) -> None:
    lines = [line for line in lines if line.size]
    if len(lines) <= LINES_BEHIND:
        for line in lines:
            axes.plot(*line, color=OTHERS, linewidth=0.8)
        return
    steps = np.unique(np.concatenate([line[0] for line in lines]))
    steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), 60)).astype(int)]
    values = np.array([np.interp(steps, *line, right=np.nan) for line in lines])
    axes.fill_between(steps, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=OTHERS, alpha=0.5, linewidth=0)


def _strip(axes: Axes, own: dict[str, list[np.ndarray]]) -> None:
    for (name, lines), colour, dash in zip(own.items(), (BLUE, ORANGE), ("-", (0, (3, 1.5))), strict=True):
        if not lines and not name.startswith(HELD_OUT):
            axes.text(0.02, 0.06, "not logged", color=FAINT, transform=axes.transAxes, size=8.5)
        for line in lines:
            marker = "o" if line.shape[1] < 12 else None
            width = 1.5 if len(lines) == 1 else 1.0
            axes.plot(*line, linestyle=dash, color=colour, marker=marker, markersize=3, linewidth=width)
