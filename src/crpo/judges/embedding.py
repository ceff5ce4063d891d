"""The same answer lies close in an embedding space: quick, and approximate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crpo.distances import unit
from crpo.embeddings import embedder


@dataclass(frozen=True)
class Embedding:
    """Cosine of two answers' embeddings, negative ones as 0; the prompt is not looked at.

    A cosine is no probability; with `threshold` it decides as one would. Approximate: of the 1,000 pairs of generations
    that people judged for NoveltyBench, MiniLM's cosine tells same from different with an area under the curve of .75.

    Parameters
    ----------
    threshold : float
        Cosine from which two answers are the same. .7 is for answers of a few words, where it makes
        `equivalence_rarity` agree best with people's scores; for paragraphs, as in those pairs, .8 to .85 decides best
        (F1 .59; .55 at .7).
    embedder : str
        See `crpo.embeddings.Embedder`.
    """

    threshold: float = 0.7
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; choose a cosine above 0 and up to 1")

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        vectors = unit(embedder(self.embedder).encode([*left, *right]))
        return np.maximum(np.einsum("ij,ij->i", vectors[: len(left)], vectors[len(left) :]), 0)

    def prepared(self, texts: Sequence[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """See `crpo.judges.PreparedJudge`."""
        vectors = unit(embedder(self.embedder).encode(list(texts))).astype(np.float32)
        return lambda left, right: np.maximum(vectors[left] @ vectors[right].T, 0)


@dataclass(frozen=True)
class Paragraphs(Embedding):
    """`Embedding` for answers of several sentences, such as NoveltyBench's, where .7 takes too many for the same.

    The threshold has the highest F1 on the 1,000 pairs of generations that people judged for NoveltyBench; out of fold
    (10 folds of prompts) F1 is .60 and accuracy .68. The table is in docs/noveltybench.md.
    """

    threshold: float = 0.838
