"""People's score: what people's scores of answers to the very same prompt foretell for a sample."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.distances import unit
from crpo.embeddings import embedder
from crpo.metrics.people import Answers, check_given, people_answers
from crpo.metrics.samples import per_prompt, usable
from crpo.tables import short_hash


@dataclass(frozen=True)
class PeopleScore:
    """Mean over a prompt's samples of the creativity score that people would give, score points.

    Fitted for each prompt alone, on people's answers to it and the scores these got: kernel ridge regression

        f(x) = m + Σᵢ aᵢ k(x, xᵢ),   a = (K + penalty · diag(1/w))⁻¹ (y − m),   k(x, x′) = exp(−gamma ‖x − x′‖²)

    with embeddings x scaled to length 1, scores y, the numbers of people w who gave each answer, and their mean score
    m (Saunders, Gammerman & Vovk 1998, Ridge Regression Learning Algorithm in Dual Variables). A sample that says what
    people said gets about what they got for it. One that is unlike all their answers gets m, neither good nor bad: how
    people would score it is not known, and to be new is no merit by itself. Predictions spread less than scores do.

    In a run the scores are those of held-out prompts, which no model is trained on. A prompt that the table's column
    `split` says to be trained on is not scored. How well people's order is foretold for answers that the regression did
    not see: docs/which-metric.md (benchmarks/people_score.py). Not in the paper.

    NaN for a prompt that is trained on, or that has fewer than `least` scored answers by people.

    Parameters
    ----------
    people : str
        Table of people's answers (`crpo.metrics.people`) with `creativity_score`; in a run filled in.
    embedder : str
        See `crpo.embeddings.Embedder`; the settings below were chosen with "minilm".
    gamma : float
        How quickly answers stop to be alike with their distance, above 0.
    penalty : float
        How much a single answer's score is mistrusted, above 0.
    least : int
        Answers with a score that a prompt needs, counted as often as they were given; 2 at least.
    most : int
        Of more different answers so many are used, drawn by their texts: the fit's time grows with their cube.
    """

    people: str = ""
    embedder: str = "minilm"
    gamma: float = 2.0
    penalty: float = 0.1
    least: int = 20
    most: int = 1000

    def __post_init__(self) -> None:
        check_given(self.people, "people_score")
        for name, lowest in (("gamma", 0), ("penalty", 0), ("least", 1), ("most", 1)):
            if not getattr(self, name) > lowest:
                raise ValueError(f"{name} is {getattr(self, name)}; choose a number above {lowest}")

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        answers = people_answers(self.people, used)
        vectors = unit(embedder(self.embedder).encode(used["response"].tolist())) if len(used) else np.zeros((0, 0))

        def mean(rows: np.ndarray) -> float:
            own = answers.get(used["prompt_id"].iloc[rows[0]])
            fit = None if own is None else self._fit(own)
            return np.nan if fit is None else float(fit.predict(vectors[rows]).mean())

        return per_prompt(samples, used, mean)

    def _fit(self, answers: Answers) -> Fit | None:
        scored = np.isfinite(answers.scores)
        if answers.trained or answers.people[scored].sum() < self.least:
            return None
        return _fitted(answers, self.embedder, self.gamma, self.penalty, self.most)


@dataclass(frozen=True)
class Fit:
    """A fitted kernel ridge regression.

    Attributes
    ----------
    vectors : ndarray (n, d)
        Unit vectors it was fitted on.
    coefficients : ndarray (n,)
    mean : float
        Score of what is unlike all of them.
    gamma : float
    """

    vectors: np.ndarray
    coefficients: np.ndarray
    mean: float
    gamma: float

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Return the scores (m,) of unit vectors (m, d)."""
        return self.mean + kernel(vectors, self.vectors, self.gamma) @ self.coefficients


def fit_scores(vectors: np.ndarray, scores: np.ndarray, weights: np.ndarray, gamma: float, penalty: float) -> Fit:
    """Fit scores (n,) of unit vectors (n, d), each counted `weights` (n,) times; see `PeopleScore`."""
    mean = float(np.average(scores, weights=weights))
    square = kernel(vectors, vectors, gamma) + np.diag(penalty / weights)
    return Fit(vectors, np.linalg.solve(square, scores - mean), mean, gamma)


def kernel(left: np.ndarray, right: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(−gamma ‖x − x′‖²) of unit vectors (n, d) and (m, d), (n, m) in (0, 1]."""
    return np.exp(-gamma * np.maximum(2 - 2 * (left @ right.T), 0))


@functools.lru_cache(maxsize=256)  # prompts of a study's evaluations: each is fitted once for all models
def _fitted(answers: Answers, embedder_name: str, gamma: float, penalty: float, most: int) -> Fit:
    rows = np.flatnonzero(np.isfinite(answers.scores))
    if len(rows) > most:
        drawn = sorted(rows.tolist(), key=lambda row: (short_hash(answers.texts[row]), answers.scores[row]))
        rows = np.array(drawn[:most])
    vectors = unit(embedder(embedder_name).encode([answers.texts[row] for row in rows]))
    return fit_scores(vectors, answers.scores[rows], answers.people[rows], gamma, penalty)
