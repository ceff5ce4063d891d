"""Evaluation: what is wrong with samples is said, what is left out is counted, what was measured is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.recipe import Recipe
from crpo.recipe.sections import EvaluateSection
from crpo.stages.evaluate import evaluate, evaluation_account
from crpo.stages.evaluate_input import apart, asked_of
from crpo.stages.kept_values import kept_values
from crpo.stages.metrics_table import metrics_table, trained_on
from crpo.tables import read_table
from malformed import Command

TEXTS = ["a door stop", "build a wall", "red paint", "a tiny stage"]
CHEAP = {"words": "words", "unique": "unique", "distinct_2": {"use": "distinct", "n": 2}}


def samples_of(model: str, prompts: str = "pq", texts: list[str] = TEXTS) -> pd.DataFrame:
    rows = [{"prompt_id": prompt, "sample": float(k), "response": text} for prompt in prompts for k, text in
            enumerate(texts)]  # fmt: skip
    return pd.DataFrame(rows).assign(model=model, status="ok", task="t", prompt="Uses?")


def scores_of(samples: pd.DataFrame, asked: pd.DataFrame | None = None) -> pd.DataFrame:
    return evaluate(EvaluateSection(metrics=CHEAP), samples, {}, 7, asked)


def csv(*tables: pd.DataFrame) -> dict[str, str | bytes | None]:
    return {"s.csv": pd.concat(tables).to_csv(index=False)}


def test_the_scores_table_has_a_row_for_each_prompt_and_metric() -> None:
    scores = scores_of(samples_of("a"))
    assert len(scores) == 6
    assert set(scores["seed"]) == {7}
    found = scores.set_index(["metric", "prompt_id"])["value"]
    assert found["words", "p"] == np.mean([3, 3, 2, 3])
    assert found["unique", "q"] == 1


WRONG = {
    "twice": (lambda t: pd.concat([t, t.iloc[[5]]]), "a has sample 1 of prompt 'q' twice. Two models under one name"),
    "two prompts": (lambda t: t.assign(prompt=["A?", "B?"] * 4), "'p' of a has 2 different values of 'prompt'"),
    "two tasks": (lambda t: t.assign(task=["s", "t"] * 4), "2 different values of 'task'"),
    "no model": (lambda t: t.assign(model=["a"] * 7 + [" "]), "1 have no model"),
    "a status": (lambda t: t.assign(status="okay"), "'okay' is no status. Did you mean \"ok\""),
}


@pytest.mark.parametrize("name", WRONG)
def test_samples_that_would_make_numbers_wrong_are_one_line_and_exit_2(name: str, command: Command) -> None:
    spoil, words = WRONG[name]
    table = spoil(samples_of("a"))
    good = samples_of("b").assign(status="ok")
    code, _, errors = command("evaluate s.csv -o o.csv --use words", csv(table, good))
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "s.csv: samples" in errors
    assert words in errors
    assert not Path("o.csv").exists()


def test_two_models_are_never_one_population() -> None:
    with pytest.raises(InputError, match="samples of 2 models in one population: a, b"):
        scores_of(pd.concat([samples_of("a"), samples_of("b")]))


def test_a_prompt_that_one_model_lacks_is_said_and_counted_and_in_no_mean(command: Command) -> None:
    code, out, errors = command("evaluate s.csv -o o.csv --use words", csv(samples_of("a"), samples_of("b", "p")))
    assert code == 0
    assert "b: 4 of 8 samples are left out (4 missing)" in errors
    assert "b: 1 of 2 prompts have no usable sample" in errors
    scores = read_table("o.csv", "scores").set_index(["model", "prompt_id"])
    assert np.isnan(scores.loc[("b", "q"), "value"])
    assert scores.loc[("b", "q"), ["used", "left_out", "left_out_missing"]].tolist() == [0, 4, 4]
    estimates = read_table("o.estimates.csv", "estimates").set_index("model")
    assert estimates.loc["b", ["prompts", "samples_left_out_missing"]].tolist() == [1, 4]
    assert estimates.loc["a", ["prompts", "samples_left_out_missing"]].tolist() == [2, 0]
    assert "b words" in out


def test_prompts_with_fewer_samples_are_counted_and_models_with_fewer_compare_only_where_it_does_not_matter(
    command: Command,
) -> None:
    short = samples_of("b").drop(index=7)
    code, _, errors = command("evaluate s.csv -o o.csv --use unique", csv(samples_of("a"), short))
    assert (code, "b: 1 of 8 samples are left out (1 missing)" in errors) == (0, True)
    files = csv(samples_of("a"), samples_of("b", texts=TEXTS[:2]))
    code, _, errors = command("evaluate s.csv -o p.csv --use words,unique", files)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "b has 2 samples a prompt and a has 4: unique would not compare. Give each as many" in errors
    assert command("evaluate s.csv -o p.csv --use words")[0] == 0
    assert command("evaluate s.csv -o p.csv --use words,unique --top 2 --by sample")[0] == 0  # as many of each now


def test_seeds_are_populations_of_their_own_where_they_alone_tell_samples_apart() -> None:
    twice = pd.concat([samples_of("a").assign(seed="1"), samples_of("a").assign(seed="2", response="same")])
    assert [(seed, len(own)) for seed, own in apart(twice)] == [(1, 8), (2, 8)]
    each_its_own = samples_of("a").assign(seed=[str(k) for k in range(8)])
    assert [(seed, len(own)) for seed, own in apart(each_its_own)] == [(0, 8)]


def test_the_account_says_what_the_numbers_are_computed_from() -> None:
    samples = samples_of("a").assign(status=["ok"] * 3 + ["refused"] + ["error"] * 4)
    counts = evaluation_account(scores_of(samples)).set_index("what")["count"].to_dict()
    assert counts == {
        "prompts": 2, "samples used": 3, "samples left out, error": 4, "samples left out, refused": 1,
        "prompts without distinct_2": 1, "prompts without unique": 1, "prompts without words": 1,
    }  # fmt: skip


def test_a_metric_of_the_users_own_that_fails_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = {**csv(samples_of("a")), "failing.py": "class Failing:\n    def __call__(self, samples):\n        1 / 0\n"}
    code, _, errors = command("evaluate s.csv -o o.csv --use failing:Failing", files)
    assert (code, "metric 'failing:Failing' fails: ZeroDivisionError" in errors) == (2, True)


def test_a_run_s_metrics_are_measured_by_default_as_far_as_what_they_need_is_given(command: Command) -> None:
    people = {"h.csv": "task,prompt,response\nt,Uses?,a wall\n"}
    code, out, _ = command("evaluate s.csv -o o.csv --json", csv(samples_of("a")))
    measured = {key.split()[1] for key in json.loads(out) if key.startswith("a ")}
    assert code == 0
    assert measured == set(EvaluateSection().metrics) - {"surprise", "quality", "statistical_rarity"}
    _, out, _ = command("evaluate s.csv -o o.csv --json --people h.csv", {**csv(samples_of("a")), **people})
    assert "a statistical_rarity" in json.loads(out)
    code, _, errors = command("evaluate s.csv -o o.csv --use statistical_rarity")
    assert (code, "needs people's answers" in errors) == (2, True)
    code, _, errors = command("evaluate s.csv -o o.csv --use words --people none.csv")
    assert (code, "none.csv" in errors) == (2, True)


class Counted:
    """How often values are computed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> pd.Series:
        self.times += 1
        return pd.Series({"p": 0.1 + 0.2, "q": np.nan})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "metrics"


