"""A model that reads both answers at once: NoveltyBench's own judge, or any like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crpo.judges.pair_scores import PairScores, pair_scores
from crpo.judges.short_answers import without_model
from crpo.models import fingerprint


@dataclass(frozen=True)
class CrossEncoder:
    """A sequence-classification model's probability that the second answer says the same; the prompt is not shown.

    Ordered pairs: the model need not give the same both ways round. Every pair is scored once and kept in memory and
    in the cache folder, by the content of both texts and everything the score depends on. Batches hold pairs of about
    equal length, so a probability differs from that of the pair alone by rounding.

    Parameters
    ----------
    model : str
        Hub id or folder.
    threshold : float
        Probability from which two answers are the same. NoveltyBench asks for more than its threshold; a score in
        single precision never equals .102, so the two rules agree.
    tokenizer : str, optional
        Hub id or folder, where it is not the model's own.
    short_answers : {"model", "words", "equal"}
        What is decided without the model: see `crpo.judges.short_answers`.
    tokens : int
        Each answer is cut to its first tokens.
    same : int or str, optional
        Which of the model's outputs says "the same": number or label. Needed where there are three or more.
    revision : str, optional
        Commit of a hub model.
    dtype : str
        "float32", "bfloat16" or "float64".
    """

    model: str = ""
    threshold: float = 0.5
    tokenizer: str | None = None
    short_answers: str = "model"
    tokens: int = 128
    same: int | str | None = None
    revision: str | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("it needs a model: a hub id or a folder")
        if not 0 < self.threshold < 1 or self.tokens < 1:
            found = f"threshold is {self.threshold} and tokens {self.tokens}"
            raise ValueError(f"{found}; choose 0 < threshold < 1 ≤ tokens")
        if self.dtype not in ("float32", "bfloat16", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}; choose float32, bfloat16 or float64")
        without_model(self.short_answers, [], [])

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        found = without_model(self.short_answers, left, right)
        rest = np.flatnonzero(np.isnan(found)).tolist()
        if rest:
            found[rest] = self.scores()([left[n] for n in rest], [right[n] for n in rest])
        return found

    def scores(self) -> PairScores:
        """Return the loaded model, which counts its calls."""
        return pair_scores(fingerprint(self.model), self.model, self.tokenizer, self.revision, self.dtype, self.tokens,
                           self.same)  # fmt: skip


@dataclass(frozen=True)
class Deberta(CrossEncoder):
    """NoveltyBench's judge (metric version 1.0): a DeBERTa-v3-large that its authors fine-tuned on people's labels.

    The model states no licence: it is fetched by who uses it, and not passed on. Its tokenizer is the base model's.
    """

    model: str = "yimingzhang/deberta-v3-large-generation-similarity"
    threshold: float = 0.102
    tokenizer: str | None = "microsoft/deberta-v3-large"
    short_answers: str = "words"
