"""What a panel found: win rates, strengths, means, and how far the raters agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.estimates.clustered import clustered_spread
from crpo.irt import Ratings
from crpo.panel.agreement import agreement
from crpo.panel.campaign import Campaign
from crpo.panel.tidy import ratings_of, votes_of
from crpo.panel.win_rates import strengths, win_rates
from crpo.raters.reliability import icc_average, icc_single
from crpo.raters.variance_components import variance_components
from crpo.recipe.sections import WinRateSection

MEANS = ["dimension", "model", "mean", "low", "high", "ratings", "raters", "prompts", "answers", "words"]
RELIABILITY = ["icc_2_1", "icc_2_k", "raters_per_answer"]
LEVEL = 0.95


@dataclass(frozen=True)
class PanelResults:
    """The tables of a panel.

    Attributes
    ----------
    judgements : DataFrame
        Votes or ratings, unblinded (`crpo.panel.tidy`).
    win_rates, strengths : DataFrame or None
        Of choices: see `crpo.panel.win_rates`.
    means : DataFrame or None
        Of ratings: see `rating_means`.
    agreement : DataFrame
        See `crpo.panel.agreement`; of ratings also icc_2_1, icc_2_k (of the mean of the raters an answer has) and
        raters_per_answer.
    """

    judgements: pd.DataFrame
    win_rates: pd.DataFrame | None
    strengths: pd.DataFrame | None
    means: pd.DataFrame | None
    agreement: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables there are, by the names of their files."""
        found = {"win_rates": self.win_rates, "strengths": self.strengths, "means": self.means}
        name = "votes" if self.means is None else "ratings"
        return {name: self.judgements, **{key: table for key, table in found.items() if table is not None},
                "agreement": self.agreement}  # fmt: skip


def panel_results(campaign: Campaign, judgements: pd.DataFrame, section: WinRateSection) -> PanelResults:
    """Analyse the judgements of a campaign.

    Parameters
    ----------
    campaign : Campaign
    judgements : DataFrame
        See `crpo.panel.tidy.votes_of`, with `role`. Practice and attention checks do not count.
    section : WinRateSection
        How ties count, and the bootstrap.
    """
    agreed = agreement(campaign, judgements)
    if campaign.settings.kind == "ratings":
        ratings = ratings_of(campaign, judgements)
        return PanelResults(ratings, None, None, rating_means(section, ratings), _with_reliability(agreed, ratings))
    votes = votes_of(campaign, judgements)
    return PanelResults(votes, win_rates(section, votes), strengths(section, votes), None, agreed)


def rating_means(section: WinRateSection, ratings: pd.DataFrame) -> pd.DataFrame:
    """Return each model's mean rating by dimension, with an interval over prompts and raters.

    The mean is over ratings, each counting once; the interval is mean ± t·√V (`crpo.estimates.clustered`). That of one
    model also holds how severe its raters are; where all rate all models, that is the same for each of them, and models
    differ less by chance than their intervals say.

    Parameters
    ----------
    section : WinRateSection
        The bootstrap.
    ratings : DataFrame
        dimension, model, rating, rater, prompt_id, response_id, response.

    Returns
    -------
    DataFrame
        dimension, model, mean, low, high (points of the scale; NaN where there is one prompt and one rater), ratings,
        raters, prompts, answers (how many), words (mean length of the rated answers). Highest first.
    """
    from crpo.signals.length import word_counts

    rows = []
    for (dimension, model), own in ratings.groupby(["dimension", "model"], sort=False):
        mean, low, high = _mean(section, own)
        counts = [len(own), *(own[name].nunique() for name in ("rater", "prompt_id", "response_id"))]
        words = float(word_counts(own.drop_duplicates("response_id")["response"]).mean())
        rows.append((dimension, model, mean, low, high, *counts, words))
    table = pd.DataFrame(rows, columns=pd.Index(MEANS))
    order = {name: place for place, name in enumerate(dict.fromkeys(ratings["dimension"]))}
    table = table.assign(place=table["dimension"].map(order)).sort_values(["place", "mean"], ascending=[True, False])
    return table.drop(columns="place").reset_index(drop=True)


def _mean(section: WinRateSection, own: pd.DataFrame) -> tuple[float, float, float]:
    from scipy.stats import t

    values = own["rating"].to_numpy(float)
    clusters = [pd.factorize(own[name])[0] for name in ("prompt_id", "rater")]

    def mean(weights: np.ndarray) -> np.ndarray:
        return (weights @ values / weights.sum(axis=1))[:, None]

    center = float(values.mean())
    if max(len(np.unique(codes)) for codes in clusters) < 2:
        return center, np.nan, np.nan
    (variance,), (freedom,) = clustered_spread(clusters, mean, len(values), draws=section.draws, seed=section.seed)
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))
    return center, center - half, center + half


def _with_reliability(agreed: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    rows = {}
    for dimension, own in ratings.groupby("dimension", sort=False):
        answers, names = pd.factorize(own["response_id"])
        raters, people = pd.factorize(own["rater"])
        values = own["rating"].to_numpy(float)
        parts = variance_components(Ratings(answers, raters, values, len(names), len(people)))
        per_answer = parts.raters_per_answer
        rows[dimension] = (icc_single(parts), float(icc_average(parts, per_answer)), per_answer)
    found = pd.DataFrame.from_dict(rows, orient="index", columns=RELIABILITY)
    return agreed.join(found, on="dimension")
