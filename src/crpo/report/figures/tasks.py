"""Every model on every task: small multiples, a figure for each metric."""

from __future__ import annotations

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crpo.report.captions import listed, titled
from crpo.report.drawing import WIDE, Picture, draw, short
from crpo.report.files import file_names
from crpo.report.looks import looks_of
from crpo.report.views import count, floats, number, unique, where

from .dots import draw_dots
from .points import CUT, is_cut

COLUMNS = 4
TASKS_SHOWN = 16


def task_pictures(by_task: pd.DataFrame, models: list[str], *, simulated: bool) -> list[tuple[str, Picture]]:
    """Draw, for each metric, a panel per task with a dot and its interval per model; one task needs none."""
    rows = by_task[by_task["model"].isin(models)]
    if rows["task"].nunique() < 2:
        return []
    metrics = unique(rows, "metric")
    return [
        (metric, _picture(name, metric, where(rows, "metric", metric), models, simulated))
        for name, metric in zip(file_names("tasks", metrics), metrics, strict=True)
    ]


def _picture(name: str, metric: str, rows: pd.DataFrame, models: list[str], simulated: bool) -> Picture:
    tasks = unique(rows.sort_values("prompts", ascending=False, kind="stable"), "task")
    shown, left = tasks[:TASKS_SHOWN], tasks[TASKS_SHOWN:]
    own = [model for model in models if model in set(rows["model"])]
    ends = {task: _ends(where(rows, "task", task), own) for task in shown}
    columns = min(COLUMNS, len(shown))
    lines = ceil(len(shown) / columns)

    def paint(figure: Figure) -> None:
        figure.suptitle(short(titled(metric), 60), x=0.005, ha="left", size=10.5, weight="bold")
        figure.supxlabel(short(metric.replace("_", " "), 60), size=9.5)
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, task in zip(panels, shown, strict=False):
            _panel(panel, task, own, ends[task], models, _prompts(where(rows, "task", task)))
        for panel in panels[0::columns]:
            panel.set_yticks(range(len(own)), [short(model, 24) for model in own])
        for panel in panels[len(shown) :]:
            panel.set_visible(False)

    told = [f"{task}: {_spoken(own, values)}" for task, values in ends.items()]
    cut = any(is_cut(e[np.isfinite(e[:, 0])]) for e in ends.values() if np.isfinite(e[:, 0]).any())
    caption = listed(
        f"{titled(metric)} by task; every panel has its own scale and says its number of",
        "prompts. Bars: 95\u202f% intervals, not known for a single prompt.",
        CUT if cut else "",
    )
    note = f"Not shown, tasks of fewer prompts: {', '.join(left)}." if left else ""
    height = 0.65 + lines * (0.75 + 0.17 * max(len(own), 3))
    drawing = draw(name, height, paint, simulated=simulated, width=WIDE)
    description, table = f"{metric} by task. {'; '.join(told)}.", rows.reset_index(drop=True)
    return Picture(drawing, description, note, caption, table, wide=True)


def _spoken(models: list[str], ends: np.ndarray) -> str:
    return ", ".join(f"{model} {number(value)}" for model, value in zip(models, ends[:, 0], strict=True))


def _ends(rows: pd.DataFrame, models: list[str]) -> np.ndarray:
    ends = floats(rows.set_index("model").reindex(models), "value", "low", "high")
    return np.where(np.isfinite(ends), ends, ends[:, :1])


def _prompts(rows: pd.DataFrame) -> str:
    low, high = floats(rows, "prompts").min(), floats(rows, "prompts").max()
    return f"n = {count(high)}" if low == high else f"n = {count(low)}–{count(high)}"


def _panel(panel: Axes, task: str, own: list[str], ends: np.ndarray, models: list[str], prompts: str) -> None:
    looks = looks_of(models)
    panel.set_title(f"{short(task, 22)} ({prompts})", size=8.5, weight="normal")
    panel.locator_params(axis="x", nbins=4)
    draw_dots(panel, own, ends, [looks[model] for model in own], np.zeros(len(own), bool), named=False)
    if not np.isfinite(ends[:, 0]).any():
        panel.text(0.5, 0.5, "not scored", ha="center", va="center", transform=panel.transAxes, size=8.5)
