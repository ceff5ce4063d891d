"""Ratings to factor scores: judge response theory on the training side, applied to every answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.errors import InputError
from crpo.irt import RaterModel, Ratings, fit_irt, minmax, rescale
from crpo.raters import agreement, filter_raters, rater_table
from crpo.recipe import RateSection
from crpo.stages.split import account


def rate(section: RateSection, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score answers from their ratings.

    The rater model is fitted on the rows whose `split` is "train" (all rows where there is no such column) and gives
    every answer its expected a posteriori score; 10 and 50 are the lowest and highest score of the fitted answers.

    Parameters
    ----------
    section : RateSection
    table : DataFrame
        Long ratings: response_id, rater, rating, and columns of the answer.

    Returns
    -------
    scores : DataFrame
        One row per answer: its columns, theta, theta_se, creativity_score (10–50), n_ratings (by kept raters),
        agreement. An answer without a rating by a kept rater has NaN scores.
    raters : DataFrame
        rater, n, mean, discrimination, bits, kept, reason. The discrimination of a dropped rater, and the bits of all,
        are of a fit of everybody that lets discriminations be negative.
    account : DataFrame

    Raises
    ------
    InputError
        When a rater rated an answer twice differently, and when no model can be fitted.
    """
    table = _once(table)
    ratings, answers, names = _flat(table)
    fitted = np.ones(len(answers), dtype=bool) if "split" not in answers else (answers["split"] == "train").to_numpy()
    training = _only(ratings, fitted)
    try:
        kept, reason, _ = filter_raters(training, method=section.filter)
        model = fit_irt(training.of_raters(kept), model=section.model, prior=section.prior)
    except ValueError as error:
        raise InputError(f"the ratings cannot be modelled: {error}", "Give at least two raters who differ.") from error
    if not model.converged:
        raise InputError("the graded response model did not converge", "Use rate.prior: weak, or rate.model: cgrm.")
    scores = _scores(answers, ratings.of_raters(kept), model, fitted)
    scores["agreement"] = agreement(ratings, kept)
    raters = pd.DataFrame({"rater": names, **rater_table(training, _with_everybody(training, section))})
    discrimination = np.where(kept, model.discrimination, raters["discrimination"])
    raters = raters.assign(discrimination=discrimination, kept=kept, reason=reason)
    counts = {
        "ratings": len(table),
        "answers": len(answers),
        "raters": len(names),
        "raters dropped": int((~kept).sum()),
        "answers without a rating by a kept rater": int(scores["theta"].isna().sum()),
    }
    return scores, raters, account("rate", counts)


def _once(table: pd.DataFrame) -> pd.DataFrame:
    table = table.drop_duplicates(["response_id", "rater", "rating"]).reset_index(drop=True)
    texts = [column for column in ("task", "item", "response") if column in table]
    answers = table.drop_duplicates(["response_id", *texts])["response_id"]
    if answers.duplicated().any():
        found = answers[answers.duplicated()].iloc[0]
        raise InputError(f"response_id {found!r} stands for different answers", "Give every answer an id of its own.")
    twice = table[table.duplicated(["response_id", "rater"])]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(f"rater {row['rater']} rated answer {row['response_id']} twice, differently",
                         "Keep one of the ratings.")  # fmt: skip
    return table


def _flat(table: pd.DataFrame) -> tuple[Ratings, pd.DataFrame, np.ndarray]:
    ids, response = np.unique(table["response_id"].to_numpy(str), return_inverse=True)
    names, rater = np.unique(table["rater"].to_numpy(str), return_inverse=True)
    answers = table.drop(columns=["rater", "rating"]).drop_duplicates("response_id").set_index("response_id")
    answers = answers.loc[ids].rename_axis("response_id").reset_index()
    return Ratings(response, rater, table["rating"].to_numpy(float), len(ids), len(names)), answers, names


def _only(ratings: Ratings, answers: np.ndarray) -> Ratings:
    own = answers[ratings.response]
    return Ratings(ratings.response[own], ratings.rater[own], ratings.value[own], ratings.n_responses, ratings.n_raters)


def _scores(answers: pd.DataFrame, ratings: Ratings, model: RaterModel, fitted: np.ndarray) -> pd.DataFrame:
    theta, error = model.scores(ratings)
    constants = minmax(theta[fitted])
    n = np.bincount(ratings.response, minlength=ratings.n_responses)
    return answers.assign(theta=theta, theta_se=error, creativity_score=rescale(theta, constants), n_ratings=n)


def _with_everybody(ratings: Ratings, section: RateSection) -> RaterModel:
    # Dropped raters are described too, by a model that lets a discrimination be negative.
    return fit_irt(ratings, model=section.model, prior="normal")
