"""Statistical rarity: how few people gave the answer, the field's own score of originality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crpo.judges import Judge
from crpo.metrics.common_answers import answer_counts
from crpo.metrics.people import Answers, check_given, people_answers
from crpo.metrics.samples import per_prompt, usable
from crpo.partition import partition
from crpo.signals.equivalence_rarity import build_judge
from crpo.texts import letters_alone


@dataclass(frozen=True)
class StatisticalRarity:
    """Mean over a prompt's samples of 1 − the share of people who gave the same answer, in [0, 1].

    How originality has been scored since Wallach and Kogan (1965); after Silvia et al. (2008, Psychology of Aesthetics,
    Creativity, and the Arts 2, 68–85) it depends on how many people there are, so compare on the same people only. A
    rare answer is not always a good one: look at quality beside it.

    The same are, with the judge "exact", answers that differ in case, spacing, punctuation and symbols only. With
    another judge people's answers are first parted into classes (`crpo.partition`, the most frequent first), and a
    sample belongs to the first class whose first member the judge finds the same. An answer that nobody gave counts 1.
    NaN for a prompt that no people answered.

    Parameters
    ----------
    people : str
        Table of people's answers (`crpo.metrics.people`); in a run filled in.
    judge : str or mapping
        See `crpo.signals.equivalence_rarity.EquivalenceRarity`.
    embedder : str
        Of a judge that has one and does not set it.
    """

    people: str = ""
    judge: Any = "exact"
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        check_given(self.people, "statistical_rarity")
        build_judge(self.judge, self.embedder)

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        answers = people_answers(self.people, used)

        def mean(rows: np.ndarray) -> float:
            own = answers.get(used["prompt_id"].iloc[rows[0]])
            if own is None:
                return np.nan
            return float(np.mean(1 - self.shares(used.iloc[rows], own)))

        return per_prompt(samples, used, mean)

    def shares(self, samples: pd.DataFrame, answers: Answers) -> np.ndarray:
        """Return the share of people who gave the same answer as each sample to their prompt, (n,)."""
        counts = answer_counts(answers)
        people = sum(counts.values())
        if self.judge == "exact":
            return np.array([counts[letters_alone(text)] for text in samples["response"]]) / people
        judge, prompt = build_judge(self.judge, self.embedder), samples["prompt"].iloc[0]
        written = {letters_alone(text): text for text in sorted(answers.texts, reverse=True)}
        members, sizes = _classes(judge, prompt, {written[text]: count for text, count in counts.items()})
        texts = samples["response"].tolist()
        left = [member for _ in texts for member in members]
        right = [text for text in texts for _ in members]
        same = np.asarray(judge([prompt] * len(left), left, right)).reshape(len(texts), -1) >= judge.threshold
        return np.where(same.any(axis=1), sizes[same.argmax(axis=1)], 0) / people


def _classes(judge: Judge, prompt: str, counts: dict[str, float]) -> tuple[list[str], np.ndarray]:
    """Return the first member of each class of people's answers, and how many people are in it."""
    texts = sorted(counts, key=lambda text: (-counts[text], text))
    classes = partition(judge, [prompt] * len(texts), texts, np.zeros(len(texts), int))
    _, firsts = np.unique(classes, return_index=True)
    return [texts[first] for first in firsts], np.bincount(classes, weights=[counts[text] for text in texts])
