"""The results of the study: what is tested, that verdicts follow what is true, and that the page is whole."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_rel

from crpo.arms import arms_of
from crpo.recipe import Recipe
from crpo.recipe.sections import EvaluateSection
from crpo.stages.compare import compare
from differences import by_seed, compared, with_gain
from names import BASELINE, BESIDE, GAIN, INDEPENDENT, SINGLE, TRAINED, at_lambda
from questions import ASKED, answered, comparisons_of, rank_correlation
from samples import drawn, safe, samples_page
from study_runs import ARMS, PROMPTS, SEEDS, simulated_scores, write_run
from weights import BY_LAMBDA, BY_SEED, distances
from write_results import main

SECTION = EvaluateSection(draws=200)
METRICS = (*TRAINED, *INDEPENDENT, *BESIDE)
EFFECTS = {
    ("CrPO-nov", "novelty"): 3.0,
    ("CrPO-div", "diversity"): -3.0,
    ("CrPO-nov", "people_score"): -3.0,
    ("CrPO-nov", "quality"): -3.0,
    ("CrPO-nov-qua", "quality"): 3.0,
    ("Rec-all", "vendi"): 3.0,
    ("CrPO-nov-div-sur-margin", "diversity"): 30.0,
    (at_lambda("CrPO-sur", 0.5), "surprise"): 3.0,
}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return simulated_scores(EFFECTS, METRICS)


@pytest.fixture(scope="module")
def rows(scores: pd.DataFrame) -> pd.DataFrame:
    return answered(scores, SECTION)


def shown(rows: pd.DataFrame) -> set[tuple[str, str, str, str]]:
    """Family, arm, what it is compared with, and metric of the claims that were shown."""
    own = rows[(rows["verdict"] == "yes") & (rows["family"] != "")]
    return set(own[["family", "model", "baseline", "metric"]].itertuples(index=False, name=None))


def test_families_are_as_large_as_the_plan_says(rows: pd.DataFrame) -> None:
    sizes = rows[rows["family"] != ""].groupby("family").size()
    assert sizes.to_dict() == {"1": 4, "2": 3, "3a": 3, "3b": 4, "4": 12, "5": 40, "6": 4, "7": 3}
    assert rows.loc[rows["family"] == "5", "p_holm"].notna().sum() == 40


def test_a_claim_is_shown_where_there_is_an_effect_in_its_direction_and_nowhere_else(rows: pd.DataFrame) -> None:
    sur = at_lambda("CrPO-sur", 0.5)
    assert shown(rows) == {
        ("1", "CrPO-nov", BASELINE, "novelty"),
        ("3a", "CrPO-nov", BASELINE, "quality"),
        ("3b", "CrPO-nov-qua", "CrPO-nov", "quality"),
        ("4", at_lambda("CrPO-div", 0.5), "CrPO-div", "diversity"),
        ("4", sur, "CrPO-sur", "surprise"),
        ("4", sur, at_lambda("CrPO-sur", 1.5), "surprise"),
        ("4", sur, at_lambda("CrPO-sur", 2), "surprise"),
        ("5", "Rec-all", BASELINE, "vendi"),
        ("6", "CrPO-nov-div-sur-margin", "CrPO-nov-div-sur", GAIN),
        ("7", "CrPO-nov", BASELINE, "people_score"),
        ("7", "Rec-loc", "CrPO-nov", "people_score"),
    }
    against = rows[(rows["model"] == "CrPO-div") & (rows["metric"] == "diversity") & (rows["family"] == "1")].iloc[0]
    assert against["p_holm"] < 0.05
    assert against["verdict"] == "no"  # clear, and the other way


def test_nothing_is_shown_where_no_arm_differs() -> None:
    found = [len(shown(answered(simulated_scores({}, METRICS, seed=seed), SECTION))) for seed in range(2)]
    assert sum(found) <= 1  # each of eight families is wrong in at most 5 % of such tables


def test_intervals_alone_are_not_tested_but_for_the_bound_on_quality(scores: pd.DataFrame, rows: pd.DataFrame) -> None:
    beside = rows[rows["family"] == ""]
    bound = beside["question"] == "2"
    assert set(beside.loc[~bound, "verdict"]) == {"not tested"}
    assert set(beside.loc[beside["question"] == "5", "split"]) == {"unseen items", "unseen task"}
    assert (bound.sum(), beside.loc[bound, "verdict"].item()) == (1, "yes")
    less = scores["value"] - 0.6 * ((scores["model"] == "CrPO-nov-div-sur") & (scores["metric"] == "quality"))
    lost = answered(scores.assign(value=less), SECTION)
    assert lost.loc[(lost["question"] == "2") & (lost["family"] == ""), "verdict"].item() == "no"


def test_differences_are_those_of_the_comparisons_of_a_run(scores: pd.DataFrame, rows: pd.DataFrame) -> None:
    theirs = compare(SECTION, scores, BASELINE)
    own = rows[(rows["baseline"] == BASELINE) & (rows["metric"] != GAIN)]
    both = own.merge(theirs, on=["model", "baseline", "metric", "split"], suffixes=("", "_theirs"))
    assert len(both) == len(own) > 200
    for name in ("difference", "low", "high", "p", "effect_size", "prompts", "seeds"):
        np.testing.assert_allclose(both[name].astype(float), both[f"{name}_theirs"].astype(float), rtol=1e-12)


def test_one_row_computed_again_with_scipy(scores: pd.DataFrame) -> None:
    """One task whose seeds all agree: then the test is Student's paired one over prompts."""
    one = scores[(scores["task"] == PROMPTS[0][0]) & (scores["metric"] == "novelty")]
    same = one.groupby(["model", "prompt_id"])["value"].transform("mean")
    row = compared("1", comparisons_of("1")[:1], one.assign(value=same), SECTION).iloc[0]
    wide = by_seed(one.assign(value=same))["novelty"]
    first, second = (wide[model].mean(axis=1) for model in ("CrPO-nov", BASELINE))
    test = ttest_rel(first, second)
    half = student.ppf(0.975, len(first) - 1) * (first - second).std(ddof=1) / np.sqrt(len(first))
    np.testing.assert_allclose(row["p"], test.pvalue, rtol=1e-9)
    np.testing.assert_allclose([row["difference"], row["high"] - row["difference"]], [(first - second).mean(), half])


