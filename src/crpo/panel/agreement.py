"""How far raters of a panel agree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.irt import Ratings
from crpo.panel.campaign import Campaign
from crpo.raters.krippendorff import krippendorff_alpha

COLUMNS = ["dimension", "alpha", "level", "percent", "items", "raters"]


def agreement(campaign: Campaign, judgements: pd.DataFrame) -> pd.DataFrame:
    """Return Krippendorff's alpha and percent agreement for each dimension.

    A choice counts as the place of the answer in `Item.answer_ids`, an order drawn by seed that says nothing, and a tie
    as a value of its own (nominal level); ratings are ordinal. Practice and checks are left out.

    Returns
    -------
    DataFrame
        dimension, alpha (see `krippendorff_alpha`), level, percent (0-100: of pairs of raters who judged the same item,
        those who said exactly the same), items (judged by two raters or more), raters. NaN: no such item.
    """
    level = "ordinal" if campaign.settings.kind == "ratings" else "nominal"
    rows = []
    for dimension in campaign.settings.dimensions:
        own = judgements[(judgements["dimension"] == dimension) & (judgements["role"] == "item")]
        values = [_code(campaign, item, value) for item, value in zip(own["item_id"], own["value"], strict=True)]
        items, _ = pd.factorize(own["item_id"])
        raters, names = pd.factorize(own["rater"])
        ratings = Ratings(items, raters, np.array(values, dtype=float), int(items.max(initial=-1)) + 1, len(names))
        counts = np.bincount(items)
        alpha = krippendorff_alpha(ratings, level)
        rows.append((dimension, alpha, level, _percent(items, values), int((counts > 1).sum()), len(names)))
    return pd.DataFrame(rows, columns=COLUMNS)  # type: ignore[arg-type]


def _code(campaign: Campaign, item_id: str, value: str) -> int:
    if campaign.settings.kind == "ratings":
        return int(value)
    answers = campaign.item[item_id].answer_ids
    return answers.index(value) if value in answers else len(answers)


def _percent(items: np.ndarray, values: list[int]) -> float:
    pairs = same = 0
    for _, own in pd.Series(values).groupby(items):
        counts = own.value_counts().to_numpy()
        pairs += len(own) * (len(own) - 1)
        same += int((counts * (counts - 1)).sum())
    return 100 * same / pairs if pairs else float("nan")
