"""The generator `vllm`: what it asks of vLLM's engine and makes of its answers, over a stand-in for vLLM."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import stand_in_vllm
from crpo.errors import InputError, MissingExtraError
from crpo.generators import Decoding, requests_for
from crpo.generators.vllm import Vllm
from malformed import Command

PROMPTS = [("p1", "name a use for a brick"), ("p2", "name a use for a rope")]
GRID = (Decoding(0.7, 0.95, 0, 3), Decoding(1.3, 1.0, 20, 2))


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> type[stand_in_vllm.LLMEngine]:
    return stand_in_vllm.put_in_place(monkeypatch)


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a tiny model; only its tokenizer is used."""
    model, chat = tiny()
    path = tmp_path_factory.mktemp("model")
    model.float().save_pretrained(path)
    chat.tokenizer.save_pretrained(path)
    return str(path)


def test_each_sample_is_a_request_with_its_own_seed_and_settings(folder: str, engines: Any) -> None:
    records = list(Vllm(folder, GRID, 12, dtype="bfloat16", gpus=2, extra={"max_model_len": 99})(PROMPTS, seed=1))
    (engine,) = engines.engines
    assert engine.arguments == stand_in_vllm.EngineArgs(
        model=folder, dtype="bfloat16", tensor_parallel_size=2, gpu_memory_utilization=0.9, disable_log_stats=True,
        max_model_len=99,
    )  # fmt: skip
    wanted = {r.key: r for pair in PROMPTS for r in requests_for(*pair, GRID, 1)}
    asked = {key: params for key, params, _ in engine.asked}
    assert set(asked) == set(wanted) == {record["key"] for record in records}
    for key, params in asked.items():
        cell = wanted[key].decoding
        assert (params.n, params.seed, params.max_tokens) == (1, wanted[key].random_seed, 12)
        assert (params.temperature, params.top_p, params.top_k) == (cell.temperature, cell.top_p, cell.top_k)
    assert {record["status"] for record in records} == {"ok", "truncated"}
    assert {len(record["response"]) > 0 for record in records} == {True}
    read = [sum(r["input_tokens"] for r in records if r["prompt_id"] == prompt) for prompt, _ in PROMPTS]
    assert sorted(r["input_tokens"] > 0 for r in records) == [False] * 8 + [True] * 2
    assert min(read) > 5


def test_samples_depend_neither_on_how_many_are_under_way_nor_on_what_is_there(folder: str, engines: Any) -> None:
    everything = {r["key"]: r["response"] for r in Vllm(folder, GRID, 12)(PROMPTS, seed=1)}
    narrow = {r["key"]: r["response"] for r in Vllm(folder, GRID, 12, under_way=1)(PROMPTS, seed=1)}
    had = set(sorted(everything)[::2])
    rest = {r["key"]: r["response"] for r in Vllm(folder, GRID, 12)(PROMPTS, seed=1, had=had)}
    assert narrow == everything
    assert rest == {key: everything[key] for key in set(everything) - had}
    assert len(engines.engines[-1].asked) == 5


def test_records_come_one_by_one_and_what_is_under_way_is_given_up_when_nobody_listens(
    folder: str, engines: Any
) -> None:
    drawn = Vllm(folder, GRID, 12, under_way=4)(PROMPTS, seed=1)
    next(drawn), next(drawn)
    assert len(engines.engines[0].asked) == 5
    drawn.close()  # type: ignore[attr-defined]
    assert len(engines.engines[0].aborted) == 3
    assert not engines.engines[0].waiting