def test_what_was_measured_once_is_not_measured_again(cache: Path) -> None:
    from crpo.metrics.distinct import Distinct
    from crpo.metrics.vendi import Vendi

    compute, samples = Counted(), samples_of("a")
    first = kept_values(samples)(Distinct(), compute)
    again = kept_values(samples.assign(model="b"))(Distinct(), compute)  # the same samples under another name
    pd.testing.assert_series_equal(first, again, check_exact=True, check_names=False)
    assert compute.times == 1
    for other in (Distinct(n=3), Vendi()):
        kept_values(samples)(other, compute)
    assert compute.times == 3
    kept_values(samples.assign(status="error"))(Distinct(), compute)
    kept_values(samples.replace("red paint", "red"))(Distinct(), compute)
    assert compute.times == 5
    assert len(list(cache.rglob("*.json"))) == 5


def test_a_kept_value_comes_back_only_whole(cache: Path) -> None:
    from crpo.metrics.distinct import Distinct

    compute, keep = Counted(), kept_values(samples_of("a"))
    keep(Distinct(), compute)
    file = next(cache.rglob("*.json"))
    for damage in ("", "[]", file.read_text().replace("0.3", "0.4"), '{"values": [1.0], "check": ""}'):
        file.write_text(damage)
        keep(Distinct(), compute)
    assert compute.times == 5
    keep(Distinct(), compute)
    assert compute.times == 5


def test_values_are_kept_for_a_models_state_and_a_files_content(cache: Path, tmp_path: Path) -> None:
    from crpo.metrics.common_answers import CommonAnswers
    from crpo.metrics.mean import Mean
    from crpo.signals.surprise import Surprise

    compute, keep = Counted(), kept_values(samples_of("a"))
    people, config = tmp_path / "people.csv", tmp_path / "model" / "config.json"
    config.parent.mkdir()
    by_file = [(CommonAnswers(str(people)), people), (Mean(Surprise(language_model=str(config.parent))), config)]
    for metric, file in by_file:
        compute.times = 0
        file.write_text("one")
        for _ in range(2):
            keep(metric, compute)
        file.write_text("another")
        for _ in range(2):
            keep(metric, compute)
        assert compute.times == 2, metric


