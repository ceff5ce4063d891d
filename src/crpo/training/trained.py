"""The trained part of a model: every weight, or its adapters."""

from __future__ import annotations

import torch
from torch import nn


def is_finite(model: nn.Module) -> bool:
    """Return whether every trained weight, as far as this process holds it, is a number and no infinity."""
    return all(bool(torch.isfinite(_own_part(tensor)).all()) for tensor in _trained(model))


def is_in_pieces(model: nn.Module) -> bool:
    """Return whether the weights are dealt out, so that this process holds a part of them: FSDP, ZeRO-3, or offload."""
    # ZeRO-3 has ds_id, FSDP full_tensor; what is offloaded to disk is meta.
    return any(p.is_meta or hasattr(p, "ds_id") or hasattr(p, "full_tensor") for p in model.parameters())


def checkpoint_bytes(model: nn.Module) -> int:
    """Return about how large a checkpoint gets: what is trained, and two moments of it, as Adam keeps them."""
    return 3 * sum(tensor.numel() * tensor.element_size() for tensor in _trained(model))


def _trained(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in model.parameters() if parameter.requires_grad]


def _own_part(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]
