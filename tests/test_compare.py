"""Scores as estimates and comparisons; the best samples; outliers; `crpo evaluate` with two models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.estimates.families import holm
from crpo.recipe.sections import EvaluateSection
from crpo.stages.compare import compare, default_baseline, estimate
from crpo.stages.evaluate import evaluate
from crpo.stages.outliers import mark_outliers
from crpo.stages.top import top_samples
from crpo.tables import read_table
from malformed import Command

SECTION = EvaluateSection(draws=200, permutations=200)


def scores(**shifts: float) -> pd.DataFrame:
    """Return scores of models with three seeds, on 2 metrics, 2 tasks of 6 prompts, half of them of unseen tasks."""
    generator = np.random.default_rng(0)
    rows = [
        (model, seed, f"t{prompt % 2}", f"p{prompt}", "items" if prompt < 6 else "tasks", metric,
         shift + generator.normal(), 4, 1)
        for model, shift in shifts.items() for seed in (1, 2, 3) for metric in ("novelty", "words")
        for prompt in range(12)
    ]  # fmt: skip
    names = ["model", "seed", "task", "prompt_id", "split", "metric", "value", "used", "left_out"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def test_every_model_is_compared_on_every_metric_and_side_in_the_agreed_columns() -> None:
    table = compare(SECTION, scores(DPO=0, CrPO=3), "DPO", {"CrPO": ["novelty"]})
    assert list(table.columns) == [
        "model", "metric", "baseline", "split", "difference", "low", "high", "p", "p_holm", "effect_size", "prompts",
        "prompts_left_out", "seeds", "trained_on",
    ]  # fmt: skip
    assert table[["split", "metric", "prompts", "seeds", "trained_on"]].to_numpy().tolist() == [
        ["all", "novelty", 12, 3, "True"], ["all", "words", 12, 3, "False"],
        ["items", "novelty", 6, 3, "True"], ["items", "words", 6, 3, "False"],
        ["tasks", "novelty", 6, 3, "True"], ["tasks", "words", 6, 3, "False"],
    ]  # fmt: skip
    assert (table["low"] > 0).all()
    assert (table["difference"] - 3).abs().max() < 1.5


def test_estimates_average_seeds_and_count_them() -> None:
    own = scores(DPO=0)
    table = estimate(SECTION, own).set_index(["split", "metric"])
    prompts = own[own["metric"] == "words"].groupby(["task", "prompt_id"])["value"].mean()
    assert table.loc[("all", "words"), "value"] == pytest.approx(prompts.groupby("task").mean().mean())
    assert table.loc[("all", "words"), ["prompts", "tasks", "seeds"]].tolist() == [12, 2, 3]
    assert table.loc[("all", "words"), ["samples_used", "samples_left_out"]].tolist() == [144, 36]


def test_a_model_without_a_seed_stands_beside_those_that_have_several() -> None:
    both = scores(DPO=0, CrPO=1)
    provider = both[(both["model"] == "CrPO") & (both["seed"] == 1)].assign(model="gpt", seed="")
    table = compare(SECTION, pd.concat([both, provider]), "DPO").set_index(["model", "metric", "split"])
    assert table.loc[("gpt", "words", "all"), "seeds"] == 1
    assert np.isfinite(table.loc[("gpt", "words", "all"), ["low", "high", "p"]].astype(float)).all()


def test_each_model_may_have_a_baseline_of_its_own() -> None:
    own = {"a: CrPO": "a: DPO", "b: CrPO": "b: DPO", "a: DPO": "a: DPO", "b: DPO": "b: DPO"}
    table = compare(SECTION, scores(**{"a: DPO": 0, "a: CrPO": 1, "b: DPO": 5, "b: CrPO": 6}), own)
    assert set(zip(table["model"], table["baseline"], strict=True)) == {("a: CrPO", "a: DPO"), ("b: CrPO", "b: DPO")}
    assert (table["difference"] - 1).abs().max() < 1.5


def test_the_family_is_one_side_of_the_table_or_one_metric_of_it() -> None:
    own = scores(DPO=0, one=0.6, two=0.3)
    table = compare(SECTION, own, "DPO")
    for _, side in table.groupby("split"):
        assert side["p_holm"].to_numpy() == pytest.approx(holm(side["p"].to_numpy()))
    by_metric = compare(EvaluateSection(draws=200, permutations=200, family="metric"), own, "DPO")
    for _, part in by_metric.groupby(["split", "metric"]):
        assert len(part) == 2
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].to_numpy()))


def test_two_values_for_one_prompt_are_an_error_and_not_averaged() -> None:
    own = scores(DPO=0, CrPO=0)
    with pytest.raises(InputError, match="CrPO has two values of novelty for prompt 'p0' and seed '2'"):
        compare(
            SECTION, own.assign(seed=own["seed"].replace({1: 2, 2: 2})).query("model == 'CrPO' or seed == 3"), "CrPO"
        )


def test_a_baseline_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="no model is called 'DP0'"):
        compare(SECTION, scores(DPO=0), "DP0")


def test_models_are_compared_with_dpo_where_it_is_there() -> None:
    assert default_baseline(["base", "SFT", "DPO", "x"]) == "DPO"
    assert default_baseline(["base", "SFT", "x"]) == "SFT"
    assert default_baseline(["y", "x"]) == "y"


def outlying() -> pd.DataFrame:
    own = scores(DPO=0).query("metric == 'words' and seed == 1").reset_index(drop=True)
    own.loc[own["prompt_id"] == "p4", "value"] = 1000.0
    return own


def test_outliers_are_dropped_by_median_and_mad_and_counted() -> None:
    own = outlying()
    section = EvaluateSection(draws=200, outliers={"deviations": 5})  # type: ignore[arg-type]
    cell = own[own["task"] == "t0"]["value"]
    mad = (cell - cell.median()).abs().median()
    beyond = (own["value"] - cell.median()).abs() > 5 * 1.4826 * mad
    assert own[beyond & (own["task"] == "t0")]["prompt_id"].tolist() == ["p4"]
    marked = mark_outliers(section.outliers, own)
    assert marked[marked["outlier"]]["prompt_id"].tolist() == ["p4"]
    row = estimate(section, own).iloc[0]
    assert (row["outliers"], row["prompts"]) == (1, 11)
    assert abs(row["value"]) < 2


def test_winsorised_outliers_move_to_the_bound_and_stay() -> None:
    own = outlying()
    section = EvaluateSection(draws=200, outliers={"rule": "winsorise"})  # type: ignore[arg-type]
    marked = mark_outliers(section.outliers, own)
    cell = own[own["task"] == "t0"]["value"]
    bound = cell.median() + 3 * 1.4826 * (cell - cell.median()).abs().median()
    assert marked.loc[marked["prompt_id"] == "p4", "value"].tolist() == pytest.approx([bound])
    assert estimate(section, own).iloc[0][["prompts", "outliers"]].tolist() == [12, 1]


def test_no_value_is_an_outlier_where_most_are_equal() -> None:
    own = outlying().assign(value=[0.0] * 11 + [1.0])
    assert not mark_outliers(EvaluateSection(outliers={}).outliers, own)["outlier"].any()  # type: ignore[arg-type]


def test_outliers_of_both_models_are_counted_beside_their_comparison() -> None:
    first, second = outlying(), outlying().assign(model="CrPO")
    section = EvaluateSection(draws=200, permutations=200, outliers={"deviations": 5})  # type: ignore[arg-type]
    row = compare(section, pd.concat([first, second]), "DPO").set_index("split").loc["all"]
    assert (row["outliers"], row["prompts"], row["prompts_left_out"]) == (2, 11, 0)


def samples() -> pd.DataFrame:
    rows = [("p1", "a b", 3, "ok"), ("p1", "a b c d", 1, "ok"), ("p1", "a b c", 2, "ok"), ("p1", "x", 9, "truncated"),
            ("p2", "a", np.nan, "ok"), ("p2", "a b c d e", 5, "ok"), ("p2", "", np.nan, "empty"),
            ("p2", "a b c", 5, "ok")]  # fmt: skip
    table = pd.DataFrame(rows, columns=pd.Index(["prompt_id", "response", "liked", "status"]))
    return table.assign(model="m", prompt="p", task="t", split="items", sample=range(8))


def test_the_best_samples_are_kept_and_what_is_not_ok_stays_to_be_counted() -> None:
    section = EvaluateSection(metrics={"words": "words"}, top={"samples": 2, "by": "liked"})  # type: ignore[arg-type]
    kept = top_samples(section, samples(), {})
    assert kept["sample"].tolist() == [0, 2, 3, 5, 6, 7]  # 9 is not ok; of p2 the one without a number goes
    table = evaluate(section, samples(), {}, seed=0).set_index("prompt_id")
    assert table["value"].to_dict() == {"p1": 2.5, "p2": 4.0}
    assert table[["used", "not_selected", "left_out"]].to_numpy().tolist() == [[2, 1, 1], [2, 1, 1]]
    assert not table["selected_on"].any()


def test_what_samples_are_selected_by_is_marked_through_to_the_comparisons() -> None:
    section = EvaluateSection(
        metrics={"words": "words", "d": "word_rarity"}, draws=100, permutations=100,
        top={"samples": 2, "by": "d"},  # type: ignore[arg-type]
    )  # fmt: skip
    parts = [evaluate(section, samples().assign(model=name), {}, seed=0) for name in ("m", "n")]
    own = pd.concat(parts)
    assert own.groupby("metric")["selected_on"].all().to_dict() == {"d": True, "words": False}
    for table in (estimate(section, own), compare(section, own, "m")):
        assert table.set_index("metric")["selected_on"].to_dict() == {"d": True, "words": False}
    assert estimate(section, own)["samples_not_selected"].tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("by", "found"), [("response", "is not of numbers"), ("likd", "there is no .* 'likd'.*column of numbers")]
)
def test_what_cannot_rank_samples_is_an_error(by: str, found: str) -> None:
    section = EvaluateSection(top={"by": by})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=found):
        top_samples(section, samples(), {})


def test_a_run_that_would_fail_at_selecting_does_not_begin(command: Command, tmp_path: Path) -> None:
    recipe = "name: t\ndata: {responses: r.csv}\nvariants: {DPO: {}}\nevaluate: {top: {samples: 2, by: qualty}}\n"
    answers = "task,item,response,creativity_score\nUses,brick,a door stop,20\n"
    code, _, error = command("run t.yaml --out run", {"t.yaml": recipe, "r.csv": answers})
    assert code == 2
    assert "evaluate.top.by: there is no component 'qualty'. Did you mean" in error or "Name a column" in error
    assert not (tmp_path / "run" / "split").exists()


def test_two_models_are_compared_by_the_command(command: Command, tmp_path: Path) -> None:
    both = pd.concat([samples(), samples().assign(model="n", response=samples()["response"] + " more")])
    call = (
        "evaluate samples.csv -o scores.csv --use words --top 2 --by liked --baseline m --set outliers.rule=winsorise"
    )
    code, told, error = command(call, {"samples.csv": both.to_csv(index=False)})
    assert code == 0, error
    assert "n − m words: +1 [+1, +1], p 0.5, 0.5 after Holm" in told
    assert "samples that count: the best 2 of each prompt by liked" in told
    assert "outliers: 0 (winsorise)" in told
    table = read_table(tmp_path / "scores.comparisons.csv", "comparisons")
    assert table[["model", "baseline", "difference", "prompts", "outliers"]].to_numpy().tolist() == [
        ["n", "m", 1, 2, 0]
    ]
    assert table["trained_on"].tolist() == [""]  # the command cannot know
    assert (read_table(tmp_path / "scores.estimates.csv", "estimates")["samples_not_selected"] == 2).all()


def test_one_model_is_compared_with_none(command: Command, tmp_path: Path) -> None:
    code, _, _ = command("evaluate samples.csv -o s.csv --use words", {"samples.csv": samples().to_csv(index=False)})
    assert code == 0
    assert not (tmp_path / "s.comparisons.csv").exists()


@pytest.mark.parametrize(
    ("options", "found"),
    [("--by liked", "--by liked without --top"), ("--baseline m2", "no model is called 'm2'")],
)
def test_options_that_do_not_fit_are_one_line(command: Command, tmp_path: Path, options: str, found: str) -> None:
    both = pd.concat([samples(), samples().assign(model="n")])
    code, _, error = command(f"evaluate s.csv -o o.csv --use words {options}", {"s.csv": both.to_csv(index=False)})
    assert code == 2
    assert found in error
    assert not (tmp_path / "o.csv").exists()
