"""The tables behind the report's figures: by seed and task, the front, signs of collapse, provenance, votes."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.estimates import mean_over_tasks
from crpo.plan import plan
from crpo.plan.reporting import report_step
from crpo.recipe import Recipe, read_recipe
from crpo.recipe.sections import EvaluateSection
from crpo.stages.breakdown import by_seed, by_task
from crpo.stages.collapse import signs_of_collapse
from crpo.stages.compare import estimate
from crpo.stages.front import pareto_front
from crpo.stages.provenance import commit, hash_of, provenance
from crpo.stages.study_tables import read_win_rates
from report_contents import arms, scores

SECTION = EvaluateSection(draws=400)
ROOT = Path(__file__).parents[1]


def table(values: dict[str, list[tuple[float, float]]], tasks: list[str]) -> pd.DataFrame:
    """Scores of models: (quality, novelty) by prompt."""
    rows = [(model, 1, tasks[p], f"p{p}", metric, value)
            for model, own in values.items() for p, pair in enumerate(own)
            for metric, value in zip(("quality", "novelty"), pair, strict=True)]  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(["model", "seed", "task", "prompt_id", "metric", "value"]))


def test_one_seeds_values_by_seed_are_the_estimates() -> None:
    own = scores(arms())
    one, other = by_seed(own), estimate(SECTION, own)
    merged = one.merge(other, on=["model", "metric"], suffixes=("", "_estimate"))
    assert len(merged) == len(one) == 9 * 6
    np.testing.assert_allclose(merged["value"], merged["value_estimate"], rtol=1e-12)


def test_a_tasks_value_is_the_estimate_over_its_prompts_with_seeds_averaged_first() -> None:
    own = scores(arms(seeds=(1, 2)))
    found = by_task(SECTION, own).query("model == 'CrPO-nov' and metric == 'novelty' and task == 'Stories'")
    part = own.query("model == 'CrPO-nov' and metric == 'novelty' and task == 'Stories'")
    prompts = part.groupby("prompt_id")["value"].mean().to_numpy()
    expected = mean_over_tasks(prompts, np.zeros(len(prompts), int), draws=400, seed=SECTION.seed)
    numbers = found[["value", "low", "high", "prompts"]].to_numpy().tolist()
    assert numbers == [[expected.value, expected.low, expected.high, 3]]


def test_the_front_are_the_models_that_no_other_beats() -> None:
    own = scores(arms(), prompts=12, tasks=3)
    models = list(dict.fromkeys(own["model"]))
    front = pareto_front(SECTION, own, models).set_index("model")
    for model, row in front.iterrows():
        better = {
            other for other, that in front.iterrows()
            if that["quality"] >= row["quality"] and that["creativity"] >= row["creativity"]
            and (that["quality"] > row["quality"] or that["creativity"] > row["creativity"])
        }  # fmt: skip
        assert row["on_front"] == (not better), model
        assert set(filter(None, str(row["beaten_by"]).split(", "))) == better
    assert 1 <= front["on_front"].sum() < len(models)
    quality = estimate(SECTION, own).query("metric == 'quality'").set_index("model")
    np.testing.assert_allclose(front["quality"], quality.loc[front.index, "value"], rtol=1e-12)


def test_of_two_models_of_equal_quality_the_less_creative_is_beaten_and_of_equal_ones_neither() -> None:
    own = table({"a": [(1, 3), (1, 5)], "b": [(1, 2), (1, 4)], "c": [(1, 3), (1, 5)]}, ["x", "x"])
    front = pareto_front(SECTION, own, ["a", "b", "c"]).set_index("model")
    assert front["on_front"].to_dict() == {"a": True, "b": False, "c": True}
    assert front["beaten_by"].to_dict() == {"a": "", "b": "a, c", "c": ""}


def test_creativity_is_the_share_of_models_beaten_prompt_by_prompt_with_ties_as_half() -> None:
    own = table({"a": [(1, 3), (1, 5)], "b": [(2, 2), (2, 5)], "c": [(3, 1), (3, 1)]}, ["x", "x"])
    front = pareto_front(SECTION, own, ["a", "b", "c"]).set_index("model")
    assert front["creativity"].to_dict() == {"a": 0.875, "b": 0.625, "c": 0.0}
    assert front["on_front"].all()


def test_a_model_that_wins_on_every_prompt_is_surely_alone_on_the_front_and_a_tie_is_not_settled() -> None:
    random = np.random.default_rng(3)
    common = random.normal(0, 1, (20, 2))
    near = [tuple(row) for row in common + random.normal(0, 0.5, (20, 2))]
    values = {"top": [(9 + q, 9 + n) for q, n in common], "low": [tuple(row) for row in common], "near": near}
    front = pareto_front(SECTION, table(values, ["x", "y"] * 10), list(values)).set_index("model")
    assert front["share"].to_dict() == {"top": 1.0, "low": 0.0, "near": 0.0}
    del values["top"]
    settled = pareto_front(SECTION, table(values, ["x", "y"] * 10), list(values)).set_index("model")
    assert settled["share"].between(0.2, 1.0, inclusive="left").all()


def test_what_is_not_scored_is_not_on_the_front_and_beats_nobody() -> None:
    own = table({"a": [(1, 3), (1, 4)], "b": [(2, 2), (2, 3)], "c": [(np.nan, 9), (np.nan, 9)]}, ["x", "x"])
    front = pareto_front(SECTION, own, ["a", "b", "c"]).set_index("model")
    assert np.isnan(front.loc["c", ["quality", "creativity", "share"]].to_numpy(float)).all()
    assert front["on_front"].to_dict() == {"a": True, "b": True, "c": False}
    assert front["prompts"].to_dict() == {"a": 2, "b": 2, "c": 0}
    assert pareto_front(SECTION, own.query("metric == 'quality'"), ["a", "b"]).empty
    nothing = pareto_front(SECTION, own.assign(value=np.nan), ["a", "b"])
    assert not nothing["on_front"].any()
    assert nothing["share"].isna().all()
    holed = table({"a": [(1, 3), (1, 4)], "b": [(2, 2), (np.nan, 3)]}, ["x", "x"])
    assert pareto_front(SECTION, holed, ["a", "b"])["share"].isna().all()
    alone = table({"a": [(1, 3)], "b": [(2, 2)]}, ["x"])
    assert pareto_front(SECTION, alone, ["a", "b"])["share"].isna().all(), "one prompt says nothing of others"


def answers(model: str, texts: list[str], seed: str = "1", status: str = "ok") -> pd.DataFrame:
    return pd.DataFrame({"model": model, "seed": seed, "prompt_id": "p", "response": texts, "status": status})


def test_signs_of_collapse_are_counted_and_told_against_the_model_before() -> None:
    good = ["a hat for a cat", "a boat of bark", "some stilts", "a drum for ants"]
    samples = pd.concat([
        answers("base", ["a", "b", "c", "d"]),
        answers("SFT", good),
        answers("dull", ["A hat.", "a  hat.", "a hat.", "a boat"]),
        answers("mute", ["hat", "boat", "", " \u200b"]),
        answers("mute", ["x"], status="error"),
        answers("fine", good),
    ])  # fmt: skip
    rows = [(name, name, np.nan, "", "1") for name in ("base", "SFT", "dull", "mute", "fine")]
    own = pd.DataFrame(rows, columns=pd.Index(["model", "variant", "lambda", "policy", "seed"]))
    values = {"base": 0.1, "SFT": 0.8, "dull": 0.39, "mute": 0.7, "fine": 0.41}
    diversity = pd.DataFrame([(m, "1", "diversity", v) for m, v in values.items()],
                             columns=pd.Index(["model", "seed", "metric", "value"]))  # fmt: skip
    bench = pd.DataFrame([("SFT", "curated", 8.0), ("fine", "curated", 3.9), ("dull", "curated", 4.0)],
                         columns=pd.Index(["model", "prompt_set", "distinct"]))  # fmt: skip
    found = signs_of_collapse(samples, own, diversity, bench).set_index("model")
    assert found["answers"].to_dict() == {"base": 4, "SFT": 4, "dull": 4, "mute": 2, "fine": 4}
    assert found.loc["dull", "duplicates"] == 0.5
    assert found.loc["mute", "one_word"] == 1
    assert found.loc["mute", "empty"] == pytest.approx(2 / 5)
    assert found["reference"].to_dict() == {"base": "", "SFT": "base", "dull": "SFT", "mute": "SFT", "fine": "SFT"}
    told = found["warning"].astype(str).to_dict()
    assert "diversity is 0.39, under half of SFT's 0.8" in told["dull"]
    assert "50 % of its answers repeat an earlier answer" in told["dull"]
    assert "40 % of its answers are empty (SFT: 0 %)" in told["mute"]
    assert "100 % of its answers are one word (SFT: 0 %)" in told["mute"]
    assert told["fine"] == "the number of distinct answers on NoveltyBench is 3.9, under half of SFT's 8"
    assert told["SFT"] == ""


def test_an_answer_in_a_script_without_spaces_is_not_one_word() -> None:
    samples = pd.concat([answers("base", ["用绳子做秋千", "绑行李"]), answers("SFT", ["用绳子做秋千", "绑行李"])])
    rows = [(name, name, np.nan, "", "1") for name in ("base", "SFT")]
    own = pd.DataFrame(rows, columns=pd.Index(["model", "variant", "lambda", "policy", "seed"]))
    nothing = pd.DataFrame(columns=pd.Index(["model", "seed", "metric", "value"]))
    found = signs_of_collapse(samples, own, nothing)
    assert found["one_word"].eq(0).all()
    assert found["diversity"].isna().all()
    assert found["warning"].eq("").all()


def test_a_seed_is_compared_with_its_own_seed_of_the_reference() -> None:
    texts = ["one two", "three four"]
    samples = pd.concat([answers(m, texts, s) for m in ("SFT", "DPO") for s in ("1", "2")])
    rows = [(m, m, np.nan, "", s) for m in ("SFT", "DPO") for s in ("1", "2")]
    own = pd.DataFrame(rows, columns=pd.Index(["model", "variant", "lambda", "policy", "seed"]))
    values = {("SFT", "1"): 0.9, ("SFT", "2"): 0.3, ("DPO", "1"): 0.4, ("DPO", "2"): 0.4}
    diversity = pd.DataFrame([(*key, "diversity", v) for key, v in values.items()],
                             columns=pd.Index(["model", "seed", "metric", "value"]))  # fmt: skip
    found = signs_of_collapse(samples, own, diversity).set_index(["model", "seed"])
    assert found.loc[("DPO", "1"), "warning"] == "diversity is 0.4, under half of SFT's 0.9"
    assert found.loc[("DPO", "2"), "warning"] == ""


def test_provenance_names_what_can_be_checked_with_other_tools(tmp_path: Path) -> None:
    source = tmp_path / "answers.csv"
    source.write_bytes(b"task,item\n")
    step = tmp_path / "run" / "train" / "DPO"
    step.mkdir(parents=True)
    (step / "done.json").write_text(json.dumps({"hash": "ab" * 32}))
    (tmp_path / "run" / "run.json").write_text(json.dumps({"command": "crpo run demo"}))
    found = provenance("seed: 1\n", source, {"train/DPO": step})
    values = {(row["what"], row["name"]): row["value"] for row in found.to_dict("records")}
    assert values["data", "answers.csv"] == hashlib.sha256(b"task,item\n").hexdigest()[:16]
    assert values["recipe", "resolved, below"] == hashlib.sha256(b"seed: 1\n").hexdigest()[:16]
    assert values["made by", "train/DPO"] == "ab" * 8
    assert values["command", "crpo"] == "crpo run demo"
    assert hash_of(tmp_path / "nowhere") == "not found"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_commit_is_gits() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert commit().split(" ")[0] == head.stdout.strip()


def test_votes_named_in_the_recipe_are_read_and_make_the_report_stale(tmp_path: Path) -> None:
    path = tmp_path / "won.csv"
    path.write_text("dimension,model,against,wins,ties,losses,win_rate,low,high\ncreativity,a,b,3,1,2,0.58,0.2,0.9\n")
    won = read_win_rates(str(path))
    assert won is not None
    assert won[["wins", "win_rate", "high"]].to_numpy().tolist() == [[3.0, 0.58, 0.9]]
    assert read_win_rates(None) is None
    recipe = read_recipe("demo", [f"report.win_rates={path}"])
    assert plan(recipe)[-1].reads == (path,)
    assert report_step(Recipe.model_validate({**recipe.model_dump(), "report": {}}), [], []).reads == ()
    path.write_text("model,against\na,b\n")
    with pytest.raises(InputError, match="column 'dimension' is missing"):
        read_win_rates(str(path))
