"""What a dry run foretells, against models that transformers builds, what autograd keeps, and trainings counted out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import crpo
from crpo.arms import arms_of
from crpo.components import with_models
from crpo.pairs import deal_pairs
from crpo.plan.amounts import Amounts, base_tokens, crpo_tokens, once_tokens, published, sft_tokens
from crpo.plan.costs import activation_bytes, device_named, devices, reading_cost, sampling_cost, training_cost
from crpo.plan.inputs import measuring_models
from crpo.plan.shapes import Shape, known_shapes, policy_shape, shape_of
from crpo.recipe import read_recipe
from crpo.recipe.sections import LoraSection, PolicySection, SftSection, TrainSection
from crpo.signals import SIGNALS

SMALL = Shape(
    layers=2, hidden=64, intermediate=224, heads=4, key_heads=2, head_size=16, vocabulary=300, tied=False
)  # fmt: skip


def llama(shape: Shape, **more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads,
        head_dim=shape.head_size, tie_word_embeddings=shape.tied, **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3"])
def test_weights_are_counted_as_transformers_counts_them(name: str) -> None:
    shape = known_shapes()[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(llama(shape))
    assert sum(weight.numel() for weight in model.parameters()) == shape.parameters


def test_every_known_shape_has_the_weights_its_page_says() -> None:
    table = yaml.safe_load((Path(crpo.__file__).parent / "plan" / "shapes.yaml").read_text(encoding="utf-8"))
    for name, row in table.items():
        assert known_shapes()[name].parameters / 1e9 == pytest.approx(row["parameters"], rel=0.005), name


def test_adapters_are_counted_as_peft_makes_them() -> None:
    from peft import LoraConfig, get_peft_model

    for targets in ("all-linear", ["q_proj", "v_proj"]):
        model = get_peft_model(LlamaForCausalLM(llama(SMALL)), LoraConfig(r=8, target_modules=targets))
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        assert SMALL.adapters(LoraSection(r=8, alpha=8, targets=targets)) == trained


def test_a_shape_is_read_from_a_model_folder_and_unknown_ones_are_none(tmp_path: Path) -> None:
    llama(SMALL).save_pretrained(tmp_path)
    assert shape_of(str(tmp_path)) == SMALL
    assert shape_of("nobody/knows-this") is None
    tiny = policy_shape(PolicySection())
    assert tiny is not None
    assert tiny.parameters == pytest.approx(4.2e6, rel=0.01)  # as a run of the recipe small says


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_what_autograd_keeps(dtype: str) -> None:
    found = []
    for layers in (1, 3):
        shape = Shape(**{**SMALL.__dict__, "layers": layers})
        found.append((kept_by_autograd(shape, dtype), activation_bytes(shape, dtype, checkpointing=False)))
    measured, counted = found[1][0] - found[0][0], found[1][1] - found[0][1]
    assert counted == pytest.approx(measured, rel=0.05)


def kept_by_autograd(shape: Shape, dtype: str, tokens: int = 64) -> float:
    model = LlamaForCausalLM(llama(shape, attn_implementation="sdpa")).to(getattr(torch, dtype)).model
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _ = model(input_ids=torch.arange(tokens)[None])
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / tokens


def amounts(**changes: object) -> Amounts:
    own = {
        "source": "a test", "chosen": np.array([0, 0, 3]), "rejected": np.array([1, 2, 4]),
        "prompt_of": np.array([0, 0, 0, 1, 1]), "answers": np.array([1.0, 2, 4, 8, 16]),
        "prompts": np.array([100.0, 200]), "pairs": 3, "sft": 10, "sft_prompts": 2, "held_out": np.array([50.0]),
        "training": np.full(64, 3.0),
    }  # fmt: skip
    return Amounts(**{**own, **changes})  # type: ignore[arg-type]


def test_tokens_of_an_epoch_are_counted_as_the_trainer_deals_pairs() -> None:
    assert crpo_tokens(amounts(), TrainSection(pairs_per_prompt=1)) == (2 * 100 + 200 + 3 + 5 + 24, (400 + 32) / 3)
    assert crpo_tokens(amounts(), TrainSection(pairs_per_prompt=8))[0] == 100 + 200 + 7 + 24  # answer 0 once
    apart = crpo_tokens(amounts(), TrainSection(pairs_per_prompt=1, layout="packed"))[0]
    assert apart == 4 * 100 + 2 * 200 + 3 + 5 + 24
    assert sft_tokens(amounts(), SftSection(responses_per_prompt=1)) == 10 * 6.2 + 10 * 150
    assert sft_tokens(amounts(), SftSection(responses_per_prompt=5)) == 10 * 6.2 + 2 * 150
    assert base_tokens(amounts(), 2.0) == 2 * (64 * 3 + 2 * 150)
    assert once_tokens(amounts(), 100, 460) == pytest.approx(100 * 6.2 + 2 * 150)  # 50 answers a row


def test_the_papers_counts_stand_in_and_read_what_its_trainer_reads() -> None:
    paper = published()
    assert (paper.pairs, paper.sft) == (42_058, 5_275)
    assert np.bincount(np.concatenate([paper.chosen, paper.rejected])).max() <= 10
    assert len(paper.chosen) == pytest.approx(paper.pairs, rel=0.03)
    tokens, _ = crpo_tokens(paper, TrainSection(pairs_per_prompt=1))
    assert tokens == pytest.approx(42_058 * (46 + 2 * 35))
    grouped, _ = crpo_tokens(paper, TrainSection(pairs_per_prompt=32))
    groups = deal_pairs(paper.chosen, paper.rejected, paper.prompt_of[paper.chosen], per_group=32, seed=42)
    assert grouped < tokens / 4
    assert len(groups) >= 142


def test_work_and_memory_follow_the_formulas() -> None:
    device = device_named("a100")
    full = training_cost(SMALL, None, "float32", 1e9, 0, device, checkpointing=False)
    assert full.hours == pytest.approx(6 * SMALL.multiplied * 1e9 / (19.5e12 * 0.3) / 3600)
    assert full.memory == pytest.approx(16 * SMALL.parameters / 1e9)
    lora = LoraSection(r=4, alpha=8)
    adapted = training_cost(SMALL, lora, "bfloat16", 1e9, 0, device, checkpointing=True)
    work = 6 * SMALL.multiplied + 6 * SMALL.adapters(lora)
    assert adapted.hours == pytest.approx(work * 1e9 / (312e12 * 0.3) / 3600)
    assert adapted.memory == pytest.approx((2 * SMALL.parameters + 16 * SMALL.adapters(lora)) / 1e9)
    both = reading_cost({"surprise": SMALL, "quality": SMALL}, "bfloat16", 1e9, 0, device)
    assert (both.tokens, both.memory) == (2e9, pytest.approx(2 * SMALL.parameters / 1e9))  # one after the other
    core = reading_cost({"surprise": SMALL, "quality": SMALL}, "bfloat16", 1e9, 0, device_named("cpu-core"))
    assert core.memory == pytest.approx(4 * SMALL.parameters / 1e9)
    drawn = sampling_cost(SMALL, "bfloat16", prompts=0, drawn=0, steps=3600, kept=0, device=device)
    assert drawn.hours == pytest.approx(2 * SMALL.parameters / (2039e9 * 0.3))


def test_measuring_models_are_loaded_in_the_dtype_that_is_counted() -> None:
    ruler = arms_of(read_recipe("paper-llama"))[0]
    models = measuring_models(ruler, {})
    surprise, quality = (with_models(name, SIGNALS, models) for name in ("surprise", "quality"))
    assert surprise["dtype"] == quality["quality_dtype"] == ruler.recipe.policy.dtype == "bfloat16"


def test_what_is_not_known_is_not_made_up() -> None:
    device = device_named("cpu-core")
    unknown = training_cost(None, None, "float32", 1e6, 10, device, checkpointing=False)
    assert unknown.tokens == 1e6
    assert np.isnan([unknown.memory, unknown.hours]).all()
    assert np.isnan(reading_cost({"a": SMALL, "b": None}, "float32", 1e6, 10, device).hours)
    assert np.isnan(training_cost(SMALL, None, "float64", 1e6, 10, device, checkpointing=False).hours)
    assert set(pd.DataFrame(devices()).loc["source"].str.len() > 10) == {True}
