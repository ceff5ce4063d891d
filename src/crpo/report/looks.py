"""What each model looks like: the same in all figures, in colour and in grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .drawing import MARKERS, PALETTE

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 1)), (0, (8, 2)))


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of a model; two models differ in two of them at least."""

    colour: str
    marker: str
    dash: Any


def looks_of(models: list[str]) -> dict[str, Look]:
    """Return every model's look, by its place."""
    return {
        model: Look(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, model in enumerate(models)
    }
