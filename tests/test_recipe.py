"""Recipes: strict, with the nearest known key, and every bundled one valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crpo.errors import InputError
from crpo.plan import plan
from crpo.recipe import Recipe, read_recipe
from crpo.stages.departures import definitions, departures

MINIMAL = "name: mine\ndata: {responses: answers.csv}\n"


def recipe_from(tmp_path: Path, text: str, *changes: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return read_recipe(path, list(changes))


def test_every_bundled_recipe_is_valid_and_has_a_plan() -> None:
    folder = Path(__file__).parent.parent / "recipes"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    assert {"demo", "small"} <= set(names)
    for name in names:
        recipe = read_recipe(name)
        steps = plan(recipe)
        seen: set[str] = set()
        for step in steps:
            assert set(step.needs) <= seen, f"{name}: {step.name} comes before what it needs"
            seen.add(step.name)
        assert len(steps) > 20


def test_the_defaults_are_the_papers(tmp_path: Path) -> None:
    recipe = recipe_from(tmp_path, MINIMAL)
    assert (recipe.train.beta, recipe.train.learning_rate, recipe.train.scheduler) == (0.1, 5e-6, "linear")
    assert (recipe.sft.learning_rate, recipe.sft.scheduler, recipe.sft.warmup_ratio) == (3e-5, "cosine", 0.5)
    assert (recipe.pair.min_score, recipe.pair.min_gap, recipe.pair.max_uses) == (20, 5, 10)
    assert sum(cell.samples for cell in recipe.generate.grid) == 16
    assert recipe.score.scale == "minmax"
    assert recipe.weigh.combine == "sum"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "train: {bta: 0.1}", "unknown key 'train.bta'.*Did you mean \"beta\""),
        (MINIMAL + "trian: {}", "unknown key 'trian'.*Did you mean \"train\""),
        (MINIMAL + "train: {beta: high}", "key 'train.beta'.*found 'high'"),
        (MINIMAL + "train: {loss: dpoo}", "key 'train.loss'"),
        ("name: mine", "key 'data' is missing"),
        ("name: mine\ndata: {}", "exactly one of data.responses and data.ratings"),
        (MINIMAL + "variants: {a: {novelti: 1}}", "'novelti' is not among score.signals.*novelty"),
        (MINIMAL + "variants: {a: {novelty: -1}}", "key 'variants.a.novelty'"),
        (MINIMAL + "variants: {SFT: {}}", "choose another name"),
        (MINIMAL + "weigh: {combine: contrast}", "score.over: all"),
        ("name: [", "row 2|row 1"),
        ("- a", "is not a recipe"),
    ],
)
def test_a_wrong_recipe_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe_from(tmp_path, text)


def test_changes_on_the_command_line_are_applied_and_checked(tmp_path: Path) -> None:
    recipe = recipe_from(tmp_path, MINIMAL, "train.beta=0.5", "variants={DPO: {}}", "policy.tiny.layers=2")
    assert (recipe.train.beta, list(recipe.variants), recipe.policy.tiny.layers) == (0.5, ["DPO"], 2)
    with pytest.raises(InputError, match="Did you mean"):
        recipe_from(tmp_path, MINIMAL, "train.betta=1")
    with pytest.raises(InputError, match="no '='"):
        recipe_from(tmp_path, MINIMAL, "train.beta")


def test_a_default_written_out_is_the_default(tmp_path: Path) -> None:
    written = "variants={DPO: {}, CrPO-nov: {novelty: 1}, CrPO-div: {diversity: 1}}"
    floats = "variants={DPO: {}, CrPO-nov: {novelty: 1.0}, CrPO-div: {diversity: 1.0}}"
    plans = [plan(recipe_from(tmp_path, MINIMAL, change)) for change in (written, floats)]
    default = {step.name: step for step in plan(recipe_from(tmp_path, MINIMAL))}
    for step, same in zip(*plans, strict=True):
        assert json.dumps(step.settings) == json.dumps(same.settings)
        if step.name != "report":
            assert json.dumps(step.settings) == json.dumps(default[step.name].settings)


def test_a_reader_sees_which_definitions_are_on(tmp_path: Path) -> None:
    plain = recipe_from(tmp_path, MINIMAL, "data.merge_duplicates=false", "train.pairs_per_prompt=1")
    assert definitions(plain) == "the paper's definitions"
    ours = recipe_from(tmp_path, MINIMAL, "score.scale=rank", "train.pairs_per_prompt=1")
    assert departures(ours) == {"data.merge_duplicates": True, "score.scale": "rank"}
    assert "score.scale: rank" in definitions(read_recipe("recommended"))


def test_an_unknown_recipe_name_offers_the_nearest() -> None:
    with pytest.raises(InputError, match='Did you mean "small"'):
        read_recipe("smal")
