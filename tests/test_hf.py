"""Local samples: prompts side by side, each encoded once, and nothing of that to be seen in the samples."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crpo.generators import Decoding, Request, hf
from crpo.generators.branching import branches_rightly, draw
from crpo.generators.hf import HuggingFace
from crpo.generators.sampling import seeded_pick
from crpo.models import load_language_model

PROMPTS = [
    ("p1", "brick"), ("p2", "name a use for a rope"), ("p3", "hold a door open, and then grind it into red paint"),
    ("p4", "name a use"),
]  # fmt: skip
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


def by_key(generator: HuggingFace, prompts: list[tuple[str, str]] = PROMPTS) -> dict[str, Any]:
    """Return the records by key, without `input_tokens`: which record they stand in depends on the batches."""
    records = [dict(record) for record in generator(prompts, seed=1)]
    return {record["key"]: record for record in records if record.pop("input_tokens") >= 0}


def the_most_probable(logits: Any, rows: list[int], step: int) -> Any:
    return logits.argmax(-1)


@pytest.mark.parametrize("kind", ["llama", "sliding", "gemma3", "gpt2", "mixtral", "modernbert"])
def test_samples_side_by_side_are_those_of_generate_alone(tiny: Any, kind: str) -> None:
    import torch

    model, chat = tiny(kind)
    model.eval()
    prompts = [chat.prompt_ids(text) for _, text in PROMPTS]
    assert branches_rightly(model, prompts)
    # A token that comes up early in some rows ends them, so that others go on in a smaller batch.
    plain = {"do_sample": False, "max_new_tokens": 10, "eos_token_id": None}
    whole = [model.generate(torch.tensor([ids]), **plain)[0].tolist()[len(ids) :] for ids in prompts]
    end = whole[1][4]
    expected = [ids[: ids.index(end) + 1] if end in ids else ids for ids in whole]
    found = dict(draw(model, prompts, [3, 1, 1, 0, 2], the_most_probable, [end], 10))
    assert [found[row] for row in range(5)] == [expected[p] for p in (3, 1, 1, 0, 2)]


def test_samples_are_the_same_whatever_the_batch(folder: str) -> None:
    together = by_key(HuggingFace(folder, GRID, 12))
    assert len(together) == 20
    assert len({record["tokens"] for record in together.values()}) > 2
    for tokens in (1, 60, 150):
        assert by_key(HuggingFace(folder, GRID, 12, tokens_per_batch=tokens)) == together
    assert by_key(HuggingFace(folder, GRID, 12), PROMPTS[::-1]) == together


def test_a_longer_limit_only_lengthens_samples(folder: str) -> None:
    short, long = by_key(HuggingFace(folder, GRID, 4)), by_key(HuggingFace(folder, GRID, 12))
    assert any(record["tokens"] > 4 for record in long.values())
    assert all(long[key] == record for key, record in short.items() if record["status"] != "truncated")
    assert all(long[key]["response"].startswith(record["response"].rstrip("\ufffd")) for key, record in short.items())


@pytest.mark.parametrize("cell", [Decoding(1.3, 0.6, 0), Decoding(0.8, 0.9, 5), Decoding(1.0, 1.0, 4), Decoding(2.0)])
def test_tokens_are_distributed_as_transformers_distributes_them(cell: Decoding) -> None:
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(0)) * 2
    warpers = [TemperatureLogitsWarper(cell.temperature), *([TopKLogitsWarper(cell.top_k)] if cell.top_k else []),
               TopPLogitsWarper(cell.top_p)]  # fmt: skip
    shares = LogitsProcessorList(warpers)(torch.zeros(1, 1, dtype=torch.long), logits.clone()).softmax(-1)[0].numpy()
    requests = [Request("p", "x", number, cell, 0) for number in range(500)]
    pick, rows = seeded_pick(requests, 40, torch.device("cpu")), list(range(500))
    drawn = torch.cat([pick(logits.expand(500, -1), rows, step) for step in range(40)])
    counts = np.bincount(drawn.numpy(), minlength=12) / len(drawn)
    assert (counts[shares == 0] == 0).all()
    assert (np.abs(counts - shares) <= 4.5 * np.sqrt(shares * (1 - shares) / len(drawn)) + 1e-12).all()


def test_each_prompt_is_read_once_and_a_sample_that_ended_no_longer(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, chat = load_language_model(folder)
    shapes: list[tuple[int, int]] = []
    model.register_forward_pre_hook(
        lambda _, __, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(hf, "load_language_model", lambda *_, **__: (model, chat))
    monkeypatch.setattr(hf, "branches_rightly", lambda *_: True)
    records = list(HuggingFace(folder, GRID, 12)(PROMPTS, seed=1))
    longest = max(len(chat.prompt_ids(text)) for _, text in PROMPTS)
    assert shapes[0] == (4, longest)
    assert {width for _, width in shapes[1:]} == {1}
    assert sum(rows for rows, _ in shapes[1:]) == sum(record["tokens"] - 1 for record in records)
    read = [record["input_tokens"] for record in records]
    assert sorted(filter(None, read)) == sorted(len(chat.prompt_ids(text)) for _, text in PROMPTS)


def test_a_record_comes_when_its_sample_ends_and_nothing_is_begun_once_all_is_had(folder: str) -> None:
    class Had(set):
        full = False

        def __contains__(self, key: object) -> bool:
            return self.full or super().__contains__(key)

    had, found = Had(), []
    for record in HuggingFace(folder, GRID, 12, tokens_per_batch=110)(PROMPTS, seed=1, had=had):
        had.full = True
        found.append(record)
    assert [record["tokens"] for record in found] == sorted(record["tokens"] for record in found)
    assert 0 < len(found) < 20


def test_an_adapters_samples_are_those_of_the_merged_model(folder: str, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    base, chat = load_language_model(folder)
    torch.manual_seed(0)
    policy = get_peft_model(base, LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"]))  # type: ignore[arg-type]
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    policy.save_pretrained(tmp_path / "adapter")
    chat.tokenizer.save_pretrained(tmp_path / "adapter")
    policy.merge_and_unload().save_pretrained(tmp_path / "merged")
    chat.tokenizer.save_pretrained(tmp_path / "merged")
    adapted = by_key(HuggingFace(str(tmp_path / "adapter"), GRID, 12))
    assert adapted == by_key(HuggingFace(str(tmp_path / "merged"), GRID, 12))
    assert adapted != by_key(HuggingFace(folder, GRID, 12))


def test_a_model_that_errs_in_shared_batches_is_found_out_and_asked_apart(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import LlamaForCausalLM

    right, forward = by_key(HuggingFace(folder, GRID, 12)), LlamaForCausalLM.forward

    @functools.wraps(forward)
    def heedless(self: Any, *given: Any, **named: Any) -> Any:
        return forward(self, *given, **{**named, "attention_mask": None})

    monkeypatch.setattr(LlamaForCausalLM, "forward", heedless)
    assert by_key(HuggingFace(folder, GRID, 12)) == right
    assert "each prompt is a batch of its own" in capsys.readouterr().err


def test_a_model_with_a_state_instead_of_keys_and_values_is_asked_apart(tiny: Any, tmp_path: Path) -> None:
    import torch
    import transformers

    _, chat = tiny()
    torch.manual_seed(0)
    size = {"vocab_size": len(chat.tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=8, **size)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    chat.tokenizer.save_pretrained(tmp_path)
    together = by_key(HuggingFace(str(tmp_path), GRID, 6))
    assert len(together) == 20
    assert together == by_key(HuggingFace(str(tmp_path), GRID, 6, tokens_per_batch=1))


def test_the_models_own_sampling_settings_do_not_join_the_grids(folder: str, tmp_path: Path) -> None:
    model, chat = load_language_model(folder)
    model.generation_config.update(repetition_penalty=5.0, temperature=0.1, do_sample=True)
    model.save_pretrained(tmp_path)
    chat.tokenizer.save_pretrained(tmp_path)
    assert by_key(HuggingFace(str(tmp_path), GRID, 12)) == by_key(HuggingFace(folder, GRID, 12))


@pytest.mark.parametrize(
    ("reply", "response", "status", "characters"),
    [
        ("<think>a brick</think> name a use", "name a use", "ok", 22),
        ("<think>a rope", "", "empty", 13),
        ("a hat", "a hat", "ok", 0),
    ],
)
def test_thinking_is_taken_out_of_a_local_sample_and_counted(
    tiny: Any, reply: str, response: str, status: str, characters: int
) -> None:
    chat = tiny()[1]
    ids = [*chat.tokenizer(reply, add_special_tokens=False)["input_ids"], 2]
    request = Request("p1", "brick", 0, GRID[0], 1)
    record = hf._record(request, ids, [2], chat.tokenizer)
    assert (record["response"], record["status"]) == (response, status)
    assert record["thinking_characters"] == characters
