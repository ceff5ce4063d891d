"""Vendi score: how many wholly different answers a prompt's samples are worth."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crpo.embeddings import embedder
from crpo.metrics.samples import per_prompt, usable
from crpo.vendi import vendi_score


@dataclass(frozen=True)
class Vendi:
    """Vendi score of a prompt's samples under cosine similarity, in [1, number of samples]; see `crpo.vendi`.

    Two clusters of equal answers have a high mean distance and a score near 2. It is at most the number of samples:
    compare equal numbers only.

    Parameters
    ----------
    embedder : str
        See `crpo.embeddings.Embedder`.
    """

    embedder: str = "minilm"

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        vectors = embedder(self.embedder).encode(used["response"].tolist())
        return per_prompt(samples, used, lambda rows: vendi_score(vectors[rows]))
