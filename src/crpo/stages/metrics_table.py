"""The metrics of a run as a table, and which of them a model was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from crpo.components import Spec, load, with_models
from crpo.metrics import METRICS
from crpo.metrics.descriptions import describe
from crpo.recipe import Recipe
from crpo.recipe.sections import Lambdas
from crpo.signals import SIGNALS

KNOWN = {**SIGNALS, **METRICS}
MODELS = ("embedder", "language_model", "quality_model", "originality_model", "generator")
COLUMNS = ["metric", "meaning", "unit", "kind", "in_training", "higher_is", "population"]


def metrics_table(recipe: Recipe) -> pd.DataFrame:
    """Return what the metrics of a run are.

    Returns
    -------
    DataFrame
        metric, meaning, unit, kind ("signal", "set", "length", "human"), in_training (whether any variant was trained
        on it; of one model: `trained_on`), higher_is ("better", "worse", "neither"), population (over which answers it
        is computed). In the order of `evaluate.metrics`.
    """
    variants = recipe.variants.items()
    used = {name for variant, lambdas in variants for name in trained_on(recipe.of_variant(variant), lambdas)}
    rows = []
    for name, spec in recipe.evaluate.metrics.items():
        what = describe(spec)
        rows.append((name, what.meaning, what.unit, what.kind, name in used, what.higher_is, what.population))
    return pd.DataFrame(rows, columns=COLUMNS)  # type: ignore[arg-type]


def trained_on(recipe: Recipe, lambdas: Lambdas) -> set[str]:
    """Return the names of the metrics that a model with these λ was trained on.

    Those that are the mean of a signal with λ > 0, or of the signal of `weigh.gate`, which decides on weights too where
    any λ is above 0. Two are the same when their class and the models they measure with are: another form, another
    number of neighbours or another language of one signal is no independent metric; another reward model or embedder
    is. A metric that is not among them may still go with one that is: they share answers, and often an embedder.

    Parameters
    ----------
    recipe : Recipe
    lambdas : mapping of str to float
        λ by name of `score.signals`; none for base, SFT and DPO.
    """
    used = {name for name, value in lambdas.items() if value > 0}
    if used and recipe.weigh.gate is not None:
        used.add(recipe.weigh.gate.signal)
    models = {"embedder": recipe.models.embedder, "language_model": recipe.models.surprise,
              "quality_model": recipe.models.quality}  # fmt: skip
    signals = [_definition(recipe.score.signals[name], models) for name in used if name in recipe.score.signals]
    return {name for name, spec in recipe.evaluate.metrics.items() if _definition(spec, models) in signals}


def _definition(spec: Spec, models: Mapping[str, str | None]) -> tuple[Any, dict[str, Any]]:
    """Return a component's class and the models it measures with."""
    settings = with_models(spec, KNOWN, models)
    name = str(settings["use"])
    found = load(KNOWN.get(name, name), KNOWN, "metric")
    fields = dataclasses.fields(found) if dataclasses.is_dataclass(found) else ()
    named = {field.name: settings.get(field.name, field.default) for field in fields if field.name in MODELS}
    return found, named