def test_a_lora_folder_is_put_onto_its_base_with_room_for_its_rank(folder: str, engines: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    adapter = tmp_path / "adapter_config.json"
    adapter.write_text(json.dumps({"base_model_name_or_path": folder, "r": 24}))
    assert len(list(Vllm(str(tmp_path), GRID, 12)(PROMPTS, seed=1))) == 10
    (engine,) = engines.engines
    assert (engine.arguments.model, engine.arguments.enable_lora, engine.arguments.max_lora_rank) == (folder, True, 32)
    assert {(lora.lora_name, lora.lora_int_id, lora.lora_path) for _, _, lora in engine.asked} == {
        ("adapter", 1, str(tmp_path))
    }
    adapter.write_text(json.dumps({"base_model_name_or_path": folder, "r": 1024}))
    with pytest.raises(InputError, match="has rank 1024; vLLM takes at most 512"):
        next(Vllm(str(tmp_path), GRID)(PROMPTS, seed=1))
    adapter.write_text("{}")
    with pytest.raises(InputError, match="names no base model and rank"):
        next(Vllm(str(tmp_path), GRID)(PROMPTS, seed=1))


def test_a_prompt_that_is_too_long_is_an_error_of_its_samples_alone(folder: str, engines: Any) -> None:
    records = list(Vllm(folder, GRID)([*PROMPTS, ("long", "name a use for " * 30)], seed=1))
    failed = [record for record in records if record["status"] == "error"]
    assert {record["prompt_id"] for record in failed} == {"long"}
    assert len(failed) == 5
    assert "longer than the maximum model length" in failed[0]["finish_reason"]
    assert len(records) == 15


def test_an_engine_that_dies_keeps_what_came_and_says_that_the_same_command_continues(
    folder: str, engines: Any, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "fails_after", 4)
    prompts = pd.DataFrame(PROMPTS, columns=["prompt_id", "prompt"]).to_csv(index=False)  # type: ignore[arg-type]
    line = f'generate p.csv -o s.csv --model {folder} --generator vllm --set grid=[{{"samples":5}}]'
    code, _, error = command(line, {"p.csv": prompts})
    assert (code, "vLLM's engine has failed" in error) == (6, True)
    assert len((tmp_path / "s.records.jsonl").read_bytes().splitlines()) == 1 + 4
    monkeypatch.undo()
    stand_in_vllm.put_in_place(monkeypatch)
    monkeypatch.chdir(tmp_path)
    code, _, error = command(line)
    assert code == 0, error
    assert len((tmp_path / "s.records.jsonl").read_bytes().splitlines()) == 1 + 10


def test_thinking_is_taken_out_and_a_reply_without_more_is_empty(
    folder: str, engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerBase

    said = iter(["<think>Hm.</think> A hat", "<think>Hm.</think>"])
    monkeypatch.setattr(PreTrainedTokenizerBase, "decode", lambda *_, **__: next(said))
    found = list(Vllm(folder, (Decoding(samples=2),), 30)(PROMPTS[:1], seed=1))
    assert [(r["response"], r["status"], r["thinking_characters"]) for r in found] == [
        ("A hat", "ok", 18), ("", "empty", 18),
    ]  # fmt: skip


def test_without_vllm_or_a_gpu_one_line_says_so_with_exit_code_3(
    folder: str, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line, files = f"generate p.csv -o s.csv --model {folder} --generator vllm", {"p.csv": "prompt_id,prompt\np,P?\n"}
    if importlib.util.find_spec("vllm") is None:
        code, _, error = command(line, files)
        assert (code, error) == (
            3,
            'error: the generator vllm needs the vllm extra of crpo. Install it with: pip install "crpo[vllm]".\n',
        )
        assert not (tmp_path / "s.records.jsonl").exists()
    monkeypatch.setattr(stand_in_vllm.put_in_place(monkeypatch), "device", "")
    with pytest.raises(MissingExtraError, match="no GPU"):
        next(Vllm(folder, GRID)(PROMPTS, seed=1))
    with pytest.raises(InputError, match="float64"):
        Vllm(folder, GRID, dtype="float64")


def test_a_generator_that_has_started_its_engine_can_be_sent_to_another_process(folder: str, engines: Any) -> None:
    generator = Vllm(folder, GRID)
    next(generator(PROMPTS, seed=1))
    assert vars(pickle.loads(pickle.dumps(generator))) == {k: v for k, v in vars(generator).items() if k != "_started"}
    assert list(generator(PROMPTS, seed=1))
    assert len(engines.engines) == 1


@pytest.mark.parametrize(
    ("place", "name"),
    [("vllm", "EngineArgs"), ("vllm", "SamplingParams"), ("vllm.lora.request", "LoRARequest"),
     ("vllm.inputs", "tokens_input"), ("vllm", "LLMEngine.add_request"), ("vllm", "LLMEngine.from_engine_args"),
     ("vllm", "LLMEngine.abort_request"), ("vllm", "LLMEngine.step")],
)  # fmt: skip
def test_the_stand_in_takes_no_argument_that_vllm_does_not(place: str, name: str) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed: the stand-in is compared with nothing here")
    theirs: Any = importlib.import_module(place)
    ours: Any = stand_in_vllm
    for part in name.split("."):
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    assert set(inspect.signature(ours).parameters) <= set(inspect.signature(theirs).parameters)
