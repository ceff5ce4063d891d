"""Using a model amid its training so that the training does not notice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from crpo.forest import attention_of, causal_model


@contextmanager
def undisturbed(model: Any, attention: str) -> Iterator[None]:
    """Lend a model in evaluation mode, without gradients, and give everything back as it was.

    Put back are the mode of every module (dropout is off meanwhile), the states of the random generators of Python,
    NumPy and torch (on all devices in use), the settings of generation, and the attention it computes with. Weights,
    gradients and the optimizer are not touched by a forward pass.

    Parameters
    ----------
    model : causal language model, with or without PEFT adapters
    attention : str
        The one to lend it with: a tree's may not take a cache.
    """
    modes = [(module, module.training) for module in model.modules()]
    owners = dict.fromkeys((model, causal_model(model)))
    settings = [(owner, vars(owner).get("generation_config")) for owner in owners]
    states, causal = _random_states(), causal_model(model)
    before = attention_of(causal)
    model.eval()
    if before != attention:
        causal.set_attn_implementation(attention)  # type: ignore[operator]
    try:
        with torch.no_grad():
            yield
    finally:
        if before != attention:
            causal.set_attn_implementation(before)  # type: ignore[operator]
        for module, mode in modes:
            module.training = mode
        for owner, setting in settings:
            vars(owner).pop("generation_config", None)
            if setting is not None:
                owner.generation_config = setting
        _put_back(states)


def _random_states() -> tuple[Any, ...]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def _put_back(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state_all(states[3])
