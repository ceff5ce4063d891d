"""All figures of a report, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import pandas as pd

from .content import ReportContent
from .drawing import Picture
from .figures.bench import bench_scatters
from .figures.differences import difference_dots
from .figures.front import front_picture
from .figures.lambdas import lambda_curves
from .figures.raters import rater_dots
from .figures.scatters import scatters
from .figures.tasks import task_pictures
from .figures.training import training_curves
from .figures.weights import weight_histograms
from .figures.win_rates import heat_maps
from .selection import FIRST, in_order, main_models, main_weights
from .views import split_order, unique, where

FOLD_FROM = 3

Shelf = tuple[list[Picture], list[Picture]]  # what is seen at once, and what is folded


@dataclass(frozen=True)
class Gallery:
    """The figures by section; `models` are those of the main table, in order."""

    models: list[str]
    scatters: list[Picture]
    front: Picture | None
    lambdas: dict[str, Shelf]
    differences: Shelf
    tasks: list[Picture]
    bench: list[Picture]
    votes: list[Picture]
    weights: Shelf
    training: dict[str, Shelf]
    raters: Picture | None

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in the page's order."""
        shelves = [*self.lambdas.values(), self.differences, self.weights, *self.training.values()]
        single = [picture for picture in (self.front, self.raters) if picture is not None]
        return [*self.scatters, *single, *self.tasks, *self.bench, *self.votes, *chain(*chain(*shelves))]


def gallery(content: ReportContent) -> Gallery:
    """Draw every figure for which the content has numbers."""
    simulated, arms = content.simulated, content.table("arms")
    splits = split_order(content.estimates)
    estimates = where(content.estimates, "split", splits[0]) if splits else content.estimates
    models = main_models(unique(estimates, "model"), arms)
    metrics = sorted(unique(content.metrics, "metric"), key=in_order)
    comparisons = _widest(content.table("comparisons"))
    front, raters = content.table("front"), content.table("raters")
    lambdas = lambda_curves(estimates, arms, content.table("by_seed"), metrics, models, simulated=simulated)
    differences = difference_dots(comparisons, models, simulated=simulated)
    histograms = weight_histograms(content.weights, simulated=simulated)
    curves = training_curves(content.training, simulated=simulated)
    bench, by_task = content.table("bench"), content.table("by_task")
    by_task = by_task[by_task["metric"].isin(_shown_by_task(unique(by_task, "metric")))]
    shown = main_models(unique(bench, "model"), arms)
    own = main_weights(list(histograms), arms)
    return Gallery(
        models=models,
        scatters=scatters(estimates, models, simulated=simulated),
        front=front_picture(front, models, simulated=simulated) if len(front) else None,
        lambdas={policy: _by_metric(pictures) for policy, pictures in lambdas.items()},
        differences=_by_metric(_first(differences)),
        tasks=[picture for _, picture in _first(task_pictures(by_task, models, simulated=simulated))],
        bench=bench_scatters(bench[bench["model"].isin(shown)], models, simulated=simulated),
        votes=heat_maps(content.table("win_rates"), simulated=simulated),
        weights=_by_name(histograms, own),
        training={stage: _by_name(found, main_models(list(found), arms)) for stage, found in curves.items()},
        raters=rater_dots(raters, simulated=simulated) if len(raters) else None,
    )


def _widest(table: pd.DataFrame) -> pd.DataFrame:
    return where(table, "split", split_order(table)[0]) if len(table) else table


def _first(pictures: list[tuple[str, Picture]]) -> list[tuple[str, Picture]]:
    return sorted(pictures, key=lambda pair: in_order(pair[0]))


def _shown_by_task(metrics: list[str]) -> list[str]:
    """Return the paper's metrics that are there, or else the first ones: figures of tasks are large."""
    return [metric for metric in metrics if metric in FIRST] or metrics[: len(FIRST)]


def _by_metric(pictures: list[tuple[str, Picture]]) -> Shelf:
    """Part figures, one a metric: the paper's metrics first, the rest folded; without any of those, the first ones."""
    first = {metric for metric, _ in pictures} & set(FIRST) or {metric for metric, _ in pictures[: len(FIRST)]}
    if sum(metric not in first for metric, _ in pictures) < FOLD_FROM:
        return [picture for _, picture in pictures], []
    shown = [picture for metric, picture in pictures if metric in first]
    return shown, [picture for metric, picture in pictures if metric not in first]


def _by_name(pictures: dict[str, Picture], main: list[str]) -> Shelf:
    return [pictures[name] for name in main], [pictures[name] for name in pictures if name not in main]
