"""Ratings, long or wide.

long    response_id,rater,rating          wide    response_id,rater1,rater2,rater3
        a17,r1,3                                  a17,3,,4
        a17,r3,4
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from crpo.errors import InputError
from crpo.tables import check_table, load_table
from crpo.tables.kinds import ANY, KINDS, TableKind

RATER_COLUMN = re.compile(r"(rater|judge|r)[ _]?\d+", re.IGNORECASE)


def read_ratings(path: str | Path, kind: str = "ratings") -> pd.DataFrame:
    """Read ratings as a long table: response_id, rater, rating, and the other columns of each answer.

    `kind` is "ratings", or "rated answers" where task, item and response are needed too. A wide table is one without a
    `rater` column and with columns named rater1, judge_2, R3; a blank cell is not rated.

    Raises
    ------
    InputError
        As `crpo.tables.read_table`.
    """
    frame = load_table(path)
    raters = [column for column in frame.columns if RATER_COLUMN.fullmatch(str(column))]
    if "rater" in frame or "judge" in frame or not raters:
        return check_table(frame, KINDS[kind], path)
    needed = tuple(name for name in KINDS[kind].required if name not in ("rater", "rating"))
    rules = TableKind(needed, dict.fromkeys(raters, ANY), {}, filled=needed, unique=("response_id",))
    wide = check_table(frame, rules, path)
    others = [column for column in wide.columns if column not in raters]
    long = wide.melt(others, raters, "rater", "rating").dropna(subset="rating")
    if long.empty:
        raise InputError(f"{path} holds no rating", f"Fill the columns {', '.join(raters[:3])} …")
    return long.reset_index(drop=True)
