"""Metrics: per prompt, from one model's samples; any signal becomes a metric by its mean.

A metric takes the samples of one model (`prompt_id`, `prompt`, `response`, `status`) and returns a Series by prompt_id.
Only samples with status "ok" count; NaN means not scored. A prompt's samples are one population, and its value depends
on nothing else: other prompts, and the order of the samples, change nothing. To add one, write such a class in a file
of your own and name it in the recipe as `module:Name`; `crpo.contracts.check_metric` tells whether it keeps the
contract. What each metric means stands in meanings.yaml (`crpo.metrics.descriptions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from crpo.components import Spec, build, with_models
from crpo.metrics.mean import Mean
from crpo.signals import SIGNALS

METRICS = {
    "words": "crpo.metrics.words:Words",
    "length_fit": "crpo.metrics.length_fit:LengthFit",
    "readability": "crpo.metrics.readability:Readability",
    "distinct": "crpo.metrics.distinct:Distinct",
    "self_bleu": "crpo.metrics.self_bleu:SelfBleu",
    "compression": "crpo.metrics.compression:Compression",
    "vendi": "crpo.metrics.vendi:Vendi",
    "unique": "crpo.metrics.unique:Unique",
    "themes": "crpo.metrics.themes:Themes",
    "common_answers": "crpo.metrics.common_answers:CommonAnswers",
    "statistical_rarity": "crpo.metrics.statistical_rarity:StatisticalRarity",
    "human_distance": "crpo.metrics.human_distance:HumanDistance",
    "people_score": "crpo.metrics.people_score:PeopleScore",
}


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
