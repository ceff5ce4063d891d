"""Readability of a prompt's samples, for English."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.metrics.samples import per_prompt, usable
from crpo.tasks.languages import ENGLISH, language_code, script_of

_END = re.compile(r"[.!?]+(?=[\s\"'”’)\]]|$)")


@dataclass(frozen=True)
class Readability:
    """Coleman–Liau index of a prompt's samples read as one text: the US school grade it is written for.

    0.0588 L − 0.296 S − 15.8, with L the letters and digits and S the sentences per 100 words (Coleman & Liau 1975,
    Journal of Applied Psychology 60, 283–284). The one common formula without syllables, which no rule counts well. It
    was made for passages of about 100 words; of a few short answers it can be under 0. Words are what white space
    parts; a sentence ends with . ! or ?, and where an answer ends.

    NaN for samples of another language (column `language`; without one, of another script than Latin): the numbers of
    the formula are those of English.
    """

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        english = _english(used)

        def grade(rows: np.ndarray) -> float:
            texts = [used["response"].iloc[row] for row in rows if english[row]]
            words = sum(len(text.split()) for text in texts)
            if not words:
                return np.nan
            letters = sum(sum(map(str.isalnum, text)) for text in texts)
            return float(0.0588 * 100 * letters / words - 0.296 * 100 * sum(map(sentences, texts)) / words - 15.8)

        return per_prompt(samples, used, grade)


def sentences(text: str) -> int:
    """Return the number of sentences of a text that shows anything: 1 at least.

    Examples
    --------
    >>> sentences("A kite. It flies 3.5 m high!"), sentences("hold a door open")
    (2, 1)
    """
    return len([piece for piece in _END.split(text) if any(map(str.isalnum, piece))]) or 1


def _english(used: pd.DataFrame) -> list[bool]:
    languages = used["language"].tolist() if "language" in used else [""] * len(used)
    return [language_code(own) == ENGLISH if own else script_of(text) == "LATIN"
            for own, text in zip(languages, used["response"], strict=True)]  # fmt: skip
