"""NoveltyBench: the published runs come out exactly, its files are read and written, bad ones are one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crpo.arms import arms_of
from crpo.errors import InputError
from crpo.judges.words import Words
from crpo.noveltybench.marks import REWARD_MODEL, THRESHOLDS
from crpo.noveltybench.partitioning import part
from crpo.noveltybench.rows import read_rows, write_rows
from crpo.noveltybench.scoring import score
from crpo.noveltybench.summary import summarise
from crpo.noveltybench.table import bench_table
from crpo.noveltybench.utility import distinct, utility
from crpo.plan import plan
from crpo.recipe import Recipe
from crpo.recipe.sections import NoveltyBenchSection
from crpo.runs import execute
from crpo.stages.noveltybench import prompt_set, prompts_file

RUNS = ("Llama-3.1-8B-Instruct", "gemma-2-2b-it", "gpt-4o-mini-2024-07-18")
Command = Callable[..., tuple[int, str, str]]
ROW = {"id": "a", "prompt": "Name a dog.", "generations": ["Rex", "Rex", "Fido the brown dog of ours"],
       "partition": [0, 0, 1], "distinct": 2, "generation_scores": [4, 0, 7], "partition_scores": [4, 7]}  # fmt: skip
PROMPTS = "".join(json.dumps({"id": name, "prompt": f"Name a {name}."}) + "\n" for name in ("dog", "cat", "ant"))


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def published_rows(shared_data: Path, run: str) -> list[dict[str, Any]]:
    text = (shared_data / "noveltybench" / "runs" / run / "scores.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("run", RUNS)
def test_a_published_run_comes_out_exactly(shared_data: Path, run: str, tmp_path: Path, command: Command) -> None:
    shutil.copytree(shared_data / "noveltybench" / "runs" / run, tmp_path / run)
    expected = json.loads((tmp_path / run / "summary.json").read_text(encoding="utf-8"))
    rows = published_rows(shared_data, run)
    assert len(rows) == 100
    for row in rows:
        assert utility(row["generation_scores"], row["partition"], 0.8) == pytest.approx(row["utility"], abs=1e-9)
        assert distinct(row["partition"]) == row["distinct"] + 1 == len(row["partition_scores"])
    code, out, told = command(f"noveltybench summarize {run}")
    assert code == 0
    printed = dict(line.split(": ", 1) for line in out.splitlines())
    content = json.loads((tmp_path / run / "summary.json").read_text(encoding="utf-8"))
    for name in ("mean_distinct", "mean_utility"):
        assert content[name] == pytest.approx(expected[name], abs=1e-9)
        assert float(printed[name]) == content[name]
        low, high = content[f"{name}_interval"]
        assert low < content[name] < high
    assert told.count("\n") == 1
    assert "'distinct' is one too low in all 100 rows" in told
    assert json.loads(command(f"noveltybench summarize {run} --json")[1])["prompts"] == 100


def test_published_answers_parted_here_are_scored_as_published(shared_data: Path) -> None:
    rows = published_rows(shared_data, RUNS[1])
    mids = [-9, *np.add(THRESHOLDS[:-1], THRESHOLDS[1:]) / 2, 0.0]  # a reward for each score of 1 to 10
    reward_of = {
        (row["prompt"], text): mids[value - 1]
        for row in rows
        for text, value in zip(row["generations"], row["generation_scores"], strict=True) if value
    }  # fmt: skip

    class Known:
        name = REWARD_MODEL

        def __call__(self, prompts: list[str], texts: list[str]) -> np.ndarray:
            return np.array([reward_of[turn] for turn in zip(prompts, texts, strict=True)])

    again = score([{k: row[k] for k in ("id", "prompt", "generations", "partition")} for row in rows], Known(), 0.8)  # type: ignore[arg-type]
    for ours, theirs in zip(again, rows, strict=True):
        assert ours["generation_scores"] == theirs["generation_scores"]
        assert ours["partition_scores"] == theirs["partition_scores"]
        assert ours["utility"] == pytest.approx(theirs["utility"], abs=1e-9)


def test_utility_is_the_papers_sum() -> None:
    random = np.random.default_rng(0)
    for patience in (0.3, 0.8, 0.999):
        for k in (1, 4, 10):
            partition = random.integers(0, 4, k).tolist()
            scores = random.integers(1, 11, k).tolist()
            total, seen = 0.0, set()
            for i, (number, value) in enumerate(zip(partition, scores, strict=True), 1):
                total += patience ** (i - 1) * (number not in seen) * value
                seen.add(number)
            expected = (1 - patience) / (1 - patience**k) * total
            assert utility(scores, partition, patience) == pytest.approx(expected, abs=1e-12)
    assert utility([10] * 10, range(10), 0.8) == pytest.approx(10)
    assert utility([3, 9], [0, 0], 1.0) == 1.5  # of no discount: the plain mean
    assert np.isnan(utility([3, None], [0, 1], 0.8))
    assert utility([3, None], [0, 0], 0.8) == pytest.approx(3 / 1.8)


def test_the_first_k_generations_have_the_same_classes_however_many_follow() -> None:
    random = np.random.default_rng(0)
    rows = [{"id": str(n), "prompt": "p", "generations": [" ".join(random.choice(list("abcdef"), 4)) for _ in range(9)]}
            for n in range(20)]  # fmt: skip
    whole, _ = part(Words(), rows)
    for k in (3, 6):
        short, counts = part(Words(), [{**row, "generations": row["generations"][:k]} for row in rows])
        assert [row["partition"] for row in short] == [row["partition"][:k] for row in whole]
        assert 1 <= counts.rounds <= k - 1
    scored = [{**row, "generation_scores": [5] * 9} for row in whole]
    found = summarise(scored, 3, 0.8)
    assert found.distinct.value == np.mean([len(set(row["partition"][:3])) for row in whole])
    assert found.notes == ["20 of 20 prompts have more than 3 generations; their first 3 count"]


def test_the_field_distinct_and_an_earlier_summary_are_explained(tmp_path: Path, command: Command) -> None:
    good = {**ROW, "utility": utility(ROW["generation_scores"], ROW["partition"], 0.8)}  # type: ignore[arg-type]
    newest = {**good, "id": "b", "generation_scores": [4, 4, 7]}  # of 2026: later members have scores of their own
    del newest["generations"]  # and the files in git hold no texts
    cases = [
        ([good, newest], ""),
        ([{**row, "distinct": 1} for row in (good, newest)], "note: the field 'distinct' is one too low in all 2 rows"),
        ([{**good, "distinct": 1}, newest], "note: the field 'distinct' is not the number of classes in 1 of 2 rows"),
        ([good, {**newest, "utility": 5.0}], "note: the field 'utility' differs"),
    ]
    for rows, told in cases:
        code, out, notes = command("noveltybench summarize runs", {"runs/scores.jsonl": lines(*rows)})
        assert code == 0
        assert notes.startswith(told) if told else notes == ""
        assert "mean_distinct: 2.0\n" in out
        assert f"mean_utility: {good['utility']}\n" in out
    files = {"runs/scores.jsonl": lines(good, newest), "runs/summary.json": '{"mean_distinct": 1.0}'}
    _, _, notes = command("noveltybench summarize runs --k 3", files)
    assert command("noveltybench summarize runs --k 4")[2].startswith(
        "error: runs/scores.jsonl row 1: prompt 'a' has 3"
    )
    assert "mean_distinct: 1.0\n" in command("noveltybench summarize runs --k 2")[1]
    assert "mean_distinct: 1.0\n" in command("noveltybench summarize runs --set k=2")[1]
    assert notes == "note: summary.json held mean_distinct 1, one too low: it was taken from the field 'distinct'\n"


REPLIES = lines(*({"prompt_id": name, "response": text} for name in ("dog", "cat", "ant")
                  for text in (f"{name} one", f"{name} two", f"{name} One", "")))  # fmt: skip
SPEC = '--generator {"use":"canned","replies":"replies.jsonl"} --prompts prompts.jsonl --set k=4'


def test_all_four_files_are_written_in_the_benchmarks_form(tmp_path: Path, command: Command) -> None:
    files = {"prompts.jsonl": PROMPTS, "replies.jsonl": REPLIES}
    code, out, told = command(f"noveltybench run out {SPEC} --judge exact --json", files)
    assert code == 0, told
    rows = read_rows(tmp_path / "out" / "generations.jsonl", "prompt", "generations")
    assert [row["id"] for row in rows] == ["dog", "cat", "ant"]
    assert list(rows[0]) == ["id", "prompt", "model", "generations"]
    assert rows[1]["generations"] == ["cat one", "cat two", "cat One", ""]
    scores = read_rows(tmp_path / "out" / "scores.jsonl", "partition", "generation_scores")
    assert [row["partition"] for row in scores] == [[0, 1, 0, 2]] * 3
    assert [row["distinct"] for row in scores] == [3] * 3
    assert scores[0]["generation_scores"] == [None, None, 0, None]
    content = json.loads(out.splitlines()[-1])
    assert (content["mean_distinct"], content["mean_utility"], content["not_scored"]) == (3, None, 3)
    assert content["blank_generations"] == 3
    bench = bench_table(NoveltyBenchSection(k=4), [("m", "own", tmp_path / "out"), ("m", "own", tmp_path / "out")])
    assert bench[["model", "prompt_set", "distinct", "prompts", "seeds"]].to_numpy().tolist() == [["m", "own", 3, 3, 2]]
    assert bench[["utility", "utility_low"]].isna().all(axis=None)


def test_generations_are_continued_and_none_is_written_before_all_are_there(tmp_path: Path, command: Command) -> None:
    few = REPLIES.rsplit("\n", 3)[0] + "\n"
    code, _, told = command(f"noveltybench generate out {SPEC}", {"prompts.jsonl": PROMPTS, "replies.jsonl": few})
    assert code == 6
    assert "2 of 12 generations" in told
    assert not (tmp_path / "out" / "generations.jsonl").exists()
    code, _, told = command(f"noveltybench generate out {SPEC}", {"replies.jsonl": REPLIES})
    assert code == 0
    assert "10 of 12 samples are there; 2 failed and are asked for again" in told
    assert len(read_rows(tmp_path / "out" / "generations.jsonl", "generations")) == 3
    assert command(f"noveltybench generate out {SPEC} --set temperature=0.5")[0] == 4


def test_what_a_model_cut_off_or_refused_counts_as_it_is(tmp_path: Path, command: Command) -> None:
    answers = [("one", "truncated"), ("", "refused"), ("two", "filtered"), ("three", "truncated")]
    replies = lines(*({"prompt_id": name, "response": text, "status": status} for name in ("dog", "cat", "ant")
                      for text, status in answers))  # fmt: skip
    code, _, told = command(f"noveltybench generate out {SPEC}", {"prompts.jsonl": PROMPTS, "replies.jsonl": replies})
    assert code == 0, told
    rows = read_rows(tmp_path / "out" / "generations.jsonl", "generations")
    assert [row["generations"] for row in rows] == [[text for text, _ in answers]] * 3


TWO = "row 2: prompt 'b' has 2 generations, the one before it 3. Draw the missing ones, or count the first 2 of each"
WRONG = [
    ("{\"id\": \"b\", ", "row 2: not JSON"),
    ("[1]\n", "row 2: a list where an object is expected"),
    (lines({"prompt": "p"}), "row 2: field 'id' is missing"),
    (lines({"id": "a"}), "row 2: field 'partition' is missing"),
    (lines(ROW), "row 2: id 'a' was in row 1 already"),
    (lines({**ROW, "id": "b", "partition": [0, "1", 1]}), "row 2, field 'partition': found \"[0, '1', 1]\""),
    (lines({**ROW, "id": "b", "partition": []}), "row 2, field 'partition': found '[]'"),
    (lines({**ROW, "id": "b", "partition": [0, 1]}), "row 2: 2 partition, 3 generation_scores"),
    (lines({**ROW, "id": "b", "generation_scores": [1, True, 2]}), "row 2, field 'generation_scores'"),
    (lines({**ROW, "id": "b", "partition": [0, 1], "generation_scores": [1, 2]}), TWO),
    (None, "scores.jsonl does not exist. The folder has: none"),
]  # fmt: skip


@pytest.mark.parametrize(("second", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_a_file_that_is_wrong_is_one_line_and_nothing_is_written(
    second: str | None, told: str, tmp_path: Path, command: Command
) -> None:
    files: dict[str, str | bytes | None] = (
        {"run": None} if second is None else {"run/scores.jsonl": lines(ROW) + second}
    )
    code, _, error = command("noveltybench summarize run", files)
    assert code == 2
    assert error.count("\n") == 1
    assert told in error
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("partition run --judge nonsense", "there is no judge 'nonsense'"),
        ("partition run --judge exact --short-answers words", "judge 'exact' has no setting 'short_answers'"),
        ("partition run --short-answers five", "choose one of words, equal, model"),
        ("partition run --judge cross_encoder", "it needs a model"),
        ("generate out --prompts curated --model m", "Fetch them with: crpo fetch noveltybench"),
        ("generate out --prompts nowhere.csv --model m", "nowhere.csv does not exist"),
        ("summarize run --patience 0", "patience"),
        ("run out --quality-model other/model --model m", f"belong to the rewards of {REWARD_MODEL}"),
    ],
)
def test_a_call_that_cannot_work_is_one_line(arguments: str, told: str, command: Command) -> None:
    code, _, error = command(f"noveltybench {arguments}", {"run/generations.jsonl": lines(ROW)})
    assert code == 2
    assert error.count("\n") == 1
    assert told in error


def test_prompt_sets_are_the_fetched_files_or_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRPO_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="crpo fetch noveltybench"):
        prompts_file("wildchat")
    (tmp_path / "noveltybench").mkdir()
    (tmp_path / "noveltybench" / "wildchat-1k.jsonl").write_text(PROMPTS)
    assert prompts_file("wildchat").read_text() == PROMPTS
    names = ("wildchat", "curated", "a/wildchat-1k.jsonl", "b/curated.jsonl", "c/mine.csv")
    assert [prompt_set(name) for name in names] == ["wildchat", "curated", "wildchat", "curated", "mine"]


def recipe(source: Path, **settings: Any) -> Recipe:
    tiny = {"hidden_size": 32, "layers": 1, "heads": 2, "vocabulary": 600, "epochs": 1}
    return Recipe.model_validate({
        "name": "bench", "data": {"ratings": "bundled", "limit": 300}, "policy": {"tiny": tiny},
        "noveltybench": {"prompts": [str(source)], "k": 3, "max_new_tokens": 20, "judge": "words", **settings},
    })  # fmt: skip


def test_a_run_measures_every_arm_where_the_recipe_names_prompts(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(PROMPTS)
    settings = recipe(tmp_path / "mine.jsonl")
    steps = {step.name: step for step in plan(settings)}
    for arm in arms_of(settings):
        assert tmp_path / "mine.jsonl" in steps[f"noveltybench/{arm.folder}"].reads
    assert steps["noveltybench/DPO"].needs == ("train/DPO",)
    assert "noveltybench/DPO" in steps["report"].needs
    without = settings.model_copy(update={"noveltybench": NoveltyBenchSection()})
    assert not [step for step in plan(without) if "noveltybench" in step.name]
    with pytest.raises(InputError, match="belong to the rewards of"):
        plan(recipe(tmp_path / "mine.jsonl", quality_model="other/model"))
    with pytest.raises(InputError, match="does not exist"):
        plan(recipe(tmp_path / "mine.jsonl", quality_model="other/model", calibrate=["nowhere.jsonl"]))
    with pytest.raises(InputError, match="there is no judge 'nonsense'"):
        plan(recipe(tmp_path / "mine.jsonl", judge="nonsense"))
    with pytest.raises(InputError, match="two sets have the name 'mine'"):
        plan(recipe(tmp_path / "mine.jsonl", prompts=[str(tmp_path / "mine.jsonl")] * 2))


@pytest.mark.slow
def test_a_run_writes_the_four_files_of_an_arm(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(PROMPTS)
    random = np.random.default_rng(0)
    texts = [[f"answer {n} {m}" for m in range(3)] for n in range(30)]
    known = [{**ROW, "id": str(n), "generations": own, "partition": [0, 1, 2],
              "generation_scores": random.integers(1, 11, 3).tolist()} for n, own in enumerate(texts)]  # fmt: skip
    write_rows(known, tmp_path / "published.jsonl")
    settings = recipe(tmp_path / "mine.jsonl", calibrate=[str(tmp_path / "published.jsonl")])
    about: dict[str, Any] = {"name": "bench", "recipe": {}}
    execute(plan(settings), tmp_path / "run", about=about, until="noveltybench/base")
    folder = tmp_path / "run" / "noveltybench" / "base" / "mine"
    for name in ("generations.jsonl", "partitions.jsonl", "scores.jsonl", "summary.json"):
        assert (folder / name).exists()
    content = json.loads((folder / "summary.json").read_text())
    assert 1 <= content["mean_distinct"] <= 3
    assert 0 < content["mean_utility"] <= 10
    assert content["calibration"]["texts"] == 90
    bench = bench_table(settings.noveltybench, [("base", "mine", folder)]).iloc[0]
    assert (bench["judge"], bench["quality_model"]) == ("words", "rater.npz, calibrated")
    assert bench["utility"] == pytest.approx(content["mean_utility"])
    assert execute(plan(settings), tmp_path / "run", about=about, until="noveltybench/base") == []
