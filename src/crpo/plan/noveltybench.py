"""Steps of NoveltyBench: every arm's generations, partitions, scores and summary, for each prompt set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from crpo.arms import BASE, Arm
from crpo.components import build, source_file
from crpo.errors import InputError
from crpo.judges import JUDGES
from crpo.noveltybench.marks import is_the_benchmarks
from crpo.noveltybench.table import bench_table
from crpo.plan.inputs import base_model, local, made_by, model_of
from crpo.recipe import Recipe
from crpo.stages.noveltybench import (
    check_quality_model,
    generations,
    partitions,
    prompt_set,
    prompts_file,
    scores,
    summary,
)
from crpo.stages.step import Folders, Step


def noveltybench_steps(recipe: Recipe, arms: Sequence[Arm]) -> list[Step]:
    """Return a step for every arm that is asked; none where the recipe names no prompts.

    Raises
    ------
    InputError
        Before any work: for prompts that are not there, a judge that cannot be, and a quality model whose rewards
        cannot become scores.
    """
    if not recipe.noveltybench.prompts:
        return []
    names = [prompt_set(prompts) for prompts in recipe.noveltybench.prompts]
    if len(set(names)) < len(names):
        raise InputError(f"noveltybench.prompts: two sets have the name {max(names, key=names.count)!r}", "Rename one.")
    build(recipe.noveltybench.judge, JUDGES, "judge")
    check_quality_model(recipe.noveltybench, recipe.noveltybench.quality_model)
    return [_step(arm, _outside(recipe)) for arm in _asked(recipe, arms)]


def _asked(recipe: Recipe, arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms that answer NoveltyBench's prompts."""
    return [arm for arm in arms if recipe.noveltybench.swept or arm.factor in (None, 1.0)]


def _step(arm: Arm, outside: tuple[Path, ...]) -> Step:
    settings = {
        "noveltybench": arm.recipe.noveltybench.model_dump(exclude={"swept"}),
        "quality": _quality(arm.recipe),
        "policy": arm.recipe.policy.model_dump(exclude={"tiny", "lora"}),
        "seed": arm.recipe.generate.seed,
    }
    files = (*outside, *(local(arm.recipe.policy.model) if arm.variant == BASE else ()))
    needs = (*made_by(arm), *(("rater",) if _quality(arm.recipe) == "learned" else ()))
    return Step(f"noveltybench/{arm.folder}", partial(_run, arm), settings, needs, files)


def _outside(recipe: Recipe) -> tuple[Path, ...]:
    section = recipe.noveltybench
    judge = [] if isinstance(section.judge, str) else [v for v in section.judge.values() if isinstance(v, str)]
    named = [*judge, *section.calibrate, _quality(recipe) or ""]
    name = str(section.judge if isinstance(section.judge, str) else section.judge.get("use"))
    own = (source_file(name),) if ":" in name else ()
    return (*map(prompts_file, section.prompts), *(path for name in named if name for path in local(name)), *own)


def _quality(recipe: Recipe) -> str | None:
    """Return the quality model: the section's, or the run's where its rewards can become scores."""
    named, run = recipe.noveltybench.quality_model, recipe.models.quality
    return named or (run if recipe.noveltybench.calibrate or is_the_benchmarks(run) else None)


def _run(arm: Arm, out: Path, inputs: Folders) -> None:
    recipe = arm.recipe
    section = recipe.noveltybench.model_copy(update={"seed": recipe.generate.seed})
    model = base_model(arm, inputs) if arm.variant == BASE else model_of(inputs[made_by(arm)[0]])
    quality = _quality(recipe)
    quality = str(inputs["rater"] / "rater.npz") if quality == "learned" else quality
    for prompts in section.prompts:
        place = out / prompt_set(prompts)
        generations(section, recipe.policy, model, arm.model, prompts, place, arm.folder)
        partitions(section, place)
        scores(section, place, quality)
        summary(section, place)


def bench_of(recipe: Recipe, arms: Sequence[Arm], inputs: Folders) -> pd.DataFrame | None:
    """Return the table of the arms (`crpo.noveltybench.table.bench_table`), seeds together; None without prompts."""
    runs = [(arm.model, prompt_set(prompts), inputs[f"noveltybench/{arm.folder}"] / prompt_set(prompts))
            for arm in _asked(recipe, arms) for prompts in recipe.noveltybench.prompts]  # fmt: skip
    return bench_table(recipe.noveltybench, runs) if runs else None
