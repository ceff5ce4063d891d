"""Raters to look at: too fast, the same answer all the time, or failed attention checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crpo.panel.campaign import Campaign, is_passed
from crpo.panel.store import Rater

FAST = 1 / 3  # of the time that reading and deciding should take: below it, nobody has read
STRAIGHT = 0.9  # share of one position, or of one rating
LEAST_ITEMS = 8  # of straight-lining: with fewer, nine of ten the same may well be chance
LEAST_TIMED = 3  # of too fast
COLUMNS = ["rater", "number", "items", "of", "median_seconds", "pace", "same", "checks_failed", "checks", "flags"]


def rater_facts(campaign: Campaign, raters: Sequence[Rater], judgements: pd.DataFrame) -> pd.DataFrame:
    """Return how each rater is doing, and what speaks against their judgements.

    Parameters
    ----------
    campaign : Campaign
    raters : sequence of Rater
    judgements : DataFrame
        See `crpo.panel.store.Store.judgements`.

    Returns
    -------
    DataFrame
        A row per rater: rater, number, items (judged, without practice and checks), of, median_seconds (on a page),
        pace (median of seconds over those that reading and deciding should take at `reading_speed` and
        `decision_seconds`), same (largest share of one position, for ratings of one value), checks_failed, checks (met
        so far), flags (words, separated by ", "; empty: none). NaN: nothing judged yet. "too fast" is a pace below 1/3
        over at least 3 items, "straight-lining" a share of .9 or more over at least 8 items, "failed a check" one
        failed or more. A flag is a reason to look, not to exclude: the rule for that belongs into the study's plan.
    """
    of = min(campaign.settings.items_per_rater, len(campaign.of_role("item")))
    by_rater = dict(iter(judgements.groupby("rater")))
    none = judgements.iloc[:0]
    rows = [_facts(campaign, rater, by_rater.get(rater.rater, none), of) for rater in raters]
    return pd.DataFrame(rows, columns=COLUMNS)  # type: ignore[arg-type]


def _facts(campaign: Campaign, rater: Rater, own: pd.DataFrame, of: int) -> list[object]:
    items = own[own["role"] == "item"]
    pages = items.drop_duplicates("item_id")
    seconds = pages["seconds"].to_numpy(float)
    expected = np.array([expected_seconds(campaign, item) for item in pages["item_id"]])
    pace = float(np.median(seconds / expected)) if len(pages) else np.nan
    same = _same(campaign, items)
    checks = own[own["role"] == "check"].groupby("item_id")["value"].agg(list)
    failed = sum(not is_passed(campaign.settings, campaign.item[str(item)], values) for item, values in checks.items())
    flags = [
        *(["too fast"] if pace < FAST and len(pages) >= LEAST_TIMED else []),
        *(["straight-lining"] if same >= STRAIGHT and len(pages) >= LEAST_ITEMS else []),
        *(["failed a check"] if failed else []),
    ]
    median = float(np.median(seconds)) if len(pages) else np.nan
    return [rater.rater, rater.number, len(pages), of, median, pace, same, failed, len(checks), ", ".join(flags)]


def expected_seconds(campaign: Campaign, item_id: str) -> float:
    """Return how long reading an item's answers and deciding should take."""
    settings, item = campaign.settings, campaign.item[item_id]
    words = sum(campaign.answer[answer].words for answer in item.answer_ids)
    return 60 * words / settings.reading_speed + settings.decision_seconds * len(settings.dimensions)


def _same(campaign: Campaign, items: pd.DataFrame) -> float:
    """Return the largest share of one position (a tie is one too), or of one rating."""
    what = items["value"] if campaign.settings.kind == "ratings" else items["position"].fillna(0)
    return float(what.value_counts(normalize=True).max()) if len(items) else np.nan
