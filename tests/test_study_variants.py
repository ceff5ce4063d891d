"""Variants of a study that have settings, λ and populations of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.arms import arms_of, models_of
from crpo.errors import InputError
from crpo.plan import plan
from crpo.recipe import Recipe, check_section
from crpo.recipe.sections import ScoreSection
from crpo.stages.departures import definitions, differences
from crpo.stages.metrics_table import trained_on
from crpo.stages.signals import score
from crpo.stages.step import Step

OWN = {"use": "test_weighing:Column", "column": "raw"}
TWICE = {"novelty": "novelty", "length": OWN, "length_both": OWN}


def recipe(variants: dict[str, Any], study: dict[str, Any], **changes: Any) -> Recipe:
    content = {"name": "study", "data": {"ratings": "bundled"}, "variants": variants, "study": study, **changes}
    return check_section(Recipe, content, "study.yaml")


def step(settings: Recipe, name: str) -> Step:
    return next(own for own in plan(settings) if own.name == name)


def margin(**study: Any) -> Recipe:
    change = {"train": {"loss": "margin", "beta": 0.3}, "weigh": {"combine": "none"}}
    return recipe(
        {"DPO": {}, "CrPO-nov": {"novelty": 1}, "margin": {"both": 1}},
        {"changes": {"margin": change}, **study},
        score={"signals": {"novelty": "novelty", "both": "novelty"}, "over": {"both": "all"}},
    )


def test_a_variants_changes_reach_its_own_steps_and_no_other() -> None:
    settings = margin()
    assert step(settings, "train/margin").settings["train"]["loss"] == "margin"
    assert step(settings, "train/margin").settings["train"]["beta"] == 0.3
    assert step(settings, "weigh/margin").settings["weigh"]["combine"] == "none"
    for name in ("DPO", "CrPO-nov"):
        assert step(settings, f"train/{name}").settings["train"]["loss"] == "dpo"
        assert step(settings, f"weigh/{name}").settings["weigh"]["combine"] == "sum"
    shared = {own.name for own in plan(settings)} & {"sft", "reference", "score", "pair"}
    assert shared == {"sft", "reference", "score", "pair"}  # once each, for all variants


def test_only_the_swept_variants_are_there_at_every_lambda() -> None:
    settings = margin(lambdas=[0.5, 1], sweep=["CrPO-nov"])
    assert models_of(settings) == ["base", "SFT", "DPO", "CrPO-nov λ=0.5", "CrPO-nov", "margin"]
    assert {arm.lambdas["both"] for arm in arms_of(settings) if arm.variant == "margin"} == {1.0}


def test_what_a_variant_changes_is_told_as_a_departure_from_the_paper() -> None:
    told = differences(margin())
    assert told["weigh.combine of margin"] == ("none", "sum")
    assert "train.loss of margin" in told
    assert "weigh.combine" not in told
    assert "weigh.combine of margin: none" in definitions(margin())


def test_a_gate_of_one_variant_is_among_what_that_one_was_trained_on() -> None:
    settings = recipe(
        {"CrPO-nov": {"novelty": 1}, "gated": {"novelty": 1}}, {"changes": {"gated": {"weigh": {"gate": {}}}}}
    )
    used = {arm.model: trained_on(arm.recipe, dict(arm.lambdas)) for arm in arms_of(settings)}
    assert (used["gated"], used["CrPO-nov"]) == ({"novelty", "quality"}, {"novelty"})


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"changes": {"margn": {}}}, "no variant is called 'margn'"),
        ({"sweep": ["CrPO-nv"]}, "no variant is called 'CrPO-nv'"),
        ({"changes": {"CrPO-nov": {"train": {"bta": 1}}}}, "study.changes.CrPO-nov.train: unknown key 'bta'"),
        ({"changes": {"CrPO-nov": {"sft": {"epochs": 1}}}}, "unknown key"),
        ({"changes": {"CrPO-nov": {"weigh": {"combine": "contrast"}}}}, "needs the rejected answers' signals"),
        ({"lambdas": [1, 2], "changes": {"CrPO-nov": {"weigh": {"mean_weight": 1}}}}, "takes out what λ puts in"),
        ({"lambdas": [1, 2], "sweep": ["DPO"]}, "no variant has signals that they multiply"),
    ],
)
def test_changes_that_make_no_sense_are_one_line(study: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recipe({"DPO": {}, "CrPO-nov": {"novelty": 1}}, study)


def pairs_of_three() -> tuple[pd.DataFrame, pd.DataFrame]:
    texts = ["a cat", "one two three", "a very long answer indeed", "b", "some other words"]
    answers = pd.DataFrame({"response_id": list("abcde"), "prompt_id": "p", "prompt": "Q", "response": texts})
    answers["raw"] = [len(text.split()) for text in texts]
    pairs = pd.DataFrame({"chosen_id": ["a", "b", "c"], "rejected_id": ["d", "c", "d"]})
    return answers, pairs


def test_each_signal_may_have_a_population_of_its_own() -> None:
    answers, pairs = pairs_of_three()
    section = ScoreSection(signals={**TWICE}, over={"length_both": "all"})
    found = score(section, answers, pairs, {"embedder": "minilm"})[0].set_index("response_id")
    assert list(found.index) == ["a", "b", "c", "d"]  # e is in no pair
    assert found["length_raw"].isna().tolist() == [False, False, False, True]
    np.testing.assert_allclose(found["length"], [0, 1 / 3, 1, np.nan])  # among 2, 3 and 5 words
    np.testing.assert_allclose(found["length_both"], [0.25, 0.5, 1, 0])  # among 1 to 5
    for over, names in (("chosen", ["novelty", "length"]), ("all", ["length_both"])):
        alone = score(ScoreSection(signals={name: TWICE[name] for name in names}, over=over), answers, pairs,
                      {"embedder": "minilm"})[0].set_index("response_id")  # fmt: skip
        for name in names:
            np.testing.assert_array_equal(found.loc[alone.index, name], alone[name])
