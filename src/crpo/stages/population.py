"""The answers that a signal's values are computed and scaled among."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.grouped import group_codes
from crpo.recipe.sections import Over
from crpo.stages.raw_values import Texts


class Population:
    """Answers in the order of their texts, so that the order of the table's rows changes no value.

    Attributes
    ----------
    rows : ndarray of int (n,)
        Their rows in the table, by prompt, then text.
    answers : DataFrame (n rows)
    texts : Texts
        With the prompt of each answer in `codes`.
    """

    def __init__(self, answers: pd.DataFrame, member: np.ndarray) -> None:
        """Take the answers that are members (bool, one for each row)."""
        prompts, _ = group_codes(answers["prompt_id"])
        order = np.lexsort((answers["response_id"], answers["response"], prompts))
        self.rows = order[member[order]]
        self.answers = answers.iloc[self.rows].reset_index(drop=True)
        self.texts = Texts(self.answers, group_codes(self.answers["prompt_id"])[0])


def members(answers: pd.DataFrame, pairs: pd.DataFrame | None, over: Over) -> np.ndarray:
    """Return which answers (n,) are chosen in a pair, or paired at all with `over` "all"; all of them without pairs."""
    if pairs is None:
        return np.ones(len(answers), dtype=bool)
    sides = ["chosen_id"] if over == "chosen" else ["chosen_id", "rejected_id"]
    return answers["response_id"].isin(np.unique(pairs[sides])).to_numpy()
