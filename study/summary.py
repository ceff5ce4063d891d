"""The seven questions' answers in a few computed words: the page's first table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crpo.report.views import number
from differences import NOT_TESTED, YES
from names import INDEPENDENT, LEVEL, SIDES, TRAINED
from questions import ASKED
from wording import digits, table


def short_answers(rows: pd.DataFrame, correlation: tuple[float, float, float, int]) -> str:
    """Return a table of question and answer; `correlation` is of `questions.rank_correlation`."""
    found = [(f"[{name}](#question-{name})", asked, " ".join(answer_of(name, rows, correlation)))
             for name, asked in ASKED.items()]  # fmt: skip
    return table(pd.DataFrame(found, columns=pd.Index(["", "question", "answer"])), left=3)


def answer_of(name: str, rows: pd.DataFrame, correlation: tuple[float, float, float, int]) -> list[str]:
    """Return the sentences that answer a question, by its rows alone."""
    own = rows[rows["question"] == name]
    by_family = {family: own[own["family"] == family] for family in ("1", "2", "3a", "3b", "4", "5", "6", "7")}
    if name == "2":
        return _two(by_family["2"], own[own["family"] == ""])
    if name == "3":
        return ["Quality lost against DPO:", said(by_family["3a"], "model"), "Quality gained by adding the signal "
                "quality:", said(by_family["3b"], "model"), _correlated(*correlation)]  # fmt: skip
    if name == "4":
        return ["λ = 0.5 above another λ:", said(by_family["4"])]
    if name == "5":
        return ["Above DPO:", said(by_family["5"]), *(_apart(own, side) for side in SIDES)]
    if name == "6":
        return ["Above reweighting:", said(by_family["6"], "model")]
    if name == "7":
        return [said(by_family["7"].iloc[[place]], claim=True) for place in range(len(by_family["7"]))]
    return ["Above DPO:", said(by_family["1"], "model")]


def said(rows: pd.DataFrame, names: str = "", *, claim: bool = False) -> str:
    """Say for how many of the tests the claim was shown, and for how many the contrary.

    Parameters
    ----------
    rows : DataFrame
        Tested differences.
    names : str
        The column whose values are listed where the claim was shown; "" lists none.
    claim : bool
        Say the claim itself, for a single test.
    """
    there = rows[rows["verdict"] != NOT_TESTED]
    shown = there[there["verdict"] == YES]
    against = there[(there["p_holm"] < LEVEL) & (there["difference"] * there["direction"] < 0)]
    if claim:
        row = rows.iloc[0]
        word = NOT_TESTED if there.empty else "shown" if len(shown) else "the contrary" if len(against) else "not shown"
        return f"{row['model']}, {row['claim']}: **{word}**."
    if there.empty:
        return f"**{NOT_TESTED}**."
    words = [f"**{len(shown)} of {len(there)}**{_listed(shown, names)}"]
    words += [f"the other way {len(against)}{_listed(against, names)}"] if len(against) else []
    words += [f"{len(rows) - len(there)} of the plan's {len(rows)} not tested"] if len(there) < len(rows) else []
    return f"{'; '.join(words)}."


def missing(rows: pd.DataFrame, models: Sequence[str]) -> str:
    """Say which arms a question needs and the run does not have; "" where it has all."""
    wanted = dict.fromkeys([*rows["model"], *rows["baseline"]])
    absent = [model for model in wanted if model not in models]
    return f"This run has no {', '.join(absent)}: what needs them is not tested." if absent else ""


def _two(tested: pd.DataFrame, bound: pd.DataFrame) -> list[str]:
    verdicts = [*tested["verdict"], *bound["verdict"]]
    whole = NOT_TESTED if NOT_TESTED in verdicts else YES if set(verdicts) == {YES} else "not shown"
    return [f"**{whole}**. Above DPO:", said(tested, "metric"), f"Quality not lost: {bound['verdict'].iloc[0]}."]


def _apart(rows: pd.DataFrame, side: str) -> str:
    own = rows[rows["split"] == side]
    parts = []
    for name, metrics in (("independent", INDEPENDENT), ("trained", TRAINED)):
        these = own[own["metric"].isin(metrics)].dropna(subset=["low"])
        up, down = int((these["low"] > 0).sum()), int((these["high"] < 0).sum())
        parts.append(f"on {name} metrics {up} of {len(these)} intervals above 0, {down} below")
    return f"{side[:1].upper()}{side[1:]} alone: {'; '.join(parts)}."


def _correlated(value: float, low: float, high: float, arms: int) -> str:
    if not np.isfinite(value):
        return f"No correlation of gain and quality: {arms} arms are too few."
    ends = f"[{number(low)}, {number(high)}]"
    return f"Rank correlation of gain and quality over {digits(arms)} arms: {number(value)} {ends}."


def _listed(rows: pd.DataFrame, names: str) -> str:
    return f" ({', '.join(dict.fromkeys(rows[names]))})" if names and len(rows) else ""
