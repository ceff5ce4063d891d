"""Samples: reproducible record by record, and nothing drawn twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.generators import Decoding, requests_for
from crpo.generators.hf import HuggingFace
from crpo.models import load_language_model
from crpo.recipe.sections import EvaluateSection, GenerateSection, PolicySection
from crpo.stages.compare import compare, estimate
from crpo.stages.evaluate import evaluate
from crpo.stages.generate import generate

PROMPTS = [("p1", "name a use for a brick"), ("p2", "name a use for a rope")]
GRID = (Decoding(0.7, 0.95, 0, 3), Decoding(1.3, 1.0, 20, 2))


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a tiny model that ends its answers now and then."""
    model, chat = tiny()
    path = tmp_path_factory.mktemp("model")
    model.lm_head.weight.data[2] += 0.3
    model.float().save_pretrained(path)
    chat.tokenizer.save_pretrained(path)
    return str(path)


def test_a_sample_does_not_depend_on_what_is_drawn_beside_it(folder: str) -> None:
    generator = HuggingFace(folder, GRID, max_new_tokens=12)
    everything = {r["key"]: r["response"] for r in generator(PROMPTS, seed=1)}
    alone = {r["key"]: r["response"] for r in generator(PROMPTS[1:], seed=1)}
    some = set(sorted(everything)[::2])
    rest = {r["key"]: r["response"] for r in generator(PROMPTS, seed=1, had=some)}
    assert len(everything) == 10
    assert alone == {key: everything[key] for key in alone}
    assert rest == {key: everything[key] for key in set(everything) - some}


def test_the_seed_changes_the_samples(folder: str) -> None:
    generator = HuggingFace(folder, GRID, max_new_tokens=12)
    assert [r["response"] for r in generator(PROMPTS, seed=1)] != [r["response"] for r in generator(PROMPTS, seed=2)]


def test_samples_follow_the_models_distribution_within_top_k(folder: str) -> None:
    import torch

    generator = HuggingFace(folder, (Decoding(1.0, 1.0, 3, 600),), max_new_tokens=1)
    model, chat = load_language_model(folder)
    with torch.no_grad():
        logits = model(torch.tensor([chat.prompt_ids(PROMPTS[0][1])])).logits[0, -1].double()
    expected, top = logits.topk(3)
    drawn = [r["response"] for r in generator(PROMPTS[:1], seed=3)]
    names = [chat.tokenizer.decode([token], skip_special_tokens=True).strip() for token in top.tolist()]
    counts = np.array([sum(text == name for text in drawn) for name in names])
    assert counts.sum() == 600
    shares = expected.softmax(-1).numpy()
    assert np.abs(counts / 600 - shares).max() < 4 * np.sqrt(0.25 / 600)


def test_a_sample_that_does_not_end_is_truncated_and_an_empty_one_is_named_so(folder: str) -> None:
    records = list(HuggingFace(folder, (Decoding(1.0, 1.0, 0, 200),), max_new_tokens=3)(PROMPTS[:1], seed=0))
    statuses = {r["status"] for r in records}
    assert "truncated" in statuses
    assert all(r["tokens"] == 3 for r in records if r["status"] == "truncated")
    assert all(not r["response"] for r in records if r["status"] == "empty")


def test_every_request_has_a_key_of_its_own() -> None:
    keys = [r.key for prompt in PROMPTS for seed in (0, 1) for r in requests_for(*prompt, GRID, seed)]
    assert len(set(keys)) == len(keys) == 20


def test_an_interrupted_generation_continues_without_drawing_again(folder: str, tmp_path: Path) -> None:
    section = GenerateSection(grid=[{"samples": 4}], max_new_tokens=60)  # type: ignore[list-item]
    prompts = pd.DataFrame(PROMPTS, columns=["prompt_id", "prompt"])  # type: ignore[arg-type]
    records = tmp_path / "records.jsonl"
    whole = generate(section, PolicySection(), folder, "m", prompts, records)
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:4]) + lines[4][:10])
    again = generate(section, PolicySection(), folder, "m", prompts, records)
    read = "input_tokens"  # those of a prompt are counted anew when it is read anew
    pd.testing.assert_frame_equal(whole.drop(columns=read), again.drop(columns=read))
    assert records.read_bytes().splitlines()[:4] == [line.strip() for line in lines[:4]]
    assert len(records.read_bytes().splitlines()) == 1 + 8


def test_a_model_folder_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match=r"model folder \./nowhere does not exist"):
        load_language_model("./nowhere")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_language_model("no-such-organisation/no-such-model")


def samples() -> pd.DataFrame:
    rows = [
        ("p1", "one two", "ok"),
        ("p1", "one two three four", "ok"),
        ("p1", "x", "truncated"),
        ("p2", "a b c", "ok"),
    ]
    table = pd.DataFrame(rows, columns=["prompt_id", "response", "status"])  # type: ignore[arg-type]
    return table.assign(model="m", prompt="p", task=["t", "t", "t", "u"], split="unseen items")


def test_metrics_use_ok_samples_only_and_count_the_rest() -> None:
    section = EvaluateSection(metrics={"words": "words", "diversity": "diversity"})
    scores = evaluate(section, samples(), {"embedder": "minilm"}, seed=5)
    words = scores[scores["metric"] == "words"].set_index("prompt_id")
    assert words["value"].to_dict() == {"p1": 3.0, "p2": 3.0}
    assert words["left_out"].to_dict() == {"p1": 1, "p2": 2}  # two of p2 are missing: p1 has three
    diversity = scores[scores["metric"] == "diversity"].set_index("prompt_id")["value"]
    assert np.isfinite(diversity["p1"])
    assert np.isnan(diversity["p2"])  # one answer is not scored, never 0


def test_estimates_and_differences_are_over_prompts_then_tasks() -> None:
    section = EvaluateSection(metrics={"words": "words"}, draws=200)
    first = evaluate(section, samples(), {}, seed=0)
    longer = evaluate(section, samples().assign(model="n", response=samples()["response"] + " more"), {}, seed=0)
    scores = pd.concat([first, longer])
    estimates = estimate(section, scores).set_index(["model", "split"])
    assert estimates.loc[("m", "all"), "value"] == 3.0
    assert estimates.loc[("m", "all"), "samples_left_out"] == 3
    differences = compare(section, scores, "m")
    assert differences[["model", "difference", "prompts"]].to_numpy().tolist() == [["n", 1.0, 2]]
    assert differences["low"].isna().all()  # one prompt a task says nothing of the spread
