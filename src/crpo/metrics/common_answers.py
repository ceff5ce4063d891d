"""Common answers: how many of a prompt's samples are what people say anyway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.metrics.people import Answers, check_given, people_answers
from crpo.metrics.samples import per_prompt, usable
from crpo.texts import letters_alone


@dataclass(frozen=True)
class CommonAnswers:
    """Share of a prompt's samples that equal a common human answer to it, in [0, 1].

    Two answers are equal that differ in case, spacing, punctuation and symbols only (`crpo.texts.letters_alone`). NaN
    for a prompt that no people answered, and where nobody's answers are given.

    Parameters
    ----------
    people : str
        Table of people's answers (`crpo.metrics.people`); in a run filled in.
    least : int
        By how many people an answer must have been given to be common.
    top : float, optional
        Instead of `least`: the share of the distinct answers that are common, the most frequent ones; those as frequent
        as the last of them count too, but no answer that one person alone gave.
    """

    people: str = ""
    least: int = 2
    top: float | None = None

    def __post_init__(self) -> None:
        check_given(self.people, "common_answers")
        if self.least < 1:
            raise ValueError(f"least is {self.least}; choose 1 or more")
        if self.top is not None and not 0 < self.top <= 1:
            raise ValueError(f"top is {self.top}; choose a share above 0 and up to 1")

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        answers = people_answers(self.people, used)
        common = {prompt: self.common(own) for prompt, own in answers.items()}
        texts = [letters_alone(text) for text in used["response"]]

        def share(rows: np.ndarray) -> float:
            own = common.get(used["prompt_id"].iloc[rows[0]])
            return np.nan if own is None else float(np.mean([texts[row] in own for row in rows]))

        return per_prompt(samples, used, share)

    def common(self, answers: Answers) -> set[str]:
        """Return the common ones of people's answers to a prompt, as `letters_alone` has them."""
        counts = answer_counts(answers)
        least = float(self.least)
        if self.top is not None:
            ordered = sorted(counts.values(), reverse=True)
            least = max(2.0, ordered[max(int(self.top * len(ordered)), 1) - 1])
        return {text for text, count in counts.items() if count >= least}


def answer_counts(answers: Answers) -> Counter[str]:
    """Return how many people gave each answer, as `letters_alone` has it."""
    counts: Counter[str] = Counter()
    for text, count in zip(answers.texts, answers.people.tolist(), strict=True):
        counts[letters_alone(text)] += count
    return counts