def test_the_gain_of_dpo_against_itself_is_zero_and_that_of_an_arm_is_in_deviations(scores: pd.DataFrame) -> None:
    gain = with_gain(scores).query("metric == @GAIN")
    assert (gain.loc[gain["model"] == BASELINE, "value"] == 0).all()
    assert len(gain) == scores.drop_duplicates(["model", "seed", "prompt_id"]).shape[0]
    base = scores[(scores["model"] == BASELINE) & (scores["metric"] == "novelty")]
    deviation = float(np.std(base.groupby("prompt_id")["value"].mean(), ddof=1))
    moved = scores["value"] + 2 * deviation * ((scores["model"] == "CrPO-qua") & (scores["metric"] == "novelty"))
    after = with_gain(scores.assign(value=moved)).query("metric == @GAIN")
    own = gain["model"] == "CrPO-qua"
    np.testing.assert_allclose(after.loc[own, "value"] - gain.loc[own, "value"], 2 / 3)


def test_two_arms_with_the_same_values_have_p_one(scores: pd.DataFrame) -> None:
    copied = scores[scores["model"] == BASELINE].assign(model="CrPO-nov")
    row = compared("1", comparisons_of("1")[:1], pd.concat([scores[scores["model"] == BASELINE], copied]), SECTION)
    assert row[["difference", "p", "p_holm", "verdict"]].iloc[0].tolist() == [0.0, 1.0, 1.0, "no"]


