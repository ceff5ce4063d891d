"""Judgements, unblinded: votes for win rates, ratings for `crpo rate`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crpo.panel.campaign import TIE, Campaign
from crpo.panel.folder import csv_text
from crpo.tables import write_whole

JUDGEMENT_COLUMNS = ["rater", "item_id", "answer_ids", "dimension", "value", "seconds"]
VOTE_COLUMNS = [
    "prompt_id", "rater", "dimension", "model_a", "model_b", "winner", "words_a", "words_b", "seconds", "left",
    "item_id",
]  # fmt: skip
RATING_COLUMNS = [
    "response_id", "rater", "rating", "dimension", "answer_id", "item", "response", "model", "prompt_id", "seconds",
]  # fmt: skip


def votes_of(campaign: Campaign, judgements: pd.DataFrame) -> pd.DataFrame:
    """Return judgements of pairs, or of the best of n, as votes between models.

    Model b is the one in `settings.against`, or else the later of the two names, so that a pair of models always
    stands the same way round. The best of n has beaten each of the others: n − 1 votes; of the others nothing is known.
    Practice and attention checks are left out.

    Parameters
    ----------
    campaign : Campaign
    judgements : DataFrame
        rater, item_id, answer_ids (in the order shown, with spaces between), dimension, value (the winner's answer_id,
        or "tie"), seconds (NaN where not known).

    Returns
    -------
    DataFrame
        prompt_id, rater, dimension, model_a, model_b, winner ("a", "b", "tie"), words_a, words_b, seconds, left ("a" or
        "b": which stood on the left, or before the other), item_id.
    """
    rows = []
    for judged in _counting(campaign, judgements).itertuples(index=False):
        shown = str(judged.answer_ids).split()
        best = shown[0] if judged.value == TIE else str(judged.value)
        for other in (answer for answer in shown if answer != best):
            own = sorted((best, other), key=lambda answer: _side(campaign, answer))
            a, b = (campaign.answer[answer] for answer in own)
            winner = TIE if judged.value == TIE else "ab"[own.index(best)]
            left = "ab"[own.index(min(own, key=shown.index))]
            rows.append((a.prompt_id, judged.rater, judged.dimension, a.model, b.model, winner, a.words, b.words,
                         judged.seconds, left, judged.item_id))  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(VOTE_COLUMNS))


def ratings_of(campaign: Campaign, judgements: pd.DataFrame) -> pd.DataFrame:
    """Return judgements on a scale as long ratings, which `crpo rate --by dimension` takes as they are.

    What is rated there is an answer on one dimension, so each has an id of its own: to `crpo rate` two ratings of one
    response by one rater contradict each other.

    Practice and attention checks are left out.

    Parameters
    ----------
    campaign : Campaign
    judgements : DataFrame
        As of `votes_of`; value is a whole number as text.

    Returns
    -------
    DataFrame
        response_id (answer_id/dimension), rater, rating, dimension, answer_id, item (the prompt's text), response,
        model, prompt_id, seconds.
    """
    rows = []
    for judged in _counting(campaign, judgements).itertuples(index=False):
        answer = campaign.answer[campaign.item[str(judged.item_id)].answer_ids[0]]
        rows.append((f"{answer.answer_id}/{judged.dimension}", judged.rater, int(str(judged.value)), judged.dimension,
                     answer.answer_id, answer.prompt, answer.response, answer.model, answer.prompt_id,
                     judged.seconds))  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(RATING_COLUMNS))


def write_inert(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV in which no cell can run as a spreadsheet's formula (see `crpo.panel.inert`)."""
    names = [str(name) for name in frame.columns]
    rows = ({str(k): "" if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records"))
    return write_whole(csv_text(names, rows).encode(), path)


def _counting(campaign: Campaign, judgements: pd.DataFrame) -> pd.DataFrame:
    counting = [campaign.item[str(item)].role == "item" for item in judgements["item_id"]]
    return judgements[counting]


def _side(campaign: Campaign, answer: str) -> tuple[bool, str, str]:
    model = campaign.answer[answer].model
    return model in campaign.settings.against, model, answer
