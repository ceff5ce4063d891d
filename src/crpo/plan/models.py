"""Steps that make models: the base where it is tiny, SFT, the reference, signals and weights, training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from crpo.arms import SFT, Arm, at, distinct
from crpo.plan.inputs import (
    NO_RESULT,
    answers_step,
    base_model,
    base_needs,
    identity,
    local,
    measures,
    measuring_files,
    measuring_models,
    model_of,
    read_answers,
    records_kept,
    reference_needs,
    watched_prompts,
)
from crpo.recipe import Recipe
from crpo.stages.signals import score, weigh
from crpo.stages.step import Folders, Step
from crpo.stages.tokens import token_surprise
from crpo.stages.train import reference_logps, train_base, train_crpo, train_sft, with_reference
from crpo.tables import read_table, write_table


def model_steps(recipe: Recipe, arms: Sequence[Arm]) -> list[Step]:
    """Return the steps from pairs to trained models; what arms share is one step."""
    trained = [arm for arm in arms if arm.trained]
    weighed = [arm.folder for arm in distinct(trained, "weights")]
    steps = [_base_step(arm) for arm in distinct(arms, "origin") if base_needs(arm)]
    for arm in distinct([arm for arm in arms if arm.trained or arm.variant == SFT], "start"):
        steps += [_sft_step(arm), *(_reference_step(arm, name) for name in reference_needs(arm))]
    steps.append(_score_step(recipe, arms[0]))
    for arm in trained:
        steps += [_weigh_step(arm)] if arm.folder in weighed else []
        steps.append(_train_step(arm))
    return steps


def _base_step(arm: Arm) -> Step:
    policy, answers = arm.recipe.policy, answers_step(arm.recipe)
    text = (Path(policy.tiny.text),) if policy.tiny.text else ()
    settings = policy.model_dump(include={"tiny", "seed", "chat_template"})
    return Step(at("base", arm.origin), partial(_base, arm), settings, (answers,), text)


def _sft_step(arm: Arm) -> Step:
    settings = {"sft": arm.recipe.sft.model_dump(exclude=NO_RESULT), "policy": _trained(arm)}
    needs = ("pair", "prompts", *base_needs(arm))
    return Step(at("sft", arm.start), partial(_sft, arm), settings, needs, local(arm.recipe.policy.model))


def _reference_step(arm: Arm, name: str) -> Step:
    settings = {**arm.recipe.train.model_dump(include={"layout", "tokens_per_row"}), "policy": _trained(arm)}
    return Step(name, partial(_reference, arm), settings, ("pair", at("sft", arm.start)))


def _score_step(recipe: Recipe, ruler: Arm) -> Step:
    signals = {
        "score": recipe.score.model_dump(exclude=NO_RESULT), "models": recipe.models.model_dump(),
        "policy": identity(ruler.recipe),
    }  # fmt: skip
    needs = (answers_step(recipe), "pair", *measures(ruler))
    return Step("score", partial(_score, recipe, ruler), signals, needs, measuring_files(ruler), records_kept(recipe))


def _weigh_step(arm: Arm) -> Step:
    settings = {"weigh": arm.recipe.weigh.model_dump(), "lambdas": dict(arm.lambdas)}
    return Step(at("weigh", arm.weights), partial(_weigh, arm), settings, ("pair", "score"))


def _train_step(arm: Arm) -> Step:
    settings = {"train": arm.recipe.train.model_dump(exclude=NO_RESULT), "policy": _trained(arm)}
    needs = (at("weigh", arm.weights), *reference_needs(arm), at("sft", arm.start), "prompts")
    return Step(f"train/{arm.folder}", partial(_train, arm), settings, needs)


def _trained(arm: Arm) -> dict[str, object]:
    return arm.recipe.policy.model_dump(exclude={"tiny"})


def _base(arm: Arm, out: Path, inputs: Folders) -> None:
    answers = read_answers(inputs[answers_step(arm.recipe)])
    write_table(train_base(arm.recipe.policy, answers, out / "model"), out / "history.csv")


def _sft(arm: Arm, out: Path, inputs: Folders) -> None:
    answers = read_table(inputs["pair"] / "sft.csv", "sft")
    history = train_sft(
        arm.recipe.sft, arm.recipe.policy, base_model(arm, inputs), answers, out / "model",
        watched=watched_prompts(inputs), notes=out,
    )  # fmt: skip
    write_table(history, out / "history.csv")


def _reference(arm: Arm, out: Path, inputs: Folders) -> None:
    pairs = read_table(inputs["pair"] / "pairs.csv", "pairs")
    table = reference_logps(arm.recipe.train, arm.recipe.policy, model_of(inputs[at("sft", arm.start)]), pairs)
    write_table(table, out / "reference.csv")


def _score(recipe: Recipe, ruler: Arm, out: Path, inputs: Folders) -> None:
    pairs = read_table(inputs["pair"] / "pairs.csv", "pairs")
    answers, models = read_answers(inputs[answers_step(recipe)]), measuring_models(ruler, inputs)
    table, account = score(recipe.score, answers, pairs, models)
    write_table(table, out / "signals.csv")
    write_table(account, out / "account.csv")
    tokens = token_surprise(recipe.score, answers, table, models)
    if tokens is not None:
        write_table(tokens, out / "tokens.jsonl")


def _weigh(arm: Arm, out: Path, inputs: Folders) -> None:
    pairs = read_table(inputs["pair"] / "pairs.csv", "pairs")
    signals = read_table(inputs["score"] / "signals.csv", "signals")
    table, account = weigh(arm.recipe.weigh, dict(arm.lambdas), pairs, signals)
    write_table(table, out / "pairs.csv")
    write_table(account.assign(stage=f"weigh {arm.weights}"), out / "account.csv")


def _train(arm: Arm, out: Path, inputs: Folders) -> None:
    pairs = read_table(inputs[at("weigh", arm.weights)] / "pairs.csv", "pairs")
    for name in reference_needs(arm):
        pairs = with_reference(pairs, read_table(inputs[name] / "reference.csv", "reference"))
    recipe, sft = arm.recipe, model_of(inputs[at("sft", arm.start)])
    history = train_crpo(
        recipe.train, recipe.policy, sft, pairs, out / "model", arm.folder, watched=watched_prompts(inputs), notes=out
    )
    write_table(history, out / "history.csv")
