"""Models that measure, held from one call to the next; on an accelerator one at a time, for two may not fit."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

Loaded = TypeVar("Loaded")

_held: dict[str, tuple[Hashable, object]] = {}


def held(kind: str, about: Hashable, load: Callable[[], Loaded]) -> Loaded:
    """Return a model, loaded unless the last one asked for of its kind was the same.

    Parameters
    ----------
    kind : str
        One model of each kind is held. On an accelerator `make_room`, which everything calls that loads a large model,
        lets go of the others.
    about : hashable
        What tells the model from others: its name and settings, and for a folder its `crpo.models.fingerprint`.
    load : callable
        Called without arguments where the model is not held; the one held before it is let go first.
    """
    if kind not in _held or _held[kind][0] != about:
        _held.pop(kind, None)
        _held[kind] = about, load()
    return _held[kind][1]  # type: ignore[return-value]


def make_room(device: str) -> None:
    """Let go of all held models where the next one goes to an accelerator; on "cpu" they stay."""
    if not _held or device == "cpu":
        return
    import gc

    import torch

    _held.clear()
    gc.collect()  # models hold themselves in cycles: without this their memory is freed some time later
    torch.cuda.empty_cache()
