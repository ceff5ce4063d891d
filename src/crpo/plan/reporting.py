"""The last step: all scores, what they say, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from crpo.arms import Arm
from crpo.plan.data import data_source
from crpo.plan.inputs import made_by
from crpo.plan.noveltybench import bench_of
from crpo.recipe import Recipe
from crpo.report import write_report
from crpo.stages.compare import BASELINES, compare, estimate
from crpo.stages.metrics_table import trained_on
from crpo.stages.present import present
from crpo.stages.provenance import provenance
from crpo.stages.step import Folders, Step
from crpo.stages.study_tables import read_win_rates, study_tables
from crpo.tables import read_table, write_table


def report_step(recipe: Recipe, arms: Sequence[Arm], steps: Sequence[Step]) -> Step:
    """Return the last step, which reads all others but the reference."""
    needs = tuple(step.name for step in steps if step.name.split("/")[0] != "reference")
    outside = (Path(recipe.report.win_rates),) if recipe.report.win_rates else ()
    return Step("report", partial(_report, recipe, arms), recipe.model_dump(mode="json"), needs, outside)


def _report(recipe: Recipe, arms: Sequence[Arm], out: Path, inputs: Folders) -> None:
    folders = [*(arm.folder for arm in arms), *recipe.generate.baselines]
    scores = pd.concat([read_table(inputs[f"evaluate/{folder}"] / "scores.csv", "scores") for folder in folders])
    estimates = estimate(recipe.evaluate, scores)
    write_table(scores, out / "scores.csv")
    write_table(estimates, out / "estimates.csv")
    used = {arm.model: trained_on(arm.recipe, dict(arm.lambdas)) for arm in arms}
    comparisons = compare(recipe.evaluate, scores, _baselines(recipe, arms), used)
    write_table(comparisons, out / "comparisons.csv")
    told = _training_warnings(arms, inputs)
    if told is not None:
        write_table(told, out / "warnings.csv")
    content = present(recipe, estimates, comparisons, inputs, arms)
    bench = bench_of(recipe, arms, inputs)
    if bench is not None:
        write_table(bench, out / "noveltybench.csv")
        content = replace(content, bench=bench)
    found = study_tables(recipe, arms, scores, bench, inputs)
    won = read_win_rates(recipe.report.win_rates)
    for name, table in {**found, **({} if won is None else {"win_rates": won})}.items():
        write_table(table, out / f"{name}.csv")
    made_from = provenance(content.settings, data_source(recipe), inputs)
    content = replace(content, **found, comparisons=comparisons, win_rates=won, watched=told, provenance=made_from)
    write_report(content, out)


def _training_warnings(arms: Sequence[Arm], inputs: Folders) -> pd.DataFrame | None:
    """Return what the watched trainings warned of: model, seed, step, kind, message; None where all went well."""
    made = [(arm, inputs[step] / "warnings.csv") for arm in arms for step in made_by(arm)]
    found = [read_table(path, "warnings").assign(model=arm.model, seed=arm.seed) for arm, path in made if path.exists()]
    return pd.concat(found, ignore_index=True) if found else None


def _baselines(recipe: Recipe, arms: Sequence[Arm]) -> dict[str, str]:
    """Return what each model is compared with: the first of `BASELINES` that has the same policy.

    The models of `generate.baselines` are compared as the first policy's are.
    """
    found: dict[str, str] = {}
    for arm in arms:
        own = {other.variant: other.model for other in reversed(arms) if other.policy == arm.policy}
        found[arm.model] = next(own[name] for name in BASELINES if name in own)
    found.update(dict.fromkeys(recipe.generate.baselines, found[arms[0].model]))
    return found
