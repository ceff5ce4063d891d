"""A model made ready to be trained."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from crpo.errors import InputError


def with_adapters(model: PreTrainedModel, peft_config: Any) -> Any:
    """Return the model, with new LoRA adapters when a `peft_config` is given.

    Raises
    ------
    InputError
        When the model carries adapters already: with them switched off it would not be the reference.
    """
    if hasattr(model, "peft_config"):
        raise InputError("the model carries adapters already", "Merge them first: model = model.merge_and_unload().")
    if peft_config is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, peft_config)


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """Switch dropout off in place: the policy must start equal to its reference (TRL does the same)."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.0  # type: ignore[assignment]
    return model


def warn_of_half_precision(model: nn.Module) -> None:
    """Warn when weights would be trained in bfloat16 or float16."""
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    if trained & {torch.bfloat16, torch.float16}:
        warnings.warn(
            "the trained weights are in half precision, which rounds most small updates away: load the model in "
            "float32 (with bf16=True for speed), or train LoRA adapters",
            stacklevel=3,
        )
