"""Metrics: per prompt, from one model's samples; any signal becomes a metric by its mean.

A metric takes the samples of one model (`prompt_id`, `prompt`, `response`, `status`) and returns a Series by prompt_id.
Only samples with status "ok" count; NaN means not scored. A prompt's samples are one population.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from crpo.components import Spec, build, with_models
from crpo.metrics.mean import Mean
from crpo.signals import SIGNALS

METRICS = {"words": "crpo.metrics.words:Words"}


class Metric(Protocol):
    """What every metric does."""

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        """Return one value per prompt, indexed by prompt_id."""
        ...


def build_metric(spec: Spec, models: Mapping[str, str | None]) -> Metric:
    """Build a metric by name; a signal's name gives the mean of that signal.

    Parameters
    ----------
    spec : str or mapping
        A name in `METRICS` or `SIGNALS`, `module:Name` of a metric or signal, or `{use: …, **settings}`.
    models : mapping
        Values for fields of that name that the spec leaves open, such as `embedder`.
    """
    known = {**SIGNALS, **METRICS}
    component: Any = build(with_models(spec, known, models), known, "metric")
    name = str(spec if isinstance(spec, str) else spec["use"])
    return component if name in METRICS else Mean(component)
