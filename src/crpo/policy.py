"""A model made ready to be trained."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel


def with_adapters(model: PreTrainedModel, peft_config: Any) -> Any:
    """Return the model, with new LoRA adapters when a `peft_config` is given."""
    if peft_config is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, peft_config)


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """Switch dropout off in place: the policy must start equal to its reference (TRL does the same)."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name in ("attention_dropout", "attn_pdrop"):
        if hasattr(model.config, name):
            setattr(model.config, name, 0.0)
    return model
