"""Studies: variants × seeds × λ × policies from one recipe, with what they share done once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from crpo.arms import arms_of, arms_table, models_of
from crpo.errors import InputError
from crpo.plan import plan
from crpo.recipe import Recipe, read_recipe
from crpo.runs import needed_for
from crpo.stages.departures import differences
from crpo.stages.signals import weigh
from crpo.stages.step import Step
from malformed import Command
from test_kills import crpo, tables, wait_for

VARIANTS = {"DPO": {}, "CrPO-nov": {"novelty": 1}, "CrPO-cre": {"novelty": 1, "quality": 2}}
SEEDS, LAMBDAS = [12, 42], [0.5, 1.0]
TINY = {"hidden_size": 32, "layers": 1, "heads": 2, "vocabulary": 600, "tokens_per_step": 512, "learning_rate": 1e-2}


def recipe(**changes: Any) -> Recipe:
    content = {"name": "study", "data": {"ratings": "bundled"}, "variants": VARIANTS,
               "study": {"seeds": SEEDS, "lambdas": LAMBDAS}}  # fmt: skip
    return Recipe.model_validate({**content, **changes})


def names(settings: Recipe, *stages: str) -> list[str]:
    return [step.name for step in plan(settings) if step.name.split("/")[0] in stages]


def step(settings: Recipe, name: str) -> Step:
    return next(step for step in plan(settings) if step.name == name)


def test_what_arms_share_is_there_once_and_what_they_do_not_is_there_for_each() -> None:
    shared = ("split", "rate", "pair", "rater", "base", "sft", "reference", "score", "weigh")
    stages = Counter(name.split("/")[0] for name in names(recipe(), *shared, "train", "generate"))
    arms = 2 * (1 + 2 * 2)  # seeds × (DPO, and two variants at two λ)
    assert stages == {
        "split": 1, "rate": 1, "pair": 1, "rater": 1, "base": 1, "score": 1, "sft": 2, "reference": 2, "weigh": 5,
        "train": arms, "generate": arms + 4,
    }  # fmt: skip
    every = [step.name for step in plan(recipe())]
    assert len(every) == len(set(every))
    for number, own in enumerate(plan(recipe())):
        assert set(own.needs) <= set(every[:number]), own.name


def test_names_say_which_arm_it_is_and_no_folder_is_inside_another() -> None:
    assert names(recipe(), "weigh") == [
        "weigh/DPO", "weigh/CrPO-nov/lambda-0.5", "weigh/CrPO-nov/lambda-1", "weigh/CrPO-cre/lambda-0.5",
        "weigh/CrPO-cre/lambda-1",
    ]  # fmt: skip
    assert names(recipe(), "sft", "reference") == [
        "sft/seed-12", "reference/seed-12", "sft/seed-42", "reference/seed-42",
    ]  # fmt: skip
    assert "train/CrPO-nov/lambda-0.5/seed-12" in names(recipe(), "train")
    assert "train/DPO/seed-42" in names(recipe(), "train")
    every = [step.name for step in plan(recipe(policy={}, study=TWO_POLICIES))]
    assert not [a for a in every for b in every if b.startswith(f"{a}/")]


TWO_POLICIES = {"seeds": SEEDS, "policies": {"small": {"tiny": TINY}, "hub": {"model": "own/model"}}}


def test_the_labels_of_arms_hold_no_seed_and_name_lambda_and_policy_where_they_vary() -> None:
    assert models_of(recipe()) == ["base", "SFT", "DPO", "CrPO-nov λ=0.5", "CrPO-nov", "CrPO-cre λ=0.5", "CrPO-cre"]
    several = recipe(study={**TWO_POLICIES, "lambdas": [2.0]})
    assert models_of(several)[2:4] == ["small: DPO", "small: CrPO-nov λ=2"]
    assert arms_of(several)[-1].folder == "hub/CrPO-cre/lambda-2/seed-42"
    table = arms_table(arms_of(recipe()))
    assert list(table) == ["model", "variant", "lambda", "policy", "seed"]
    own = table[table["variant"] == "CrPO-nov"]
    assert own[["lambda", "seed"]].to_numpy().tolist() == [[0.5, 12], [0.5, 42], [1, 12], [1, 42]]
    assert table.loc[table["variant"].isin(["base", "SFT", "DPO"]), "lambda"].isna().all()


def test_several_policies_share_data_signals_and_weights_and_one_of_them_measures() -> None:
    several = recipe(study=TWO_POLICIES)
    assert names(several, "base") == ["base/small"]  # the other one is there already
    assert names(several, "score", "weigh") == ["score", "weigh/DPO", "weigh/CrPO-nov", "weigh/CrPO-cre"]
    assert names(several, "sft") == [f"sft/{name}/seed-{seed}" for name in ("small", "hub") for seed in SEEDS]
    for own in plan(several):
        if own.name.startswith(("score", "evaluate/")):
            assert "base/small" in own.needs, own.name
            assert own.settings["policy"]["model"] == "tiny"
    assert step(several, "train/hub/DPO/seed-12").settings["policy"]["model"] == "own/model"


def test_a_seed_changes_the_sections_it_is_for_and_nothing_else() -> None:
    def differing(name: str, study: dict[str, Any]) -> set[str]:
        first, second = (step(recipe(study={**study, "seeds": SEEDS}), f"{name}/seed-{seed}") for seed in SEEDS)
        return set(_different(first.settings, second.settings))

    everything: dict[str, Any] = {}
    assert differing("sft", everything) == {"sft.seed"}
    assert differing("train/DPO", everything) == {"train.seed"}
    assert differing("generate/DPO", everything) == {"generate.seed"}
    assert differing("evaluate/DPO", everything) == {"seed"}  # the column of the table
    assert differing("reference", everything) == set()  # but its SFT model differs
    assert differing("train/DPO", {"reseed": ["generate"]}) == set()
    assert differing("train/DPO", {"reseed": ["train"]}) == {"train.seed"}


def _different(a: Any, b: Any, where: str = "") -> list[str]:
    if isinstance(a, dict):
        return [found for key in a for found in _different(a[key], b[key], f"{where}.{key}".strip("."))]
    return [] if a == b else [where]


def test_a_model_that_no_seed_touches_is_made_once() -> None:
    only_training = recipe(study={"seeds": SEEDS, "reseed": ["train"]})
    assert names(only_training, "sft", "reference") == ["sft", "reference"]
    assert names(only_training, "generate")[:4] == [
        "generate/base", "generate/SFT", "generate/DPO/seed-12", "generate/DPO/seed-42",
    ]  # fmt: skip


def test_a_recipe_without_a_study_has_the_steps_it_always_had() -> None:
    plain = recipe(study={})
    assert [step.name for step in plan(plain)] == [
        "split", "rate", "pair", "prompts", "rater", "base", "sft", "reference", "score",
        *(f"{stage}/{name}" for name in VARIANTS for stage in ("weigh", "train")),
        *(f"{stage}/{name}" for name in ("base", "SFT", *VARIANTS) for stage in ("generate", "evaluate")), "report",
    ]  # fmt: skip
    assert [arm.seed for arm in arms_of(plain)] == [42] * 5


def test_until_takes_a_seed_a_lambda_or_a_policy() -> None:
    steps = plan(recipe())
    wanted = {own.name for own in needed_for(steps, "seed-12")}
    assert "train/CrPO-cre/lambda-1/seed-12" in wanted
    assert not [name for name in wanted if "seed-42" in name]
    half = {own.name for own in needed_for(steps, "lambda-0.5")}
    assert {"weigh/CrPO-nov/lambda-0.5", "sft/seed-42", "split"} <= half
    assert "train/DPO/seed-42" not in half
    with pytest.raises(InputError, match="seed-12"):
        needed_for(steps, "seed-13")


@pytest.mark.parametrize("combine", ["sum", "contrast"])
def test_weights_grow_with_lambda(combine: str) -> None:
    signals = pd.DataFrame({"response_id": list("abcd"), "prompt_id": "p", "novelty_raw": [1.0, 2, 3, 4],
                            "novelty": [0.1, 0.4, 0.7, 1.0], "quality_raw": [1.0, 2, 3, 4],
                            "quality": [0.9, 0.5, 0.2, 0.6]})  # fmt: skip
    pairs = pd.DataFrame({"chosen_id": list("dcb"), "rejected_id": list("aab")})
    settings = recipe(score={"over": "all"}, weigh={"combine": combine}, study={"lambdas": [0.5, 2]})
    half, double = (arm for arm in arms_of(settings) if arm.variant == "CrPO-cre")
    weights = [
        weigh(settings.weigh, dict(arm.lambdas), pairs, signals)[0]["weight"].to_numpy() for arm in (half, double)
    ]
    assert weights[0].any()
    np.testing.assert_allclose(weights[1], 4 * weights[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": {"seeds": [1, 2, 1]}}, "seeds: 1 is there twice"),
        ({"study": {"lambdas": [1, 1.0]}}, "lambdas: 1 is there twice"),
        ({"study": {"lambdas": [0.1, 0.10000001]}}, "lambdas: 0.1 is there twice"),  # they would share a folder
        ({"study": {"lambdas": [0]}}, "study.lambdas"),
        ({"study": {"lambdas": [-1]}}, "study.lambdas"),
        ({"study": {"lambdas": []}}, "study.lambdas"),
        ({"study": {"seeds": [-1]}}, "study.seeds"),
        ({"study": {"seeds": [1.5]}}, "study.seeds"),
        ({"study": {"reseed": ["score"]}}, "study.reseed"),
        ({"study": {"reseed": []}}, "study.reseed"),
        ({"study": {"sedes": [1]}}, 'Did you mean "seeds"'),
        ({"study": {"policies": {"../x": {}}}}, "study.policies"),
        ({"study": {"policies": {"a": {"modle": "x"}}}}, 'Did you mean "model"'),
        ({"variants": {"base": {}}}, "choose another name"),
        ({"variants": {".hidden": {}}}, "variants"),
        ({"variants": {"DPO": {}}, "study": {"lambdas": [2]}}, "no variant has signals"),
        ({"weigh": {"mean_weight": 1}, "study": {"lambdas": [1, 2]}}, "weigh.mean_weight"),
        ({"policy": {"dtype": "bfloat16"}, "study": {"policies": {"a": {}}}}, "study.policies takes its place"),
    ],
)
def test_a_wrong_study_is_one_line_and_nothing_is_written(
    command: Command, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    text = yaml.safe_dump({"name": "wrong", "data": {"ratings": "bundled"}, **changes})
    code, out, told = command("run wrong.yaml", {"wrong.yaml": text})
    assert (code, out, told.count("\n")) == (2, "", 1), told
    assert message in told
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_needs_no_data_no_gpu_and_lists_every_run_and_step(command: Command, tmp_path: Path) -> None:
    start = time.monotonic()
    code, out, told = command("run paper-llama --dry-run --json")
    assert code == 0, told
    assert time.monotonic() - start < 20  # seconds; on a quiet machine two
    facts = json.loads(out)
    assert (facts["runs"], facts["pairs"]) == (12, 42_058)
    assert "the paper's counts" in facts["counted from"]
    steps = {row["step"]: row for row in facts["step list"]}
    assert list(steps) == [own.name for own in plan(read_recipe("paper-llama"))]
    assert {row["model"] for row in facts["run list"]} >= {"base", "SFT", "DPO", "CrPO-cre"}
    assert steps["train/DPO"]["hours"] > 0
    assert steps["weigh/DPO"]["hours"] is None  # no model works there
    assert facts["differences"]["policy.dtype"] == ["bfloat16", "float16"]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_counts_what_the_run_will_train_on(command: Command, answers: pd.DataFrame, tmp_path: Path) -> None:
    answers.to_csv(tmp_path / "answers.csv", index=False)
    text = yaml.safe_dump({"name": "counted", "data": {"responses": "answers.csv", "heldout_items": 1},
                           "train": {"pairs_per_prompt": 1}, "study": {"seeds": [1, 2]}})  # fmt: skip
    code, out, told = command("run own.yaml --dry-run --json", {"own.yaml": text})
    assert code == 0, told
    facts = json.loads(out)
    code, out, _ = command("run own.yaml --until pair --json")
    assert code == 0
    assert facts["pairs"] == len(pd.read_csv(tmp_path / "runs" / "counted" / "pair" / "pairs.csv"))
    again = json.loads(command("run own.yaml --dry-run --json")[1])
    assert again["counted from"] == "the run in runs/counted"
    assert (again["pairs"], again["step list"][-5]["tokens"]) == (facts["pairs"], facts["step list"][-5]["tokens"])
    assert again["steps to do"] == facts["steps to do"] - 2


def test_an_unknown_device_offers_the_nearest(command: Command) -> None:
    code, _, told = command("run demo --dry-run --device h10")
    assert code == 2
    assert 'Did you mean "h100"' in told


KILLED = {
    "name": "killed",
    "data": {"ratings": "bundled", "heldout_tasks": ["Instances"], "heldout_items": 1, "limit": 400},
    "pair": {"order": "random", "max_per_prompt": 12},
    "score": {"signals": {"word_rarity": "word_rarity"}},
    "policy": {"tiny": {**TINY, "epochs": 3}},
    "sft": {"tokens_per_row": 256, "watch": {"every": 0}},
    "train": {"learning_rate": 1e-3, "tokens_per_row": 256, "watch": {"every": 0}},
    "variants": {"DPO": {}, "CrPO-rare": {"word_rarity": 1}},
    "generate": {"grid": [{"temperature": 0.8, "samples": 2}], "max_new_tokens": 60},
    "evaluate": {"metrics": {"words": "words"}, "draws": 50},
    "study": {"seeds": SEEDS, "lambdas": LAMBDAS},
}  # fmt: skip


@pytest.mark.slow
def test_a_study_killed_again_and_again_ends_with_the_same_numbers(tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "whole", tmp_path / "killed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
        (folder / "recipe.yaml").write_text(yaml.safe_dump(KILLED, sort_keys=False))
    whole = crpo(undisturbed, "run", "recipe.yaml", "--out", "run")
    for made in ("sft/seed-12", "train/CrPO-rare/lambda-0.5/seed-12", "generate/CrPO-rare/lambda-0.5/seed-12"):
        run = crpo(disturbed, "run", "recipe.yaml", "--out", "run")
        done = disturbed / "run" / made / "done.json"
        wait_for(lambda: done.exists() or run.poll() is not None, run.pid, seconds=300)  # noqa: B023
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert run.returncode == -signal.SIGKILL
    last = crpo(disturbed, "run", "recipe.yaml", "--out", "run")
    told = last.communicate()[1]
    assert (whole.communicate() and whole.returncode, last.returncode) == (0, 0), told
    assert "sft/seed-12" not in told  # what was done is not done again
    first, second = tables(undisturbed / "run"), tables(disturbed / "run")
    assert first == second
    half, one = (first[f"train/CrPO-rare/lambda-{value:g}/seed-12/model/model.safetensors"] for value in LAMBDAS)
    assert half != one  # barely: Adam takes steps of the same size whatever the gradient's (docs/studies.md)
    _check_the_tables_of_a_study(disturbed / "run" / "report")


def _check_the_tables_of_a_study(report: Path) -> None:
    arms = pd.read_csv(report / "arms.csv")
    assert len(arms) == 2 * (1 + 1 + 1 + 2)
    scores = pd.read_csv(report / "scores.csv")
    assert set(map(tuple, scores[["model", "seed"]].drop_duplicates().to_numpy())) == set(
        map(tuple, arms[["model", "seed"]].to_numpy())
    )
    seeds = [scores[(scores["model"] == "DPO") & (scores["seed"] == seed)]["value"].tolist() for seed in SEEDS]
    assert seeds[0] != seeds[1]
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "CrPO-rare λ=0.5" in page
    weights = [pd.read_csv(report.parent / "weigh" / "CrPO-rare" / f"lambda-{value:g}" / "pairs.csv")["weight"]
               for value in LAMBDAS]  # fmt: skip
    np.testing.assert_allclose(weights[1], 2 * weights[0])


@pytest.mark.parametrize("name", ["paper-llama", "paper-mistral", "lambda-sweep"])
def test_the_papers_recipes_differ_from_the_paper_in_two_settings_alone(name: str) -> None:
    assert differences(read_recipe(name)) == {
        "models.embedder": ("minilm", "jinaai/jina-embeddings-v3"), "policy.dtype": ("bfloat16", "float16"),
    }  # fmt: skip
    other = differences(read_recipe(name, ["train.beta=0.2", "policy.lora=null"]))
    assert other["train.beta"] == (0.2, 0.1)
    assert other["policy.lora.r"] == ("none", 128)


def test_the_papers_recipes_are_the_papers_studies() -> None:
    for name in ("paper-llama", "paper-mistral"):
        models = models_of(read_recipe(name))
        assert len(models) == 1 + 11  # base, and the paper's eleven
        assert {"SFT", "DPO", "CrPO-nov-qua", "CrPO-nov-div-sur", "CrPO-cre"} < set(models)
    sweep = arms_of(read_recipe("lambda-sweep"))
    assert len([arm for arm in sweep if arm.variant == "CrPO-nov"]) == 4 * 3
    assert {arm.start for arm in sweep} == {""}  # one SFT model
    assert {arm.seed for arm in sweep} == {42, 12, 92}


def test_each_of_several_policies_is_compared_with_the_papers() -> None:
    found = differences(recipe(study=TWO_POLICIES))
    assert found["study.policies.hub.model"][0] == "own/model"
    assert found["study.policies.small.dtype"] == ("float32", "float16")
