"""The design of a study: what is chosen, and what is judged together."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.panel.design import design
from crpo.panel.folder import read_campaign, write_campaign
from crpo.panel.reading import read_candidates
from crpo.panel.settings import Settings
from crpo.signals.length import word_counts
from crpo.texts import normalise
from panel_samples import campaign_of, models_on, samples, selected


def test_samples_need_only_prompt_model_and_response(tmp_path: Path) -> None:
    frame = samples(2, 2, 2)[["prompt", "model", "response"]]
    frame.to_csv(tmp_path / "own.csv", index=False)
    found = read_candidates([tmp_path / "own.csv"])
    assert found["prompt_id"].nunique() == 2
    assert set(found["status"]) == {"ok"}
    assert found.groupby(["prompt_id", "model"])["sample"].apply(list).tolist() == [["0", "1"]] * 4


@pytest.mark.parametrize(
    ("people", "asked"),
    [
        ({"prompt_id": "q1"}, {}),
        ({"prompt": "name a use for  OBJECT 1"}, {}),
        ({"task": "Uses", "item": "object 1"}, {"task": "Uses", "item": [f"Object {n // 36}" for n in range(216)]}),
    ],
)
def test_peoples_answers_are_matched_by_id_task_or_prompt(
    tmp_path: Path, people: dict[str, str], asked: dict[str, Any]
) -> None:
    file, own = tmp_path / "people.csv", tmp_path / "samples.csv"
    pd.DataFrame([{**people, "response": f"human {n}"} for n in range(3)]).to_csv(file, index=False)
    samples(**asked).to_csv(own, index=False)
    found = read_candidates([own], "", file)
    found = found[found["model"] == "people"]
    assert found["response"].tolist() == ["human 0", "human 1", "human 2"]
    assert set(found["prompt_id"]) == {"q1"}
    assert set(found["source"]) == {"human"}
    pd.DataFrame([{"prompt": "another", "response": "x"}]).to_csv(file, index=False)
    with pytest.raises(InputError, match="none of its 1 answers"):
        read_candidates([own], "", file)


def test_top_answers_are_those_with_the_highest_metric(tmp_path: Path) -> None:
    frame = samples()
    settings = Settings.model_validate({"choice": {"by": "top", "metric": "score", "answers": 2}})
    chosen = selected(tmp_path, settings, frame).chosen
    expected = frame.sort_values("score").groupby(["prompt_id", "model"]).tail(2)
    assert set(chosen["response"]) == set(expected["response"])
    assert len(chosen) == 6 * 9 * 2


def test_failed_blank_unscored_and_repeated_answers_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = samples(3, 2, 4)
    frame.loc[0, "status"], frame.loc[1, "response"], frame.loc[4, "score"] = "truncated", " \u200b", np.nan
    frame.loc[9, "response"] = str(frame.loc[8, "response"]).upper() + "  "
    frame.loc[12, "response"] = str(frame.loc[16, "response"])
    settings = Settings.model_validate({"choice": {"by": "top", "metric": "score", "answers": 4}})
    found = selected(tmp_path, settings, frame)
    assert found.notes == [
        "left out 1 answers whose status is not ok",
        "left out 1 answers that are blank",
        "left out 1 answers without score",
        "left out 1 answers that the same model gave twice to a prompt",
        "1 answers equal one of another model: both stay, never on one page",
        "1 prompts have fewer answers of each model than wanted (as few as 2), for some model has no more: alpha0 at 1",
    ]
    everything = pd.concat([found.chosen, found.spare])
    assert (
        not everything.assign(response=everything["response"].map(normalise))
        .duplicated(["prompt_id", "model", "response"])
        .any()
    )
    numbers = Counter(zip(found.chosen["prompt_id"], found.chosen["model"], strict=True))
    assert numbers == {(prompt, f"alpha{n}"): each for prompt, each in (("q0", 2), ("q1", 4)) for n in range(3)}


def test_a_prompt_some_model_has_no_answer_to_is_left_out(tmp_path: Path) -> None:
    frame = samples(3, 3, 2)
    found = selected(tmp_path, Settings(), frame[(frame["model"] != "alpha1") | (frame["prompt_id"] != "q2")])
    assert set(found.chosen["prompt_id"]) == {"q0", "q1"}
    assert found.notes == ["left out 1 prompts that some model has no usable answer to (alpha1 lacks 1)"]


def test_the_order_of_rows_changes_nothing_and_the_seed_everything(tmp_path: Path) -> None:
    frame = samples()
    settings = Settings.model_validate({"choice": {"answers": 2, "prompts": 4}, "seed": 7})
    one = selected(tmp_path, settings, frame)
    other = selected(tmp_path, settings, frame.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(one.chosen, other.chosen)
    assert design(one, settings)[0].of == design(other, settings)[0].of
    again = settings.model_copy(update={"seed": 8})
    assert design(selected(tmp_path, again, frame), again)[0].of != design(one, settings)[0].of


def test_too_few_prompts_models_and_unknown_names_are_told(tmp_path: Path) -> None:
    for choice, found in (
        ({"prompts": 7}, "7 prompts are asked for, and 6 have"),
        ({"models": ["alpha0", "alpa1"]}, "no answer is of a model 'alpa1'"),
    ):
        with pytest.raises(InputError, match=found):
            selected(tmp_path, Settings.model_validate({"choice": choice}))
    settings = Settings.model_validate({"choice": {"models": ["alpha0"]}})
    with pytest.raises(InputError, match="pairwise needs 2 models"):
        design(selected(tmp_path, settings), settings)


def test_every_pair_model_and_answer_is_judged_equally_often(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, choice={"answers": 3, "prompts": 4})
    items = campaign.of_role("item")
    assert len(items) == 36 * 4 * 3
    assert set(Counter(tuple(models_on(campaign, item)) for item in items).values()) == {12}
    assert set(Counter(answer for item in items for answer in item.answer_ids).values()) == {8}


def test_against_baselines_only_those_pairs_are_made(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, against=["alpha0", "alpha1"], choice={"prompts": 4})
    pairs = Counter(tuple(models_on(campaign, item)) for item in campaign.of_role("item"))
    assert set(pairs) == {(base, f"alpha{n}") for base in ("alpha0", "alpha1") for n in range(2, 9)}
    assert set(pairs.values()) == {4}


@pytest.mark.parametrize(("size", "prompts"), [(3, 4), (4, 6), (2, 3), (9, 2), (5, 6)])
def test_sets_of_n_have_each_model_equally_often_and_each_two_nearly(tmp_path: Path, size: int, prompts: int) -> None:
    campaign = campaign_of(tmp_path, kind="best_of", best_of=size, choice={"prompts": prompts})
    items = campaign.of_role("item")
    assert all(len(set(models_on(campaign, item))) == size for item in items)
    per_prompt = Counter((item.prompt_id, model) for item in items for model in models_on(campaign, item))
    assert len(set(per_prompt.values())) == 1
    met = dict.fromkeys(combinations(sorted({model for _, model in per_prompt}), 2), 0)
    for item in items:
        for two in combinations(models_on(campaign, item), 2):
            met[two] += 1
    counts = np.array(list(met.values()))
    assert np.ptp(counts) <= 3
    assert counts.std() < 0.75


def test_equal_answers_of_two_models_are_never_on_one_page(tmp_path: Path) -> None:
    frame = samples(3, 3, 2)
    frame.loc[frame["sample"] == 0, "response"] = "A common answer."
    for kind in ("pairwise", "best_of"):
        campaign = campaign_of(tmp_path, frame, kind=kind, choice={"by": "all"})
        for item in campaign.of_role("item"):
            assert len({campaign.answer[answer].response for answer in item.answer_ids}) == len(item.answer_ids)
        if kind == "pairwise":
            assert len(campaign.of_role("item")) == 3 * 3 * 2, "the common answers are matched with others"
    frame["response"] = "A common answer."
    with pytest.raises(InputError, match="nothing to judge"):
        write_campaign(campaign_of(tmp_path, frame), tmp_path / "study")


def test_ratings_judge_every_answer_alone(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, kind="ratings", choice={"answers": 2})
    assert len(campaign.of_role("item")) == 6 * 9 * 2
    assert {len(item.answer_ids) for item in campaign.items} == {1}


def test_practice_comes_from_prompts_that_are_not_judged_while_there_are_any(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, choice={"prompts": 4}, practice=2)
    judged = {item.prompt_id for item in campaign.of_role("item")}
    assert {item.prompt_id for item in campaign.of_role("practice")}.isdisjoint(judged)
    settings = Settings.model_validate({"choice": {"by": "all"}, "practice": 3})
    none_left, notes = design(selected(tmp_path, settings), settings)
    assert len(none_left.of_role("practice")) == 3
    assert any("3 practice pages show answers that are judged too" in note for note in notes)


@pytest.mark.parametrize("kind", ["pairwise", "best_of", "ratings"])
def test_attention_checks_hold_a_made_up_answer_and_say_what_is_expected(tmp_path: Path, kind: str) -> None:
    campaign = campaign_of(tmp_path, kind=kind, checks=4, best_of=7)
    checks = campaign.of_role("check")
    assert len(checks) == 4
    for item in checks:
        own = [campaign.answer[answer] for answer in item.answer_ids]
        made_up = [answer for answer in own if answer.source == "check"]
        assert len(made_up) == max(len(own) - 1, 1)
        assert len({answer.response for answer in made_up}) == len(made_up)
        assert not {answer.model for answer in made_up} - {""}
        if kind == "ratings":
            assert item.expected == "lowest"
        else:
            assert campaign.answer[item.expected].source == "model"
    assert "lowest rating" in campaign.instructions if kind == "ratings" else "real answer" in campaign.instructions


def test_ids_and_texts_say_nothing_of_the_models(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    folder = write_campaign(campaign, tmp_path / "study")
    for file in ("items.csv", "instructions.md", "consent.md"):
        assert "alpha" not in (folder / file).read_text()
    assert all(list(item.answer_ids) == sorted(item.answer_ids) for item in campaign.items)
    order = [int(answer.model[-1]) for answer in campaign.answers if answer.model]
    assert abs(np.corrcoef(np.arange(len(order)), order)[0, 1]) < 0.4
    words = word_counts([answer.response for answer in campaign.answers]).tolist()
    assert [answer.words for answer in campaign.answers] == words


def test_the_command_makes_a_campaign_and_a_dry_run_writes_nothing(command: Any, tmp_path: Path) -> None:
    samples().to_csv(tmp_path / "samples.csv", index=False)
    code, out, error = command("panel new samples.csv --prompts 4 --dry-run --json")
    assert (code, error) == (0, "")
    facts = json.loads(out)
    assert (facts["items"], facts["raters"], facts["judgements"]) == (144, 15, 450)
    assert facts["detectable win rate, one model against all others"] < facts["detectable win rate, two models"]
    assert [path.name for path in tmp_path.iterdir()] == ["samples.csv"]
    code, out, _ = command("panel new samples.csv -o study --prompts 4")
    assert code == 0
    assert "written: study" in out
    campaign = read_campaign(tmp_path / "study")
    assert len(campaign.of_role("item")) == facts["items"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", "-o is missing"),
        ("-o study --kind pairs", "key 'kind'"),
        ("-o study --metric nix", "no column 'nix'"),
        ("-o study --against alpha77", "no model of the samples"),
        ("-o study --scale 1-x", "not two whole numbers"),
        ("-o study --kind ratings --scale 5-1", "lowest first"),
        ("-o study --overlap 30", "some must be left"),
        ("-o study --by top", "name the column"),
        ("-o study --kind best_of --against alpha1", "only pairs have sides"),
        ("-o study --title alpha3", "names a model"),
        ("-o samples.csv", "is a file"),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(
    command: Any, tmp_path: Path, options: str, found: str
) -> None:
    samples().to_csv(tmp_path / "samples.csv", index=False)
    code, _, error = command(f"panel new samples.csv {options}")
    assert code == 2
    assert found in error
    assert error.count("\n") == 1
    assert not (tmp_path / "study").exists()
