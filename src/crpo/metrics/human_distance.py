"""Human distance: how far a prompt's samples, as a whole, lie from people's answers to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.distances import unit
from crpo.embeddings import embedder
from crpo.metrics.people import check_given, people_answers
from crpo.metrics.samples import per_prompt, usable


@dataclass(frozen=True)
class HumanDistance:
    """Energy distance between a prompt's samples and people's answers to it, in an embedding space.

    2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ with X, X′ samples, Y, Y′ people's answers, as unit vectors (Székely & Rizzo
    2013, Journal of Statistical Planning and Inference 143, 1249–1272). Zero only where the two distributions are the
    same, unlike a distance of means; no bandwidth has to be chosen, as for a kernel. The means E‖X − X′‖ leave out an
    answer's distance to itself, so that the value has no bias from the number of samples: 0 is what samples drawn from
    people's answers give on average, and a little less than 0 is chance. At most 4.

    NaN for a prompt with fewer than two samples or two people.

    Parameters
    ----------
    people : str
        Table of people's answers (`crpo.metrics.people`); in a run filled in.
    embedder : str
        See `crpo.embeddings.Embedder`.
    """

    people: str = ""
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        check_given(self.people, "human_distance")

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used, encode = usable(samples), embedder(self.embedder).encode
        answers = people_answers(self.people, used)
        theirs = encode([text for own in answers.values() for text in own.texts])
        edges = np.cumsum([len(own.texts) for own in answers.values()])[:-1]
        vectors_of = dict(zip(answers, np.split(theirs, edges), strict=True)) if answers else {}
        vectors = encode(used["response"].tolist())

        def distance(rows: np.ndarray) -> float:
            prompt = used["prompt_id"].iloc[rows[0]]
            if prompt not in answers:
                return np.nan
            return energy_distance(vectors[rows], vectors_of[prompt], answers[prompt].people)

        return per_prompt(samples, used, distance)


def energy_distance(left: np.ndarray, right: np.ndarray, counts: np.ndarray | None = None) -> float:
    """Return the energy distance of two sets of vectors scaled to length 1, without bias from their sizes.

    Parameters
    ----------
    left : ndarray (n, d)
    right : ndarray (m, d)
    counts : ndarray (m,), optional
        How many times each row of `right` counts; once by default.

    Returns
    -------
    float
        At most 4; NaN where a set counts fewer than two.
    """
    x, y = unit(left), unit(right)
    weights = np.ones(len(y)) if counts is None else np.asarray(counts, float)
    n, m = len(x), weights.sum()
    if n < 2 or m < 2:
        return np.nan
    across = (_chords(x, y) @ weights).sum() / (n * m)
    within = _chords(x, x).sum() / (n * (n - 1)) + weights @ _chords(y, y) @ weights / (m * (m - 1))
    return float(2 * across - within)


def _chords(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of unit vectors (n, m)."""
    found = np.sqrt(np.maximum(2 - 2 * (x @ y.T), 0))
    if x is y:
        np.fill_diagonal(found, 0)  # rounding leaves about 1e-8 under the root
    return found
