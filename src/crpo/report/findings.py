"""Tables of the page beside the results: differences, the front, signs of collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .selection import in_order
from .views import NOT_SCORED, count, decimals_of, number, percent, split_order, where

FOLD_FROM = 30  # rows
SMALLEST = 0.001
NAMED = 3
KINDS = {  # by the column trained_on
    "True": "Metrics in the model’s own training weights",
    "False": "Independent metrics",
    "": "Metrics of which it is not known whether they were in the training weights",
}


@dataclass(frozen=True)
class Rows:
    """A plain table under a heading; ``texts`` are the columns at its left that hold words."""

    heading: str
    columns: list[str]
    rows: list[list[str]]
    texts: int

    @property
    def folded(self) -> bool:
        """Whether it is long."""
        return len(self.rows) > FOLD_FROM


def significance(comparisons: pd.DataFrame, models: list[str]) -> list[Rows]:
    """Return the differences of the widest split, of metrics that a model was trained on apart from the others."""
    if comparisons.empty:
        return []
    table = where(comparisons, "split", split_order(comparisons)[0])
    table = table[table["model"].isin(models)]
    metrics = sorted(set(table["metric"]), key=lambda metric: (in_order(metric), metric))
    places = [(metrics.index(row["metric"]), models.index(row["model"])) for row in table.to_dict("records")]
    table = table.iloc[sorted(range(len(table)), key=places.__getitem__)]
    parts = {answer: table[table["trained_on"].astype(str) == answer] for answer in KINDS}
    return [_differences(KINDS[answer], own, table) for answer, own in parts.items() if len(own)]


def _differences(heading: str, own: pd.DataFrame, table: pd.DataFrame) -> Rows:
    decimals = {
        metric: decimals_of(rows.rename(columns={"difference": "value"})) for metric, rows in table.groupby("metric")
    }
    names = ["metric", "model", "minus", "difference", "95 % interval", "p", "Holm’s p", "effect size", "prompts"]
    return Rows(heading, names, [_difference(row, decimals[row["metric"]]) for row in own.to_dict("records")], 3)


def _difference(row: dict, decimals: int) -> list[str]:
    selected = " (samples selected by it)" if str(row["selected_on"]) == "True" else ""
    return [
        str(row["metric"]).replace("_", " ") + selected,
        str(row["model"]),
        str(row["baseline"]),
        number(row["difference"], decimals),
        interval(row["low"], row["high"], decimals),
        probability(row["p"]),
        probability(row["p_holm"]),
        number(row["effect_size"]),
        count(row["prompts"]),
    ]


def interval(low: float, high: float, decimals: int = 2) -> str:
    """Write the ends of an interval."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "not known"
    return f"{number(low, decimals)} to {number(high, decimals)}"


def probability(p: float) -> str:
    """Write a p value with three decimals, never as zero."""
    return f"<\u202f{SMALLEST}" if p < SMALLEST else number(p, 3, "not known")


def front_rows(front: pd.DataFrame, models: list[str]) -> Rows | None:
    """Return who is on the front, who is not, and how settled that is."""
    own = front[front["model"].isin(models)] if len(front) else front
    if own.empty:
        return None
    own = own.assign(place=[models.index(model) for model in own["model"]])
    own = own.sort_values(["on_front", "share", "place"], ascending=[False, False, True])
    decimals = decimals_of(own.rename(columns={"quality": "value", "quality_low": "low", "quality_high": "high"}))
    names = ["model", "on the front", "beaten by", "of draws", "quality", "creativity"]
    return Rows("Who is on the front", names, [_place(row, decimals) for row in own.to_dict("records")], 3)


def _place(row: dict, decimals: int) -> list[str]:
    known = np.isfinite(row["quality"]) and np.isfinite(row["creativity"])
    names = [] if row["beaten_by"] != row["beaten_by"] else str(row["beaten_by"]).split(", ")
    more = f" and {len(names) - NAMED}" if len(names) > NAMED else ""
    return [
        str(row["model"]),
        _verdict(row) if known else NOT_SCORED,
        f"{', '.join(names[:NAMED])}{more}",
        percent(row["share"]) if np.isfinite(row["share"]) else "not known",
        f"{number(row['quality'], decimals)} [{interval(row['quality_low'], row['quality_high'], decimals)}]",
        f"{number(row['creativity'])} [{interval(row['creativity_low'], row['creativity_high'])}]",
    ]


def _verdict(row: dict) -> str:
    """Say yes or no, and whether other prompts might well have said otherwise (in over one draw of twenty)."""
    on, share = bool(row["on_front"]), row["share"]
    unsettled = np.isfinite(share) and 0.05 < share < 0.95
    return f"{'yes' if on else 'no'}{', not settled' if unsettled else ''}"


def collapse_rows(collapse: pd.DataFrame) -> Rows | None:
    """Return the counted signs of collapse, models with a warning first."""
    if collapse.empty:
        return None
    order = collapse.assign(calm=collapse["warning"].fillna("").eq("")).sort_values("calm", kind="stable")
    names = ["model", "seed", "warning", "answers", "repeated", "empty", "one word", "diversity", "of the reference",
             "distinct", "of the reference"]  # fmt: skip
    return Rows("Signs of collapse", names, [_signs(row) for row in order.to_dict("records")], 3)


def _signs(row: dict) -> list[str]:
    return [
        str(row["model"]),
        str(row["seed"]),
        str(row["warning"]) if isinstance(row["warning"], str) else "",
        count(row["answers"]),
        *(percent(row[name]) for name in ("duplicates", "empty", "one_word")),
        number(row["diversity"], 3),
        number(row["reference_diversity"], 3, "–"),
        number(row["distinct"], missing="–"),
        number(row["reference_distinct"], missing="–"),
    ]


def watched_rows(watched: pd.DataFrame) -> Rows | None:
    """Return the warnings given while models were trained."""
    if watched.empty:
        return None
    rows = [
        [str(row["model"]), str(row["seed"]), str(row["kind"]), str(row["message"]), count(row["step"])]
        for row in watched.to_dict("records")
    ]
    return Rows("Warnings while training", ["model", "seed", "kind", "what was seen", "step"], rows, 4)


def warnings_of(collapse: pd.DataFrame, watched: pd.DataFrame) -> list[tuple[str, str]]:
    """Return each model that has a warning with the words of its first, and of how many seeds that is true."""
    found = [
        (str(row["model"]), f"{row['message']} (while training, step {count(row['step'])}, seed {row['seed']})")
        for row in watched.drop_duplicates("model").to_dict("records")
    ]
    for model in dict.fromkeys(collapse["model"]):
        own = where(collapse, "model", model)
        warned = own[own["warning"].fillna("").ne("")]
        if len(warned):
            first = warned.iloc[0]
            others = (
                f" (seed {first['seed']}; {len(warned)} of {len(own)} seeds have a warning)" if len(own) > 1 else ""
            )
            found.append((str(model), f"{first['warning']}{others}"))
    return found
