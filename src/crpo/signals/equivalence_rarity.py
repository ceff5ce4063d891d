"""Equivalence rarity: how few of the prompt's answers say the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crpo.components import build, with_models
from crpo.grouped import group_codes
from crpo.judges import JUDGES, Judge
from crpo.partition import partition
from crpo.signals import populations
from crpo.tables import normalise


@dataclass(frozen=True)
class EquivalenceRarity:
    """−log of the share of the prompt's answers in the answer's class of same answers, in [0, log n] nats.

    Classes are those of `crpo.partition.partition`. As the partition depends on the order of the answers and a signal
    must not, the most frequent answers come first, equals in alphabetical order. Not in the paper. NaN for a blank
    answer and for the only answer to a prompt.

    Parameters
    ----------
    judge : str or mapping
        Which answers are the same: "exact", "embedding", `module:Name`, or `{use: name, **settings}`.
    embedder : str
        Of a judge that has one and does not set it.
    """

    judge: Any = "embedding"
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        build_judge(self.judge, self.embedder)

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        values = np.full(len(responses), np.nan)
        for rows, classes in classes_by_prompt(build_judge(self.judge, self.embedder), responses):
            if len(rows) > 1:
                values[rows] = -np.log(np.bincount(classes)[classes] / len(rows))
        return values


def build_judge(spec: Any, embedder: str) -> Judge:
    """Return the judge that a setting `judge` names; its embedder is `embedder` where it has one and leaves it open."""
    return build(with_models(spec, JUDGES, {"embedder": embedder}), JUDGES, "judge")


def classes_by_prompt(judge: Judge, responses: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Part the answers to each prompt into classes of same answers, in a way that row order does not change.

    The classes are those of `crpo.partition.partition` with the most frequent answers first, equals in alphabetical
    order.

    Returns
    -------
    list of (rows, classes)
        For each prompt with answers that show any text: their row numbers (n,), and the class (n,) of each from 0.
    """
    texts = responses["response"].tolist()
    prompts = responses["prompt"].tolist() if "prompt" in responses else [""] * len(texts)
    firsts: list[int] = []  # one row for each distinct answer to a prompt
    same_as: list[tuple[np.ndarray, np.ndarray]] = []  # rows of a prompt, and the place in `firsts` of each
    for rows in populations(responses):
        distinct, places = _distinct([texts[row] for row in rows])
        same_as.append((rows, len(firsts) + places))
        firsts.extend(rows[distinct])
    groups, _ = group_codes(responses["prompt_id"].iloc[firsts])
    classes = partition(judge, [prompts[i] for i in firsts], [texts[i] for i in firsts], groups)
    return [(rows, classes[places]) for rows, places in same_as]


def _distinct(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return where each distinct answer first stands, the most frequent first, and which of these each answer is."""
    normal = [normalise(text) for text in texts]
    counts = Counter(normal)
    order = {text: place for place, text in enumerate(sorted(counts, key=lambda text: (-counts[text], text)))}
    places = np.array([order[text] for text in normal])
    by_text = sorted(range(len(texts)), key=lambda i: (places[i], texts[i]))  # of equals, the same one in any row order
    firsts = [i for k, i in enumerate(by_text) if k == 0 or places[i] != places[by_text[k - 1]]]
    return np.array(firsts), places
