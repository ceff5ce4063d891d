"""NoveltyBench's scores of 1 to 10: they belong to one reward model; another is refused, or calibrated."""

from __future__ import annotations

import bisect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crpo.errors import InputError
from crpo.judges.exact import Exact
from crpo.noveltybench.calibration import calibrate, linked, published
from crpo.noveltybench.marks import REWARD_MODEL, THRESHOLDS, is_the_benchmarks, marks
from crpo.noveltybench.partitioning import part
from crpo.noveltybench.rows import read_rows, write_rows

Command = Callable[..., tuple[int, str, str]]


def test_scores_are_cut_where_the_benchmark_cuts() -> None:
    rewards = np.array([*THRESHOLDS, *np.nextafter(THRESHOLDS, 9), -99, 99, np.nan])
    expected = [bisect.bisect_left(THRESHOLDS, reward) + 1 for reward in rewards[:-1]]
    assert marks(rewards)[:-1].tolist() == expected
    assert np.isnan(marks(rewards)[-1])
    assert set(expected) == set(range(1, 11))
    assert is_the_benchmarks(REWARD_MODEL)
    assert is_the_benchmarks("/models/Skywork-Reward-Gemma-2-27B-v0.2")
    assert not is_the_benchmarks("Skywork/Skywork-Reward-V2-Qwen3-4B")


def test_calibrating_gives_a_rising_function_of_the_rewards_the_published_scores_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    hidden = random.normal(-5, 2, 600)
    scores = marks(hidden)
    assert (marks(np.exp(hidden), linked(np.exp(hidden), scores)) == scores).all()
    noisy = hidden + random.normal(0, 1, 600)
    again = marks(noisy, linked(noisy, scores))
    assert (np.sort(again) == np.sort(scores)).all()  # the same distribution, another order
    few = linked(noisy, np.full(600, 5.0))
    assert (np.diff(few) >= 0).all()
    assert (marks(noisy, few) == 5).all()
    row = {"id": "a", "prompt": "Name a dog.", "generations": ["Rex", "Rex", "Fido"], "partition": [0, 0, 1],
           "generation_scores": [4, 0, 7]}  # fmt: skip
    write_rows([row], tmp_path / "few.jsonl")
    assert published([tmp_path / "few.jsonl"])[2].tolist() == [4, 7]
    with pytest.raises(InputError, match=r"few.jsonl: 2 texts .* needs 50"):
        calibrate([tmp_path / "few.jsonl"], lambda prompts, texts: np.arange(len(texts)))


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny reward model whose name is that of the benchmark's own."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from conftest import tiny_chat

    folder = tmp_path_factory.mktemp("models") / REWARD_MODEL.rpartition("/")[2]
    tokenizer = tiny_chat().tokenizer
    torch.manual_seed(0)
    block = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(**block, vocab_size=len(tokenizer), num_labels=1, pad_token_id=0,
                                      initializer_range=0.6)  # fmt: skip
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def parted(tmp_path: Path) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    words = ["hold", "a", "door", "open", "grind", "it", "into", "red", "paint", "brick", ""]
    rows = [{"id": f"p{n}", "prompt": f"name a use for a brick {n}",
             "generations": [" ".join(random.choice(words, random.integers(1, 12))).strip() for _ in range(10)]}
            for n in range(8)]  # fmt: skip
    rows[2]["generations"][3] = ""
    rows = part(Exact(), rows)[0]
    write_rows(rows, tmp_path / "run" / "partitions.jsonl")
    return rows


def test_the_benchmarks_own_model_scores_first_members_by_its_thresholds(
    reward_model: Path, parted: list[dict[str, Any]], tmp_path: Path, command: Command
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    call = f"noveltybench score run --quality-model {reward_model} --set quality_dtype=float32"
    code, out, told = command(call)
    assert code == 0, told
    assert "calibrated: False" in out
    model, tokenizer = (
        kind.from_pretrained(reward_model) for kind in (AutoModelForSequenceClassification, AutoTokenizer)
    )
    for row in read_rows(tmp_path / "run" / "scores.jsonl", "prompt", "generations", "partition", "generation_scores"):
        for place, text in enumerate(row["generations"]):
            if row["partition"].index(row["partition"][place]) < place:
                assert row["generation_scores"][place] == 0
                assert row["rewards"][place] is None
                continue
            turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": text}]
            ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
            with torch.no_grad():
                alone = model(input_ids=torch.tensor([ids])).logits[0, 0].item()
            assert row["rewards"][place] == pytest.approx(alone, abs=1e-4)
            assert row["generation_scores"][place] == bisect.bisect_left(THRESHOLDS, row["rewards"][place]) + 1
    before = (tmp_path / "run" / "scores.jsonl").read_bytes()
    assert command(call)[0] == 0
    assert (tmp_path / "run" / "scores.jsonl").read_bytes() == before
    assert json.loads(command("noveltybench summarize run --json")[1])["blank_generations"] >= 1


def test_another_reward_model_is_refused_or_calibrated_and_marked(
    reward_model: Path, parted: list[dict[str, Any]], tmp_path: Path, command: Command
) -> None:
    other = tmp_path / "another"
    shutil.copytree(reward_model, other)
    code, _, told = command(f"noveltybench score run --quality-model {other}")
    assert code == 2
    assert told.count("\n") == 1
    assert f"belong to the rewards of {REWARD_MODEL}" in told
    assert "--calibrate" in told
    assert not (tmp_path / "run" / "scores.jsonl").exists()
    random = np.random.default_rng(0)
    known = [{**row, "generation_scores": random.integers(1, 11, 10).tolist()} for row in parted]
    write_rows(known, tmp_path / "published.jsonl")
    code, out, told = command(f"noveltybench score run --quality-model {other} --calibrate published.jsonl")
    assert code == 0, told
    assert "calibrated: True" in out
    assert "not with published utilities" in told
    rows = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    assert len(rows[0]["calibration"]["thresholds"]) == 9
    found = [value for row in rows for value in row["partition_scores"]]
    expected = published([tmp_path / "published.jsonl"])[2]
    assert np.abs(np.sort(found) - np.sort(expected)).mean() < 0.1  # equal texts to a prompt share a reward
    _, out, _ = command("noveltybench summarize run")
    assert "calibrated: yes; do not compare" in out
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["calibration"]["rule"] == "equipercentile"
