"""The same answer has mostly the same words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Words:
    """ROUGE-1: harmonic mean of the shares of each answer's words that the other has too; the prompt is not looked at.

    NoveltyBench's `unigram` alternative, which has this threshold; words are runs of letters and digits of any script
    (there: of a–z and 0–9), in lower case. 1 for two answers without words, 0 for one.

    Parameters
    ----------
    threshold : float
        Share from which two answers are the same.
    """

    threshold: float = 0.458

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; choose a share above 0 and up to 1")

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        bags = {text: Counter(_WORD.findall(text.lower())) for text in {*left, *right}}
        return np.array([_overlap(bags[one], bags[other]) for one, other in zip(left, right, strict=True)], float)


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0
