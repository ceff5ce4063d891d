"""Steps on data: split, rate, pair, and the learned rater."""

from __future__ import annotations

from functools import partial
from importlib import resources
from pathlib import Path

import pandas as pd

from crpo.datasets import read_data
from crpo.datasets.ratings import read_ratings
from crpo.errors import InputError
from crpo.plan.inputs import HELDOUT, answers_step, local, read_answers
from crpo.recipe import Recipe
from crpo.stages.pair import pair
from crpo.stages.rate import rate
from crpo.stages.rater import learn_rater
from crpo.stages.split import heldout_prompts, merge_duplicates, split_answers
from crpo.stages.step import Folders, Step
from crpo.tables import read_table, write_table

BUNDLED = "bundled"


def bundled_ratings() -> Path:
    """Return the bundled simulated corpus: long ratings."""
    return Path(str(resources.files("crpo.datasets.corpus").joinpath("ratings.csv")))


def data_source(recipe: Recipe) -> Path:
    """Return the file that people's answers come from."""
    if recipe.data.responses:
        return Path(recipe.data.responses)
    return bundled_ratings() if recipe.data.ratings == BUNDLED else Path(str(recipe.data.ratings))


def data_steps(recipe: Recipe) -> list[Step]:
    """Return the steps from people's answers to pairs."""
    source = data_source(recipe)
    kind = {"source": "responses" if recipe.data.responses else "ratings"}
    split = {**recipe.data.model_dump(exclude={"responses", "ratings"}), **kind}
    if recipe.data.near_duplicates is not None:
        split["embedder"] = recipe.models.embedder
    if recipe.data.ratings:
        split |= recipe.rate.model_dump(include={"scale", "missing_codes"})
    answers = answers_step(recipe)
    own = (Path(recipe.data.tasks),) if recipe.data.tasks else ()
    steps = [Step("split", partial(_split, recipe, source), split, (), (source, *own))]
    if recipe.data.ratings:
        merge = recipe.data.merge_duplicates
        steps.append(Step("rate", partial(_rate, recipe), {**recipe.rate.model_dump(), "merge": merge}, ("split",)))
    steps.append(Step("pair", partial(_pair, recipe, answers), recipe.pair.model_dump(), (answers,)))
    steps.append(Step("prompts", partial(_prompts, answers), {}, (answers,)))
    if recipe.models.quality == "learned":
        models, outside = {"embedder": recipe.models.embedder}, local(recipe.models.embedder)
        steps.append(Step("rater", partial(_rater, recipe, answers), models, (answers,), outside))
    return steps


def _split(recipe: Recipe, source: Path, out: Path, _: Folders) -> None:
    table = read_data(source, "responses") if recipe.data.responses else _read_rated(recipe, source)
    unrated = pd.Series(False, table.index) if recipe.data.responses else table["rating"].isna()
    rated = table[~unrated].reset_index(drop=True)
    answers, account = split_answers(recipe.data, rated, recipe.models.embedder)
    if recipe.data.ratings:
        account.loc[len(account)] = ["split", "answers without any rating", int(unrated.sum())]
    if recipe.data.responses and recipe.data.merge_duplicates:
        answers, account = _merged(answers, account)
    write_table(answers, out / "answers.csv")
    write_table(account, out / "account.csv")


def _read_rated(recipe: Recipe, source: Path) -> pd.DataFrame:
    return read_ratings(source, "rated answers", scale=recipe.rate.scale, missing_codes=recipe.rate.missing_codes)


def _merged(answers: pd.DataFrame, account: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    merged = merge_duplicates(answers)
    lost = len(answers) - len(merged)
    account.loc[len(account)] = ["merge", "answers merged with an equal one to the same prompt", lost]
    return merged, account


def _rate(recipe: Recipe, out: Path, inputs: Folders) -> None:
    rated = rate(recipe.rate, read_table(inputs["split"] / "answers.csv", "rated answers"))
    scores, account = rated.scores, rated.account
    if recipe.data.merge_duplicates:
        scores, account = _merged(scores, account)
    write_table(scores, out / "answers.csv")
    write_table(rated.raters, out / "raters.csv")
    write_table(account, out / "account.csv")


def _pair(recipe: Recipe, answers: str, out: Path, inputs: Folders) -> None:
    pairs, sft, account = pair(recipe.pair, read_answers(inputs[answers]))
    if sft.empty:
        best = f"no training answer scores {recipe.pair.sft_min_score:g} or more, so there is nothing to fine-tune on"
        raise InputError(best, "Lower pair.sft_min_score.")
    write_table(pairs, out / "pairs.csv")
    write_table(sft, out / "sft.csv")
    write_table(account, out / "account.csv")


def _prompts(answers: str, out: Path, inputs: Folders) -> None:
    # A step of its own: trainings are watched by these prompts, but are not stale because of a held-out answer.
    prompts = heldout_prompts(read_answers(inputs[answers]))
    if len(prompts):
        write_table(prompts, out / HELDOUT)


def _rater(recipe: Recipe, answers: str, out: Path, inputs: Folders) -> None:
    table = read_answers(inputs[answers])
    table = table[(table["split"] == "train") & table["creativity_score"].notna()].reset_index(drop=True)
    rater, agreement = learn_rater(table, recipe.models.embedder)
    rater.save(out / "rater.npz")
    write_table(agreement, out / "agreement.csv")
