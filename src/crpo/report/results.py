"""The table of results: models in rows, metrics in columns, with bars of one scale per column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .captions import basis
from .views import NOT_SCORED, count, decimals_of, floats, number, unique, where

LENGTH = "words"  # the length of an answer stands beside every group: longer answers move most metrics
BAR_WIDTH = 92.0
COLUMNS_BESIDE = 8  # more do not fit into a page beside each other


@dataclass(frozen=True)
class Bar:
    """A value and its interval as places on a line of ``BAR_WIDTH``; ``reference`` is the base model's place."""

    value: float
    low: float
    high: float
    reference: float | None


@dataclass(frozen=True)
class Cell:
    """One estimate as words; ``notes`` is what is to be known of it, ``bar`` is None where nothing was scored."""

    value: str
    interval: str
    notes: list[str]
    bar: Bar | None


@dataclass(frozen=True)
class Group:
    """Columns that belong together: the metrics used in training, or those independent of it."""

    name: str
    metrics: list[str]
    units: list[str]


@dataclass(frozen=True)
class ResultsTable:
    """One split: models in rows, each with a list of cells per group."""

    split: str
    basis: str
    reference: str
    groups: list[Group]
    rows: list[tuple[str, list[list[Cell]]]]


def metric_groups(metrics: pd.DataFrame, scored: set[str]) -> list[Group]:
    """Part the metrics into those used in training and the independent ones, with the length beside both."""
    shown = [row for row in metrics.fillna({"unit": ""}).to_dict("records") if row["metric"] in scored]
    units = {row["metric"]: str(row["unit"]) for row in shown}
    groups = []
    for name, used in (("Used in training", True), ("Independent of training", False)):
        own = [row["metric"] for row in shown if bool(row["in_training"]) is used and row["metric"] != LENGTH]
        if own:
            own += [LENGTH] if LENGTH in units else []
            groups.append(Group(name, own, [units[metric] for metric in own]))
    return groups or [Group("Metrics", list(units), list(units.values()))]


def results_tables(estimates: pd.DataFrame, metrics: pd.DataFrame, split: str, models: list[str]) -> list[ResultsTable]:
    """Lay one split's estimates out with these models in rows and groups of metrics in columns.

    Where the groups together are wider than a page, each has a table of its own.
    """
    rows = where(estimates, "split", split)
    rows = rows[rows["model"].isin(models)]
    groups = metric_groups(metrics, set(rows["metric"]))
    wide = sum(len(group.metrics) for group in groups) > COLUMNS_BESIDE
    return [_table(rows, split, models, own) for own in ([[group] for group in groups] if wide else [groups])]


def _table(rows: pd.DataFrame, split: str, models: list[str], groups: list[Group]) -> ResultsTable:
    models = [model for model in models if model in set(rows["model"])]
    reference = "base" if "base" in models else models[0]
    names = [name for name in unique(rows, "metric") if any(name in group.metrics for group in groups)]
    columns = {metric: _column(where(rows, "metric", metric), reference) for metric in names}
    absent = Cell(NOT_SCORED, "", [], None)
    table = [(m, [[columns[k].get(m, absent) for k in group.metrics] for group in groups]) for m in models]
    return ResultsTable(split, basis(rows), reference, groups, table)


def _column(rows: pd.DataFrame, reference: str) -> dict[str, Cell]:
    decimals = decimals_of(rows)
    ends = floats(rows, "value", "low", "high")
    ends = ends[np.isfinite(ends)]
    low, high = (ends.min(), ends.max()) if len(ends) else (0.0, 1.0)
    zero, scale = (low, (BAR_WIDTH - 8) / (high - low)) if high > low else (low, 0.0)

    def place(value: float) -> float:
        return round(4 + (value - zero) * scale, 1) if scale else BAR_WIDTH / 2

    base = floats(where(rows, "model", reference), "value")
    mark = place(base[0]) if np.isfinite(base).any() else None
    return {row["model"]: _cell(row, decimals, place, mark) for row in rows.to_dict("records")}


def _cell(row: dict, decimals: int, place: Callable[[float], float], mark: float | None) -> Cell:
    value, low, high = (float(row[key]) for key in ("value", "low", "high"))
    if not np.isfinite(value):
        return Cell(NOT_SCORED, "", _notes(row), None)
    bounded = bool(np.isfinite(low) and np.isfinite(high))
    interval = f"{number(low, decimals)} to {number(high, decimals)}" if bounded else ""
    bar = Bar(place(value), place(low if bounded else value), place(high if bounded else value), mark)
    return Cell(number(value, decimals), interval, _notes(row), bar)


def _notes(row: dict) -> list[str]:
    """Return what was left out, what an outlier rule dropped or moved, and whether samples were selected by this."""
    left, outliers = float(row["samples_left_out"]), float(row["outliers"])
    notes = [f"{count(left)} left out"] if left > 0 else []
    notes += [f"{count(outliers)} outlier{'' if outliers == 1 else 's'}"] if outliers > 0 else []
    return [*notes, "selected by it"] if str(row["selected_on"]) == "True" else notes
