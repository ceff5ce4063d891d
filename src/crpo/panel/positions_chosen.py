"""Whether raters prefer a place: how often what was shown first, second, … was chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.estimates.votes import OUTCOMES, Votes
from crpo.estimates.win_rates import win_rate
from crpo.panel.campaign import TIE, Campaign
from crpo.recipe.sections import WinRateSection

COLUMNS = ["dimension", "place", "chosen", "ties", "judgements", "share", "low", "high", "chance"]


def positions_chosen(section: WinRateSection, campaign: Campaign, counting: pd.DataFrame) -> pd.DataFrame:
    """Return how often each place was chosen.

    Every answer stands in each place about equally often, so that without a preference for a place each has the same
    chance. The interval is that of a win rate (`crpo.estimates.win_rates.win_rate`): over prompts and raters, since the
    choices of one rater, who may always press the same key, are not independent as a chi-square test has it.

    Parameters
    ----------
    section : WinRateSection
        How ties count, and the bootstrap.
    campaign : Campaign
        Of pairs, or of the best of n.
    counting : DataFrame
        Judgements of items: rater, item_id, answer_ids, dimension, value.

    Returns
    -------
    DataFrame
        dimension, place (1: shown first), chosen, ties, judgements (chosen or not; ties are told apart), share in
        [0, 1], low, high, chance (1/n of n answers). Of pairs the first place alone, as the other is its complement.
    """
    rows = []
    for dimension in campaign.settings.dimensions:
        own = counting[counting["dimension"] == dimension]
        shown = [str(answers).split() for answers in own["answer_ids"]]
        size = len(shown[0]) if shown else 0
        for place in range(max(size - 1, 0) if size == 2 else size):
            outcome = np.array([_outcome(value, page[place]) for value, page in zip(own["value"], shown, strict=True)])
            rate = win_rate(_votes(campaign, own, outcome), ties=section.ties, draws=section.draws, seed=section.seed)
            chosen, ties = int((outcome == 1).sum()), int((outcome == OUTCOMES[TIE]).sum())
            rows.append((dimension, place + 1, chosen, ties, len(own), rate.value, rate.low, rate.high, 1 / size))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _outcome(value: str, answer: str) -> float:
    return OUTCOMES[TIE] if value == TIE else float(value == answer)


def _votes(campaign: Campaign, own: pd.DataFrame, outcome: np.ndarray) -> Votes:
    """Return the choices as votes of this place against the others."""
    prompts = pd.factorize(np.array([campaign.item[item].prompt_id for item in own["item_id"]]))[0]
    n = len(outcome)
    here, elsewhere = np.zeros(n, int), np.ones(n, int)
    raters = pd.factorize(own["rater"])[0]
    return Votes(("here", "elsewhere"), here, elsewhere, outcome, prompts, raters, np.full(n, np.nan))
