"""Judges of equivalence: do two answers to a prompt say the same? A judge is a frozen dataclass called on pairs.

To add one, write such a class in a file of your own and name it as `module:Name`. A judge that works on each text once
(an embedding) and is cheap in comparing may also have `prepared`; see `PreparedJudge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

JUDGES = {
    "exact": "crpo.judges.exact:Exact",
    "embedding": "crpo.judges.embedding:Embedding",
    "paragraphs": "crpo.judges.embedding:Paragraphs",
    "words": "crpo.judges.words:Words",
    "cross_encoder": "crpo.judges.cross_encoder:CrossEncoder",
    "deberta": "crpo.judges.cross_encoder:Deberta",
}


class Judge(Protocol):
    """What every judge does."""

    @property
    def threshold(self) -> float:
        """The probability from which two answers count as the same."""
        ...

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """Return for each pair (left, right) of answers to a prompt the probability that they are the same, (n,)."""
        ...


@runtime_checkable
class PreparedJudge(Protocol):
    """A judge that reads each text once and then compares many with many."""

    @property
    def threshold(self) -> float:
        """See `Judge`."""
        ...

    def prepared(self, texts: Sequence[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Return a function of row numbers (a,) and (b,) that gives the probabilities of all their pairs (a, b)."""
        ...
