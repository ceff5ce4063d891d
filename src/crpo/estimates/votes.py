"""Pairwise votes as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

Ties = Literal["drop", "half"]
OUTCOMES = {"a": 1.0, "b": 0.0, "tie": 0.5}  # what the first model gets


@dataclass(frozen=True)
class Votes:
    """Who won which comparison, on one question.

    Attributes
    ----------
    models : tuple of str
        The names, sorted.
    first, second : ndarray of int (n,)
        Numbers of the two models.
    outcome : ndarray of float (n,)
        1 where the first won, 0 where the second did, 0.5 for a tie.
    prompt, rater : ndarray of int (n,) or None
        Which prompt, which rater; None where not known.
    longer : ndarray of float (n,)
        Words of the first answer less those of the second; NaN where not known.
    """

    models: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray
    prompt: np.ndarray | None
    rater: np.ndarray | None
    longer: np.ndarray

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def clusters(self) -> list[np.ndarray]:
        """The prompt and the rater of each vote, as far as known."""
        return [codes for codes in (self.prompt, self.rater) if codes is not None]

    def at(self, rows: np.ndarray) -> Votes:
        """Return some of the votes, by row numbers or a mask."""
        prompt = None if self.prompt is None else self.prompt[rows]
        rater = None if self.rater is None else self.rater[rows]
        return replace(self, first=self.first[rows], second=self.second[rows], outcome=self.outcome[rows],
                       prompt=prompt, rater=rater, longer=self.longer[rows])  # fmt: skip

    def between(self, model: int, against: int) -> Votes:
        """Return the votes on two models, turned so that `model` is the first."""
        here, turned = (
            (self.first == model) & (self.second == against),
            (self.first == against) & (self.second == model),
        )
        own = replace(
            self,
            first=np.where(turned, self.second, self.first),
            second=np.where(turned, self.first, self.second),
            outcome=np.where(turned, 1 - self.outcome, self.outcome),
            longer=np.where(turned, -self.longer, self.longer),
        )
        return own.at(here | turned)

    def without_ties(self, ties: Ties) -> Votes:
        """Return the votes that count: with "drop" those that are no tie, with "half" all."""
        return self.at(self.outcome != 0.5) if ties == "drop" else self


def votes_of(table: pd.DataFrame) -> Votes:
    """Return the votes of a table of one dimension.

    Parameters
    ----------
    table : DataFrame
        model_a, model_b, winner ("a", "b" or "tie"); where known prompt_id, rater (both without a blank, or not known),
        words_a, words_b.
    """
    models, codes = np.unique(table[["model_a", "model_b"]].to_numpy(str), return_inverse=True)
    codes = codes.reshape(-1, 2)
    words = [table[name].to_numpy(float) if name in table else np.nan for name in ("words_a", "words_b")]
    return Votes(
        tuple(map(str, models)), codes[:, 0], codes[:, 1], table["winner"].map(OUTCOMES).to_numpy(float),
        _codes(table, "prompt_id"), _codes(table, "rater"), np.broadcast_to(words[0] - words[1], len(table)),
    )  # fmt: skip


def _codes(table: pd.DataFrame, column: str) -> np.ndarray | None:
    if column not in table or table[column].isna().any() or (table[column].astype(str) == "").any():
        return None
    return pd.factorize(table[column])[0]
