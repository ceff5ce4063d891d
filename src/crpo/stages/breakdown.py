"""Scores by seed and by task, for the figures that show them."""

from __future__ import annotations

import pandas as pd

from crpo.estimates import mean_over_tasks
from crpo.recipe.sections import EvaluateSection


def by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return model, seed, metric, value: the mean over prompts, then over tasks, of one seed's model."""
    keys = ["model", "seed", "metric"]
    tasks = scores.groupby([*keys, "task"], sort=False)["value"].mean()
    return tasks.groupby(keys, sort=False).mean().reset_index()


def by_task(section: EvaluateSection, scores: pd.DataFrame) -> pd.DataFrame:
    """Return model, metric, task, value, low, high, prompts: means over a task's prompts, with bootstrap intervals.

    A prompt's value is its mean over the seeds, so the interval speaks of new prompts and not of new seeds. It is NaN
    where a task has a single prompt.
    """
    keys = ["model", "metric", "task"]
    values = scores.groupby([*keys, "prompt_id"], sort=False)["value"].mean()
    rows = []
    for key, own in values.groupby(keys, sort=False):
        found = mean_over_tasks(own.to_numpy(), [0] * len(own), draws=section.draws, seed=section.seed)  # type: ignore[arg-type]
        rows.append((*key, found.value, found.low, found.high, found.prompts))  # type: ignore[misc]
    return pd.DataFrame(rows, columns=pd.Index([*keys, "value", "low", "high", "prompts"]))
