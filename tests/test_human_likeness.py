"""Samples against people's answers: common answers, statistical rarity, the distance of distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from crpo.contracts import check_metric
from crpo.errors import InputError
from crpo.metrics.common_answers import CommonAnswers
from crpo.metrics.human_distance import HumanDistance, energy_distance
from crpo.metrics.people import people_answers
from crpo.metrics.statistical_rarity import StatisticalRarity
from crpo.stages.split import identify, merge_duplicates
from crpo.tables import write_table

GIVEN = [
    "a door stop",
    "A door-stop!",
    "a door stop",
    "a weight",
    "a weight",
    "red paint",
    "a kite",
    "a wall",
]


def written(folder: Path, table: pd.DataFrame) -> str:
    write_table(table, folder / "people.csv")
    return str(folder / "people.csv")


@pytest.fixture
def people(tmp_path: Path) -> str:
    """Return a table of eight people's answers to one prompt: three say one thing, two another."""
    return written(tmp_path, pd.DataFrame({"task": "Uses", "item": "Brick", "response": GIVEN}))


def samples_of(texts: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"prompt_id": "x", "prompt": "Uses of a brick?", "response": texts, "status": "ok"})
    return table.assign(task="uses", item="brick ")


def test_a_common_answer_is_one_that_two_people_gave(people: str) -> None:
    samples = samples_of(["A door stop", "a weight.", "red paint", "a moon base"])
    assert CommonAnswers(people)(samples)["x"] == 0.5
    assert CommonAnswers(people, least=3)(samples)["x"] == 0.25
    assert CommonAnswers(people, least=1)(samples)["x"] == 0.75
    assert CommonAnswers(people, top=0.2)(samples)["x"] == 0.25  # of five different answers the most frequent one
    assert CommonAnswers(people, top=1.0)(samples)["x"] == 0.5  # never one that a single person gave


def test_statistical_rarity_is_one_minus_the_share_of_people(people: str) -> None:
    samples = samples_of(["a door stop", "a weight", "red paint", "a moon base"])
    assert StatisticalRarity(people)(samples)["x"] == pytest.approx(np.mean([1 - 3 / 8, 1 - 2 / 8, 1 - 1 / 8, 1]))


def test_of_peoples_own_answers_rarity_is_one_minus_the_sum_of_squared_shares(people: str) -> None:
    shares = np.array([3, 2, 1, 1, 1]) / 8  # Simpson's index of diversity
    assert StatisticalRarity(people)(samples_of(GIVEN))["x"] == pytest.approx(1 - (shares**2).sum())


def test_a_judge_puts_a_sample_into_the_class_of_people_who_said_the_same(people: str) -> None:
    samples = samples_of(["stop a door with it", "a moon base on Mars"])
    assert StatisticalRarity(people)(samples)["x"] == 1
    by_meaning = StatisticalRarity(people, judge={"use": "embedding", "threshold": 0.6})
    assert by_meaning(samples)["x"] == pytest.approx(np.mean([1 - 3 / 8, 1]))


def test_a_judge_keeps_the_contract(tmp_path: Path) -> None:
    rows = [("a brick", "a weight"), ("a brick", "a door stop"), ("a rope", "a swing"), ("a rope", "climb")]
    path = written(tmp_path, pd.DataFrame(rows, columns=pd.Index(["prompt_id", "response"])))
    check_metric(StatisticalRarity(path, judge="embedding"))


def test_merged_answers_count_for_everybody_who_gave_them(tmp_path: Path) -> None:
    table = pd.DataFrame({"task": "Uses", "item": "Brick", "response": GIVEN, "creativity_score": 20.0})
    merged = merge_duplicates(identify(table))
    assert len(merged) == 6
    assert merged["given_by"].sum() == len(GIVEN)
    path = written(tmp_path, merged)
    samples = samples_of(["a door stop", "a weight", "a kite"]).assign(prompt_id=merged["prompt_id"].iloc[0])
    assert StatisticalRarity(path)(samples).iloc[0] == pytest.approx(np.mean([1 - 3 / 8, 1 - 2 / 8, 1 - 1 / 8]))


