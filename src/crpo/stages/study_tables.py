"""The tables behind the report's figures of a study: by seed, by task, the front, signs of collapse, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crpo.arms import Arm, arms_table
from crpo.recipe import Recipe
from crpo.report.selection import main_models
from crpo.stages.breakdown import by_seed, by_task
from crpo.stages.collapse import signs_of_collapse
from crpo.stages.front import pareto_front
from crpo.stages.step import Folders
from crpo.tables import read_table

SAMPLE = ["prompt_id", "response", "status"]


def study_tables(
    recipe: Recipe, arms: Sequence[Arm], scores: pd.DataFrame, bench: pd.DataFrame | None, inputs: Folders
) -> dict[str, pd.DataFrame]:
    """Compute the tables that `ReportContent` may have besides, by their names there.

    Tasks and the front are of the main models alone: those with λ = 1.

    Parameters
    ----------
    recipe : Recipe
    arms : sequence of Arm
    scores : DataFrame
        Of all arms and baselines.
    bench : DataFrame or None
        See `crpo.stages.noveltybench.bench_table`.
    inputs : mapping of step name to folder
        With the samples of all of them.
    """
    table = arms_table(arms).astype({"seed": str})
    scores = scores.astype({"seed": str})
    main = main_models(list(dict.fromkeys(scores["model"])), table)
    one_each = by_seed(scores)
    return {
        "arms": table,
        "by_seed": one_each,
        "by_task": by_task(recipe.evaluate, scores[scores["model"].isin(main)]),
        "front": pareto_front(recipe.evaluate, scores, main),
        "collapse": signs_of_collapse(_samples(recipe, arms, inputs), table, one_each, bench),
    }


def read_win_rates(path: str | None) -> pd.DataFrame | None:
    """Read people's votes as `crpo winrate` and `crpo panel results` write them."""
    return None if path is None else read_table(Path(path), "win rates")


def _samples(recipe: Recipe, arms: Sequence[Arm], inputs: Folders) -> pd.DataFrame:
    drawn = [(arm.model, str(arm.seed), arm.folder) for arm in arms]
    drawn += [(name, str(recipe.generate.seed), name) for name in recipe.generate.baselines]
    tables = [
        read_table(inputs[f"generate/{folder}"] / "samples.csv", "samples")[SAMPLE].assign(model=model, seed=seed)
        for model, seed, folder in drawn
    ]
    return pd.concat(tables, ignore_index=True)
