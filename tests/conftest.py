"""Fixtures: where the shared data is, and tiny models made in code."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("CRPO_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data and reference numbers; tests that need it skip where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no shared data at {SHARED / 'data'} (set CRPO_SHARED)")
    return SHARED / "data"


@pytest.fixture(scope="session")
def tiny():  # noqa: ANN201
    """Return a function that makes a tiny random model of a kind, in float64, and the chat of a tiny tokenizer."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    from crpo.chat import Chat
    from crpo.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer(["name a use for a brick", "hold a door open", "grind it into red paint"] * 3, 300)
    size = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    block = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    kinds = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**size, **block, num_key_value_heads=2)),
        "qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**size, **block, num_key_value_heads=2)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**size, **gpt2)),
        "sliding": lambda: MistralForCausalLM(MistralConfig(**size, **block, num_key_value_heads=2, sliding_window=4)),
    }

    def make(kind: str = "llama", seed: int = 0):  # noqa: ANN202
        torch.manual_seed(seed)
        return kinds[kind]().double(), Chat(tokenizer)

    return make


@pytest.fixture
def preferences() -> list[dict]:
    """Return a small TRL preference data set, conversational, with weights."""
    texts = ["hold a door open", "a paperweight", "grind it into red paint", "a step for a hamster", "build a wall"]
    rows = []
    for prompt in ("a brick", "a rope", "a shoe"):
        for i, j in ((2, 1), (3, 0), (2, 4), (3, 1)):
            rows.append(
                {
                    "prompt": [{"role": "user", "content": f"name a use for {prompt}"}],
                    "chosen": [{"role": "assistant", "content": texts[i]}],
                    "rejected": [{"role": "assistant", "content": texts[j]}],
                    "weight": 0.25 + 0.5 * i,
                }
            )
    return rows


@pytest.fixture
def answers() -> pd.DataFrame:
    """Return scored answers to three tasks, small enough for anything."""
    rows = []
    for task, items in {"Alternate Uses": ["brick", "rope", "shoe"], "Instances": ["cold", "round", "loud"]}.items():
        for item in items:
            for number in range(12):
                text = f"{'very ' * (number % 3)}unusual thing {number} with a {item}"
                rows.append({"task": task, "item": item, "response": text, "creativity_score": 10.0 + 3 * number})
    return pd.DataFrame(rows)