def test_prompts_are_found_by_id_or_by_task_and_item_and_those_without_people_are_not_scored(tmp_path: Path) -> None:
    both = pd.concat([samples_of(["a kite"]), samples_of(["a kite"]).assign(prompt_id="y", item="rope")])
    by_item = written(tmp_path, pd.DataFrame({"task": "Uses", "item": "brick", "response": ["a kite", "a wall"]}))
    for metric in (CommonAnswers(by_item), StatisticalRarity(by_item), HumanDistance(by_item)):
        assert metric(both).isna().tolist() == [isinstance(metric, HumanDistance), True]  # one sample has no spread
    (tmp_path / "other").mkdir()
    by_id = written(tmp_path / "other", pd.DataFrame({"prompt_id": "y", "response": ["a kite"]}))
    assert list(people_answers(by_id, both)) == ["y"]


def test_tables_without_a_column_in_common_are_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, pd.DataFrame({"question": "brick", "response": ["a kite"]}))
    with pytest.raises(InputError, match=r"share no column.*Give both task and item"):
        CommonAnswers(path)(samples_of(["a kite"]))
    with pytest.raises(InputError, match=r"none\.csv"):
        CommonAnswers(str(tmp_path / "none.csv"))(samples_of(["a kite"]))


def test_the_energy_distance_is_scipys_without_its_bias() -> None:
    generator = np.random.default_rng(0)
    left, right = (np.sign(generator.normal(size=(size, 1)) + 0.3) for size in (9, 14))  # on a line, of length 1
    apart = cdist(left, right).mean()
    within = [cdist(x, x).mean() for x in (left, right)]
    theirs = stats.energy_distance(left[:, 0], right[:, 0]) ** 2
    assert theirs == pytest.approx(2 * apart - sum(within))  # it counts each answer's distance to itself
    freed = sum(mean * len(x) / (len(x) - 1) for mean, x in zip(within, (left, right), strict=True))
    assert energy_distance(left, right) == pytest.approx(2 * apart - freed, abs=1e-12)


def test_the_energy_distance_of_vectors_is_that_of_all_pairs_and_counts_repeat_rows() -> None:
    generator = np.random.default_rng(1)
    x, y = (generator.normal(size=(size, 5)) for size in (7, 11))
    counts = np.array([3, 1, 2, 1, 1, 1, 4, 1, 1, 1, 1])
    assert energy_distance(x, y, counts) == pytest.approx(energy_distance(x, np.repeat(y, counts, axis=0)), abs=1e-7)
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    within = [cdist(v, v).sum() / (len(v) * (len(v) - 1)) for v in (x, y)]
    assert energy_distance(x, y) == pytest.approx(2 * cdist(x, y).mean() - sum(within), abs=1e-7)


def test_samples_drawn_from_peoples_answers_lie_at_distance_zero_on_average() -> None:
    generator = np.random.default_rng(2)
    people = generator.normal(size=(60, 4))
    rest = [generator.permutation(60) for _ in range(300)]
    same = np.mean([energy_distance(people[rows[:8]], people[rows[8:]]) for rows in rest])
    far = np.mean([energy_distance(people[rows[:8]] + 1, people[rows[8:]]) for rows in rest])
    assert abs(same) < 0.01
    assert far > 0.1


def test_human_distance_is_the_energy_distance_of_embeddings(people: str) -> None:
    from crpo.embeddings import embedder

    texts = ["file the quarterly tax report", "declare the tax on sales", "a tax return"]
    encode = embedder("minilm").encode
    found = HumanDistance(people)(samples_of(texts))["x"]
    assert found == pytest.approx(energy_distance(encode(texts), encode(GIVEN)), abs=1e-6)
    assert HumanDistance(people)(samples_of(GIVEN[1:6]))["x"] < 0.1 < found
