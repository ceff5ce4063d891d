"""Steps that measure models: samples, and their metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from crpo.arms import BASE, Arm
from crpo.errors import InputError
from crpo.generators.api import Api
from crpo.plan.inputs import (
    NO_RESULT,
    answers_step,
    base_model,
    drawer_files,
    identity,
    local,
    made_by,
    measures,
    measuring_files,
    measuring_models,
    model_of,
    read_answers,
    records_kept,
)
from crpo.recipe import Recipe
from crpo.stages import order
from crpo.stages.compare import OF_COMPARISON
from crpo.stages.evaluate import evaluate, evaluation_account
from crpo.stages.generate import check_failures, generate
from crpo.stages.order import generator_of, name_of
from crpo.stages.sides import UNSEEN_PROMPTS
from crpo.stages.step import Folders, Step
from crpo.tables import read_table, write_table

OWN = "the run's own"  # stands for the model in what tells generators apart


def measuring_steps(recipe: Recipe, arms: Sequence[Arm]) -> list[Step]:
    """Return the steps from models to their scores; the first arm's base measures surprise where no model is named."""
    steps = []
    for arm in arms:
        steps += [_generate_step(arm), evaluate_step(recipe, arm.folder, arm.seed, arms[0])]
    return steps


def evaluate_step(recipe: Recipe, folder: str, seed: int, ruler: Arm) -> Step:
    """Return the step that measures the samples of `generate/FOLDER`, of a model trained with this seed."""
    settings = {"evaluate": recipe.evaluate.model_dump(exclude=OF_COMPARISON), "models": recipe.models.model_dump(),
                "policy": identity(ruler.recipe), "seed": seed}  # fmt: skip
    needs = (f"generate/{folder}", answers_step(recipe), *measures(ruler))
    files = (*measuring_files(ruler), *local(recipe.data.tasks or ""))
    work = partial(_evaluate, recipe, folder, seed, ruler)
    return Step(f"evaluate/{folder}", work, settings, needs, files, records_kept(recipe))


def held_out(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a run's answers whose prompts models are asked."""
    return answers[answers["split"].isin(UNSEEN_PROMPTS)]


def _generate_step(arm: Arm) -> Step:
    settings = {
        "generate": arm.recipe.generate.model_dump(exclude={*NO_RESULT, "generator"}),
        "generator": _drawer(arm.recipe),
        "policy": arm.recipe.policy.model_dump(exclude={"tiny", "lora"}),
    }
    outside = local(arm.recipe.policy.model) if arm.variant == BASE else ()
    outside += local(arm.recipe.data.tasks or "") if arm.recipe.generate.lengths else ()
    outside += drawer_files(settings["generator"])
    needs = (answers_step(arm.recipe), *made_by(arm))
    return Step(f"generate/{arm.folder}", partial(_generate, arm), settings, needs, outside)


def _drawer(recipe: Recipe) -> dict[str, object]:
    """Return what tells the run's generator from others, without its settings that change no sample."""
    spec = recipe.generate.generator
    drawer = generator_of(recipe.generate, recipe.policy, OWN, spec)
    if isinstance(drawer, Api):
        raise InputError(f"generate.generator: {name_of(spec)} draws from a service's models, not from those of a run",
                         "Write hf or vllm there, and name the service's under generate.baselines.")  # fmt: skip
    return order.identity(spec, drawer, OWN)


def _generate(arm: Arm, out: Path, inputs: Folders) -> None:
    prompts = held_out(read_answers(inputs[answers_step(arm.recipe)]))
    model = base_model(arm, inputs) if arm.variant == BASE else model_of(inputs[made_by(arm)[0]])
    section, policy, records = arm.recipe.generate, arm.recipe.policy, out / "records.jsonl"
    tasks = arm.recipe.data.tasks
    samples = generate(
        section, policy, model, arm.model, prompts, records, arm.folder, generator=section.generator, tasks=tasks
    )
    write_table(samples, out / "samples.csv")
    check_failures(section, samples, arm.model)


def _evaluate(recipe: Recipe, folder: str, seed: int, ruler: Arm, out: Path, inputs: Folders) -> None:
    samples = read_table(inputs[f"generate/{folder}"] / "samples.csv", "samples")
    # People's answers to held-out prompts are here to measure with; nothing that is trained on gets them.
    people = {"people": str(inputs[answers_step(recipe)] / "answers.csv"), "tasks": recipe.data.tasks or ""}
    scores = evaluate(recipe.evaluate, samples, {**measuring_models(ruler, inputs), **people}, seed)
    write_table(scores, out / "scores.csv")
    write_table(evaluation_account(scores).assign(stage=f"evaluate {folder}"), out / "account.csv")