def test_the_rank_correlation_is_scipys() -> None:
    from scipy.stats import spearmanr

    generator = np.random.Generator(np.random.PCG64(1))
    table = pd.DataFrame(generator.normal(size=(18, 2)), columns=["gain", "quality"])
    table["quality"] = table["quality"].round(0) + table["gain"]  # not all ranks alike
    value, low, high, count = rank_correlation(table, draws=500)
    assert value == pytest.approx(spearmanr(table["gain"], table["quality"])[0])
    assert low < value < high
    assert count == 18
    assert np.isnan(rank_correlation(table[:4])[0])


def test_an_arm_that_is_not_there_is_not_tested_and_its_family_is_smaller(scores: pd.DataFrame) -> None:
    found = answered(scores[scores["model"].isin(["base", "SFT", "DPO", "CrPO-nov", "CrPO-qua"])], SECTION)
    first = found[found["family"] == "1"].set_index("model")
    assert first["verdict"].to_dict() == {
        "CrPO-nov": "yes", "CrPO-div": "not tested", "CrPO-sur": "not tested", "CrPO-qua": "no",
    }  # fmt: skip
    p, corrected = first.loc[["CrPO-nov", "CrPO-qua"], ["p", "p_holm"]].to_numpy(float).T
    np.testing.assert_allclose(corrected, [2 * p[0], max(2 * p[0], p[1])])  # of two tests, not of four
    assert (found.loc[found["family"] == "4", "verdict"] == "not tested").all()


BREAKING = ["a|b", "two\nlines", "`code`", "<script>alert(1)</script>", "[x](http://evil.example)", "![i](i.png)",
            "# head", "\\|", "a \x00\u202e z", "*b* _u_ ~s~ $x$", "www.evil.example", "&lt;",
            "  "]  # fmt: skip


def test_no_sample_breaks_the_page() -> None:
    table = pd.DataFrame({"prompt_id": "p", "task": "T|", "item": "i\n", "response": BREAKING, "status": "ok"})
    page = samples_page([("arm", table)], "Opening.")
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(BREAKING)
    assert {line.count("|") for line in lines} == {4}
    body = "\n".join(lines[2:]).replace("|", "")
    assert not re.search(r"[`<>\[\]\\*_~$!]|www\.|#(?!\d+;)", body)
    safe("half a sign: \ud83d").encode("utf-8")
    assert "(empty)" in page
    assert safe('5 o\'clock, (a) "b"?') == '5 o\'clock, (a) "b"?'


def test_samples_are_the_same_for_the_same_seed_and_prompts_are_equally_likely() -> None:
    many = [("many", str(i)) for i in range(2000)] + [(f"few{k}", str(i)) for k in range(3) for i in range(40)]
    table = pd.DataFrame(many, columns=["prompt_id", "response"]).assign(task="t", item="i")
    first, again, other = drawn(table), drawn(table), drawn(table, seed=1)
    pd.testing.assert_frame_equal(first, again)
    assert first["response"].tolist() != other["response"].tolist()
    assert len(first) == len(first.drop_duplicates()) == 40
    counts = pd.concat([drawn(table, seed=seed) for seed in range(50)])["prompt_id"].value_counts(normalize=True)
    assert counts["many"] == pytest.approx(0.25, abs=0.1)


