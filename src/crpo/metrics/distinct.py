"""Distinct-n: how little a prompt's samples repeat their words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.metrics.samples import per_prompt, usable
from crpo.words import ordered_words_of


@dataclass(frozen=True)
class Distinct:
    """Distinct n-grams of a prompt's samples over all their n-grams, in (0, 1] (Li et al. 2016, arXiv 1510.03055).

    Words are those of `crpo.words`; no n-gram reaches from one sample into the next (the official code joins the texts
    first). The more words there are the lower it is, whatever the model: look at `words` beside it, and compare equal
    numbers of samples only. NaN where no sample has n words.

    Parameters
    ----------
    n : int
        Words of an n-gram.
    """

    n: int = 2

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; choose 1 or more")

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        words = ordered_words_of(used)

        def share(rows: np.ndarray) -> float:
            grams = [gram for row in rows for gram in zip(*(words[row][k:] for k in range(self.n)), strict=False)]
            return len(set(grams)) / len(grams) if grams else np.nan

        return per_prompt(samples, used, share)
