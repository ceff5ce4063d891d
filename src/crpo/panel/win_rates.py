"""Votes to tables: win rates of every two models, and a strength of each, by dimension."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from crpo.estimates.strengths import bradley_terry
from crpo.estimates.votes import Votes, votes_of
from crpo.estimates.win_rates import win_rate, win_rate_at_equal_length
from crpo.progress import track
from crpo.recipe.sections import WinRateSection

RATES = ["dimension", "model", "against", "wins", "ties", "losses", "win_rate", "low", "high"]
STRENGTHS = ["dimension", "model", "strength", "low", "high", "votes"]
LENGTHS = ["words_difference", "equal_length", "equal_length_low", "equal_length_high"]


def win_rates(section: WinRateSection, votes: pd.DataFrame) -> pd.DataFrame:
    """Return how often each model beats each other one, by dimension.

    Parameters
    ----------
    section : WinRateSection
    votes : DataFrame
        dimension, model_a, model_b, winner ("a", "b", "tie"); where known prompt_id, rater, words_a, words_b.

    Returns
    -------
    DataFrame
        dimension, model, against, wins, ties, losses, win_rate in [0, 1], low, high
        (`crpo.estimates.win_rates.win_rate`), tie_rule (`section.ties`: "drop" or "half"). Every two models that met
        are there twice, once each way. Where the answers' words are known also words_difference (mean words of the
        model's answer less the other's), equal_length (the win rate were both equally long,
        `win_rate_at_equal_length`), equal_length_low, equal_length_high. NaN: nothing is known.
    """
    rows, dimensions = [], list(dict.fromkeys(votes["dimension"].astype(str)))
    meetings = [(name, *meeting) for name, own in _dimensions(votes) for meeting in _meetings(own)]
    with track("win rates", len(meetings)) as advance:
        for dimension, model, against, own in meetings:
            row = _row(section, own)
            rows += [(dimension, model, against, *row), (dimension, against, model, *_turned(row))]
            advance(1)
    rows.sort(key=lambda row: (dimensions.index(row[0]), *row[1:3]))
    table = pd.DataFrame(rows, columns=pd.Index(RATES + LENGTHS)).assign(tie_rule=section.ties)
    return table if table["words_difference"].notna().any() else table.drop(columns=LENGTHS)


def strengths(section: WinRateSection, votes: pd.DataFrame) -> pd.DataFrame:
    """Return Bradley-Terry strengths by dimension.

    Parameters
    ----------
    section, votes
        See `win_rates`.

    Returns
    -------
    DataFrame
        dimension, model, strength (log-odds, their mean over models being 0), low, high, votes (that counted for the
        model); see `crpo.estimates.strengths.bradley_terry`. Strongest first; empty without votes.
    """
    parts = []
    names = list(_dimensions(votes))
    with track("strengths", len(names)) as advance:
        for dimension, own in names:
            found = bradley_terry(own, ties=section.ties, draws=section.draws, seed=section.seed)
            counted = own.without_ties(section.ties)
            count = np.bincount(np.r_[counted.first, counted.second], minlength=len(own.models))
            table = pd.DataFrame({"dimension": dimension, "model": own.models, "strength": found.value,
                                  "low": found.low, "high": found.high, "votes": count})  # fmt: skip
            parts.append(table.sort_values("strength", ascending=False, kind="stable"))
            advance(1)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=pd.Index(STRENGTHS))


def _dimensions(votes: pd.DataFrame) -> Iterator[tuple[str, Votes]]:
    for dimension in dict.fromkeys(votes["dimension"]):
        yield str(dimension), votes_of(votes[votes["dimension"] == dimension])


def _meetings(votes: Votes) -> Iterator[tuple[str, str, Votes]]:
    """Yield every two models that met, once, and their votes."""
    for model, against in itertools.combinations(range(len(votes.models)), 2):
        own = votes.between(model, against)
        if len(own):
            yield votes.models[model], votes.models[against], own


def _row(section: WinRateSection, votes: Votes) -> tuple:
    settings = {"ties": section.ties, "draws": section.draws, "seed": section.seed}
    rate, equal = win_rate(votes, **settings), win_rate_at_equal_length(votes, **settings)
    known = votes.longer[np.isfinite(votes.longer)]
    counts = [int((votes.outcome == outcome).sum()) for outcome in (1.0, 0.5, 0.0)]
    longer = float(known.mean()) if len(known) else np.nan
    return (*counts, rate.value, rate.low, rate.high, longer, equal.value, equal.low, equal.high)


def _turned(row: tuple) -> tuple:
    """Return what the same votes say of the other model: nothing has to be drawn again."""
    wins, ties, losses, rate, low, high, longer, equal, equal_low, equal_high = row
    return (losses, ties, wins, 1 - rate, 1 - high, 1 - low, -longer, 1 - equal, 1 - equal_high, 1 - equal_low)