@pytest.fixture(scope="module")
def whole(scores: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder and what was written of it."""
    folder = tmp_path_factory.mktemp("study")
    run = write_run(folder / "run", ARMS, scores)
    assert main([str(run), str(folder / "docs"), "--people"]) == 0
    return run, folder / "docs"


def test_the_page_has_every_question_figure_table_and_arm(whole: tuple[Path, Path]) -> None:
    page = (whole[1] / "results.md").read_text(encoding="utf-8")
    for name, asked in ASKED.items():
        assert f"## Question {name}\n\n**{asked}**" in page
    targets = re.findall(r"\]\((results[^)\s]*)\)", page)
    assert len(targets) >= 12
    assert all((whole[1] / target).exists() for target in targets)
    assert {path.stem for path in (whole[1] / "results").glob("*.svg")} == {
        "trade-off", "trained-metrics", "independent", "independent-unseen-items", "independent-unseen-task", "lambda",
        "words",
    }  # fmt: skip
    assert all(path.with_suffix(".csv").exists() for path in (whole[1] / "results").glob("*.svg"))
    rows = re.findall(r"^\| (\S+(?: λ=\S+)?) \|", page, re.M)
    swept = {at_lambda(name, factor) for name in SINGLE for factor in (0.5, 1.5, 2)}
    assert {*ARMS, "base", "SFT", *swept} <= set(rows)
    assert not re.search(r"\bnan\b", page, re.I)
    assert "not tested" not in page.split("## Question 2")[0].split("## Question 1")[1]
    assert "Above DPO: **1 of 4** (CrPO-nov); the other way 1 (CrPO-div)." in page
    assert "Try-hard against CrPO-nov" in page
    assert "| CrPO-nov | 2.5 [2.0, 3.0] | 100 | paragraphs |" in page


def test_every_table_of_the_page_stands_by_itself_and_has_rows_of_one_length(whole: tuple[Path, Path]) -> None:
    for name in ("results.md", "results-samples.md"):
        lines = (whole[1] / name).read_text(encoding="utf-8").splitlines()
        tables = 0
        for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
            if line.startswith("|"):
                assert not before or before.startswith("|"), line
                assert not after or after.startswith("|"), line
                assert not before or before.count("|") == line.count("|"), line
                tables += not before
        assert tables >= 20


def test_people_are_shown_when_asked_for_and_samples_are_of_all_arms(whole: tuple[Path, Path]) -> None:
    page = (whole[1] / "results-samples.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", page, re.M)
    assert heads[0] == "people"
    assert len(heads) == 1 + 2 + len(ARMS) + 12
    assert page.count("| person's answer ") == 17  # held-out ones alone: one a prompt


def test_a_run_of_few_arms_says_what_it_has_not(scores: pd.DataFrame, tmp_path: Path) -> None:
    few = {name: ARMS[name] for name in ("DPO", "CrPO-nov", "CrPO-qua")}
    run = write_run(tmp_path / "run", few, scores[scores["model"].isin(["base", "SFT", *few])])
    assert main([str(run), str(tmp_path / "docs")]) == 0
    page = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "This run has no CrPO-div, CrPO-sur: what needs them is not tested." in page
    assert "Above reweighting: **not tested**." in page
    assert "*None in this run.*" in page
    assert "person's" not in (tmp_path / "docs" / "results-samples.md").read_text(encoding="utf-8")


def test_what_is_no_finished_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "docs")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "is not a finished run" in told
    assert not (tmp_path / "docs").exists()


def test_distances_between_weights_are_those_of_the_updates(whole: tuple[Path, Path]) -> None:
    from safetensors.numpy import load_file

    recipe = Recipe.model_validate_json((whole[0] / "recipe.json").read_text())
    arms = [arm for arm in arms_of(recipe) if arm.variant == "CrPO-nov"]
    table = distances(whole[0], arms)
    size = len(SEEDS)
    assert table["apart"].value_counts().to_dict() == {BY_LAMBDA: 6 * size, BY_SEED: 4 * size * (size - 1) // 2}
    row = table[table["apart"] == BY_SEED].iloc[0]
    one, other = (next(arm for arm in arms if (arm.factor, arm.seed) == (row["lambda"], row[name]))
                  for name in ("seed", "other_seed"))  # fmt: skip
    u, v = (
        load_file(whole[0] / "train" / arm.folder / "model/model.safetensors")["w"].astype(float)
        - load_file(whole[0] / "sft" / arm.start / "model/model.safetensors")["w"]
        for arm in (one, other)
    )
    lengths = np.linalg.norm(u), np.linalg.norm(v)
    np.testing.assert_allclose(row["distance"], np.linalg.norm(u - v) / np.mean(lengths), rtol=1e-6)
    np.testing.assert_allclose(row["cosine"], (u * v).sum() / np.prod(lengths), rtol=1e-6)
