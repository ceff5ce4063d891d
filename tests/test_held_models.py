"""Measuring models are held between calls: all kinds on a CPU, one at a time on an accelerator."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from crpo import held_models, models
from crpo.models import load_language_model, load_reward_model
from crpo.signals import quality, surprise
from crpo.signals.quality import Quality
from crpo.signals.surprise import Surprise

ANSWERS = pd.DataFrame(
    [("p1", "name a use for a brick", text) for text in ("hold a door open", "grind it into red paint")],
    columns=pd.Index(["prompt_id", "prompt", "response"]),
)


@pytest.fixture
def folders(tiny: Callable[..., tuple[Any, Any]], tmp_path: Path) -> dict[str, str]:
    model, chat = tiny()
    model.float().save_pretrained(tmp_path / "language")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_labels=1,
        vocab_size=len(chat.tokenizer), pad_token_id=0,
    )  # fmt: skip
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "reward")
    for name in ("language", "reward"):
        chat.tokenizer.save_pretrained(tmp_path / name)
    return {name: str(tmp_path / name) for name in ("language", "reward")}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Callable[[], object]]]:
    """Empty the holder, and return a weak reference for each model that is loaded from now on."""
    monkeypatch.setattr(held_models, "_held", {})
    found: dict[str, list[Callable[[], object]]] = {"language": [], "reward": []}

    def recorded(name: str, load: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        def call(*of: Any, **how: Any) -> tuple[Any, Any]:
            model, words = load(*of, **how)
            found[name].append(weakref.ref(model))
            return model, words

        return call

    monkeypatch.setattr(surprise, "load_language_model", recorded("language", load_language_model))
    monkeypatch.setattr(quality, "load_reward_model", recorded("reward", load_reward_model))
    return found


def alive(references: list[Callable[[], object]]) -> list[bool]:
    gc.collect()
    return [reference() is not None for reference in references]


def both(folders: dict[str, str]) -> np.ndarray:
    measured = Surprise(language_model=folders["language"])(ANSWERS), Quality(quality_model=folders["reward"])(ANSWERS)
    return np.concatenate(measured)


def test_on_a_cpu_each_is_loaded_once(folders: dict[str, str], loaded: dict[str, list]) -> None:
    both(folders)
    both(folders)
    assert alive(loaded["language"]) == alive(loaded["reward"]) == [True]


def test_on_an_accelerator_one_is_let_go_before_the_next_is_loaded(
    folders: dict[str, str], loaded: dict[str, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = both(folders)
    loaded["language"].clear()
    loaded["reward"].clear()
    seen = []

    def on_an_accelerator(_: str) -> None:
        held_models.make_room("cuda")
        seen.append(sum(alive(loaded["language"]) + alive(loaded["reward"])))

    monkeypatch.setattr(held_models, "_held", {})
    monkeypatch.setattr(models, "make_room", on_an_accelerator)
    assert (both(folders) == on_cpu).all()
    assert (alive(loaded["language"]), alive(loaded["reward"])) == ([False], [True])
    assert seen == [0, 0]  # before each of the two
    load_language_model(folders["language"])  # a policy, to be trained or sampled from
    assert alive(loaded["reward"]) == [False]


def test_another_model_of_a_kind_takes_the_place_of_the_last_before_it_is_loaded() -> None:
    class Model: ...

    first = weakref.ref(held_models.held("kind", 1, Model))
    assert held_models.held("kind", 1, Model) is first()
    other = held_models.held("kind", 2, lambda: (first(), Model()))
    assert other[0] is None
    held_models._held.pop("kind")