def test_what_cannot_be_known_to_be_the_same_is_measured_every_time(cache: Path) -> None:
    from crpo.metrics.mean import Mean
    from crpo.metrics.themes import Themes
    from crpo.signals.surprise import Surprise

    compute, keep = Counted(), kept_values(samples_of("a"))
    hub = Mean(Surprise(language_model="some/model"))  # of no known commit
    for metric in (hub, Themes(judge={"use": "embedding"}), compute):  # a judge's settings; a metric of the user's own
        keep(metric, compute)
        keep(metric, compute)
    assert compute.times == 6
    assert not cache.exists()


def test_without_a_cache_everything_is_measured(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crpo.metrics.distinct import Distinct

    monkeypatch.setenv("CRPO_CACHE", "off")
    compute = Counted()
    for _ in range(2):
        kept_values(samples_of("a"))(Distinct(), compute)
    assert compute.times == 2
    assert not cache.exists()


def test_an_evaluation_with_kept_values_is_the_same_bit_for_bit(cache: Path) -> None:
    samples = samples_of("a", texts=[*TEXTS, "a wall of bricks"])
    section = EvaluateSection(metrics={"diversity": "diversity", "vendi": "vendi", "novelty": "novelty"})
    first, second = (evaluate(section, samples, {"embedder": "minilm"}, 0) for _ in range(2))
    assert len(list(cache.rglob("*.json"))) == 3
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({"name": "x", "data": {"ratings": "bundled"}, **changes})


def test_a_metric_counts_as_trained_on_for_the_models_whose_weights_hold_its_signal() -> None:
    ours = recipe()
    assert trained_on(ours, {}) == set()
    assert trained_on(ours, {"novelty": 0.5, "quality": 0}) == {"novelty"}
    assert trained_on(ours, {"novelty": 1, "quality": 2}) == {"novelty", "quality"}


def test_another_form_of_a_signal_is_no_independent_metric_and_another_model_is() -> None:
    metrics = {
        "bits": {"use": "surprise", "form": "bits"}, "other": {"use": "surprise", "language_model": "another/model"},
        "reward": {"use": "quality", "quality_model": "a/reward-model"}, "quality": "quality", "words": "words",
        "mine": "diversity", "by_jina": {"use": "diversity", "embedder": "jina/jina"},
    }  # fmt: skip
    ours = recipe(evaluate={"metrics": metrics})
    assert trained_on(ours, {"surprise": 1, "quality": 1, "diversity": 1}) == {"bits", "quality", "mine"}


def test_the_signal_of_the_gate_decides_on_weights_too() -> None:
    ours = recipe(weigh={"gate": {"signal": "quality"}})
    assert trained_on(ours, {"diversity": 1}) == {"diversity", "quality"}
    assert trained_on(ours, {}) == set()  # plain DPO has no gate


def test_the_metrics_table_says_what_each_metric_is() -> None:
    table = metrics_table(recipe(variants={"CrPO-div": {"diversity": 1}}))
    assert table["metric"].tolist() == list(EvaluateSection().metrics)
    by_name = table.set_index("metric")
    assert by_name["in_training"].to_dict() == {name: name == "diversity" for name in by_name.index}
    assert by_name["kind"][["novelty", "vendi", "words", "statistical_rarity"]].tolist() == [
        "signal", "set", "length", "human",
    ]  # fmt: skip
    assert set(table["higher_is"]) <= {"better", "worse", "neither"}
    assert (table["population"] != "").all()


def test_what_is_asked_is_the_most_any_model_has_of_a_prompt() -> None:
    populations = [samples_of("a", "pq"), samples_of("b", "qr")]
    asked = asked_of(populations, EvaluateSection(metrics=CHEAP))
    assert asked["asked"].to_dict() == {"p": 4, "q": 4, "r": 4}
    assert asked["task"].to_dict() == dict.fromkeys("pqr", "t")


def test_a_baseline_with_another_number_of_samples_is_refused_before_anything_is_done() -> None:
    from crpo.plan.baselines import check_baselines

    grid = [{"temperature": 1.0, "samples": 4}]
    generate = {"baselines": {"people": {"use": "canned", "replies": "r.csv", "grid": grid}}}
    with pytest.raises(InputError, match="people has 4 samples a prompt and a model of the run has 16: distinct_2"):
        check_baselines(recipe(generate=generate), ())
    check_baselines(recipe(generate=generate, evaluate={"metrics": {"words": "words"}}), ())
