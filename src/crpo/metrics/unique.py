"""Unique answers: how many of a prompt's samples are not said twice."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crpo.metrics.samples import per_prompt, usable
from crpo.texts import letters_alone


@dataclass(frozen=True)
class Unique:
    """Distinct answers among a prompt's samples over their number, in (0, 1].

    Two are the same that differ in case, spacing, punctuation and symbols only (`crpo.texts.letters_alone`).
    """

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        texts = [letters_alone(text) for text in used["response"]]
        return per_prompt(samples, used, lambda rows: len({texts[row] for row in rows}) / len(rows))
