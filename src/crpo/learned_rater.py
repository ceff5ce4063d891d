"""A rater learned from people's scores: ridge regression on embeddings, never asked about a prompt it was fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.distances import unit
from crpo.errors import InputError
from crpo.estimates import correlation_interval
from crpo.grouped import group_codes, mean_by_group
from crpo.models import embedder
from crpo.tables import write_whole

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class LearnedRater:
    """Ridge regression from an answer's embedding to its creativity score.

    It is fitted on scores centred within prompts: it knows which answers to a prompt are better, and says nothing of
    which prompts get better answers. Prompts are dealt to folds; fold k's coefficients were fitted without its prompts.

    Attributes
    ----------
    coefficients : ndarray (folds + 1, d)
        Row k is fitted without the prompts of fold k, the last row on all prompts.
    center : float
        Mean score, score points; added to every prediction.
    prompts : ndarray of str (p,)
        The prompts it was fitted on.
    fold : ndarray of int (p,)
        Their folds.
    embedder : str
        Name of the embedder.
    """

    coefficients: np.ndarray
    center: float
    prompts: np.ndarray
    fold: np.ndarray
    embedder: str

    def predict(self, responses: pd.DataFrame) -> np.ndarray:
        """Return scores (n,), in score points, each by coefficients that did not see the answer's `prompt_id`."""
        fold_of = dict(zip(self.prompts.tolist(), self.fold.tolist(), strict=True))
        folds = [fold_of.get(prompt, len(self.coefficients) - 1) for prompt in responses["prompt_id"]]
        features = _features(responses, self.embedder)
        return self.center + np.einsum("ij,ij->i", features, self.coefficients[folds])

    def save(self, path: Path) -> None:
        """Write the rater as .npz, without pickle."""
        import io

        buffer = io.BytesIO()
        np.savez(buffer, coefficients=self.coefficients, center=self.center, prompts=self.prompts, fold=self.fold,
                 embedder=self.embedder)  # fmt: skip
        write_whole(buffer.getvalue(), path)

    @classmethod
    def load(cls, path: str | Path) -> LearnedRater:
        """Read what `save` wrote; InputError when the file is not there or is something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    file["coefficients"], float(file["center"]), file["prompts"], file["fold"], str(file["embedder"])
                )
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path} is not a learned rater", "Name the .npz that the rater stage wrote.") from error


def fit_learned_rater(
    responses: pd.DataFrame, embedder_name: str, *, folds: int = 5, progress: Callable[[int], None] | None = None
) -> LearnedRater:
    """Fit the rater on `prompt_id`, `response` and `creativity_score`; the penalty is chosen on inner folds of prompts.

    Raises
    ------
    InputError
        With fewer than three prompts: nothing could be left out.
    """
    codes, prompts = group_codes(responses["prompt_id"])
    if len(prompts) < 3:
        raise InputError(f"a learned rater needs answers to at least 3 prompts, found {len(prompts)}",
                         "Give more prompts, or name a reward model in models.quality.")  # fmt: skip
    folds = min(folds, len(prompts))
    fold = _balanced_folds(np.bincount(codes), folds)
    features = _features(responses, embedder_name, progress)
    scores = responses["creativity_score"].to_numpy(float)
    target = scores - mean_by_group(scores, codes)[codes]
    coefficients = [
        _fit(features[fold[codes] != k], target[fold[codes] != k], codes[fold[codes] != k]) for k in range(folds)
    ]
    coefficients.append(_fit(features, target, codes))
    return LearnedRater(np.array(coefficients), float(scores.mean()), prompts.astype(str), fold, embedder_name)


def rater_agreement(rater: LearnedRater, responses: pd.DataFrame) -> pd.DataFrame:
    """Return, per task, how well the rater orders answers to prompts it did not see.

    Returns
    -------
    DataFrame
        task, responses, prompts, correlation (Pearson, both sides centred within prompts), low, high (Fisher's 95 %
        interval over answers).
    """
    predicted, scores = rater.predict(responses), responses["creativity_score"].to_numpy(float)
    codes, _ = group_codes(responses["prompt_id"])
    centred = [values - mean_by_group(values, codes)[codes] for values in (predicted, scores)]
    rows = []
    for task, own in responses.groupby("task", sort=True).indices.items():
        n, prompts = len(own), responses["prompt_id"].iloc[own].nunique()
        spread = min(float(np.std(values[own])) for values in centred)
        correlation = float(np.corrcoef(centred[0][own], centred[1][own])[0, 1]) if n > 2 and spread > 0 else np.nan
        rows.append((task, n, prompts, correlation, *correlation_interval(correlation, n - prompts)))
    names = ["task", "responses", "prompts", "correlation", "low", "high"]
    return pd.DataFrame(rows, columns=names)  # type: ignore[arg-type]


def _features(responses: pd.DataFrame, name: str, progress: Callable[[int], None] | None = None) -> np.ndarray:
    return unit(embedder(name).encode(responses["response"].tolist(), progress))


def _balanced_folds(sizes: np.ndarray, folds: int) -> np.ndarray:
    fold, load = np.zeros(len(sizes), dtype=int), np.zeros(folds)
    for prompt in np.argsort(-sizes, kind="stable"):
        fold[prompt] = load.argmin()
        load[fold[prompt]] += sizes[prompt]
    return fold


def _fit(features: np.ndarray, target: np.ndarray, codes: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    groups = len(np.unique(codes))
    errors = np.zeros(len(PENALTIES))
    for fit, test in GroupKFold(min(5, groups)).split(features, target, codes):
        for k, penalty in enumerate(PENALTIES):
            ridge = Ridge(penalty, fit_intercept=False).fit(features[fit], target[fit])
            errors[k] += float(((ridge.predict(features[test]) - target[test]) ** 2).sum())
    return Ridge(PENALTIES[int(errors.argmin())], fit_intercept=False).fit(features, target).coef_
