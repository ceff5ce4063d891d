"""Differences of two arms, prompt by prompt and seed by seed, corrected within a family and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.estimates.families import holm
from crpo.estimates.paired import Difference, paired_difference
from crpo.recipe.sections import EvaluateSection
from names import BASELINE, CREATIVE, GAIN, LEVEL

COLUMNS = [
    "question", "family", "claim", "model", "baseline", "metric", "split", "direction", "difference", "low", "high",
    "p", "p_holm", "effect_size", "prompts", "seeds", "verdict",
]  # fmt: skip
YES, NO, NOT_TESTED = "yes", "no", "not tested"
NOTHING = Difference(np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0, 0)


@dataclass(frozen=True)
class Comparison:
    """A difference that is to be taken: model minus baseline, in a metric.

    Attributes
    ----------
    claim : str
        In words.
    model, baseline, metric : str
        As in the scores.
    direction : int
        1 where the claim is that the model has more, −1 where it is that it has less.
    family : str
        Tests that are corrected together; "" for an interval only.
    split : str
        "all" or a side of the split.
    """

    claim: str
    model: str
    baseline: str
    metric: str
    direction: int = 1
    family: str = ""
    split: str = "all"


def compared(
    question: str, comparisons: Sequence[Comparison], scores: pd.DataFrame, section: EvaluateSection
) -> pd.DataFrame:
    """Take the differences of a question.

    Parameters
    ----------
    question : str
        Its number.
    comparisons : sequence of Comparison
    scores : DataFrame
        model, seed, task, prompt_id, split, metric, value: `report/scores.csv`, after `with_gain`.
    section : EvaluateSection
        Draws, permutations and seed.

    Returns
    -------
    DataFrame
        `COLUMNS`, a row for each comparison, in order. A comparison one of whose arms (or the metric) is not there has
        NaN and no prompts. Two arms with the same values everywhere have p = 1. p_holm is over the comparisons of the
        family that could be made. Verdict: "yes" where p_holm is below 0.05 and the difference has the claim's
        direction, "no" where not, "not tested" for an interval only and where there is no p.
    """
    grids = {split: by_seed(_side(scores, split)) for split in {own.split for own in comparisons}}
    rows = [_row(question, own, difference(grids[own.split], own, section)) for own in comparisons]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    for family in set(table["family"]) - {""}:
        own = (table["family"] == family).to_numpy()
        table.loc[own, "p_holm"] = holm(table.loc[own, "p"].to_numpy(float))
    table["verdict"] = [_verdict(*row) for row in table[["p_holm", "difference", "direction"]].to_numpy(float)]
    return table


def by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return values with a row per prompt (task, prompt_id), sorted, and a column per metric, model and seed."""
    table = scores.assign(seed=scores["seed"].astype(str))
    wide = table.pivot(index=["task", "prompt_id"], columns=["metric", "model", "seed"], values="value")
    return wide.sort_index(axis=0).sort_index(axis=1)


def difference(grid: pd.DataFrame, own: Comparison, section: EvaluateSection) -> Difference:
    """Return one difference of a table from `by_seed`; NaN where an arm or the metric is not there."""
    known = set(zip(grid.columns.get_level_values("metric"), grid.columns.get_level_values("model"), strict=True))
    if not {(own.metric, own.model), (own.metric, own.baseline)} <= known:
        return NOTHING
    one, other = grid[own.metric, own.model], grid[own.metric, own.baseline]
    tasks = pd.factorize(grid.index.get_level_values("task"))[0]
    return paired_difference(
        one.to_numpy(float), other.to_numpy(float), tasks, same_seeds=list(one.columns) == list(other.columns),
        draws=section.draws, permutations=section.permutations, seed=section.seed,
    )  # fmt: skip


def with_gain(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores with the metric "gain in creativity", a value for each prompt and seed.

    The gain is the mean over novelty, diversity and surprise (bits per token) of (value − DPO's value) / s, with DPO's
    value for the same prompt and seed, and s the standard deviation (n − 1) over all held-out prompts of DPO's values,
    each averaged over seeds. NaN where one of the three is not scored, or DPO has not that seed. Nothing is added where
    DPO or one of the three metrics is not there.
    """
    own = scores[scores["metric"].isin(CREATIVE)]
    base = own[own["model"] == BASELINE]
    if set(base["metric"]) != set(CREATIVE):
        return scores
    spread = base.groupby(["metric", "prompt_id"])["value"].mean().groupby("metric").std(ddof=1)
    keys = ["metric", "prompt_id", "seed"]
    joined = own.merge(base[[*keys, "value"]].rename(columns={"value": "of_base"}), on=keys, how="left")
    joined["value"] = (joined["value"] - joined["of_base"]) / joined["metric"].map(spread.where(spread > 0))
    groups = joined.groupby(["model", "seed", "task", "prompt_id", "split"], sort=False)["value"]
    gain = groups.agg(lambda values: values.mean(skipna=False) if len(values) == len(CREATIVE) else np.nan)
    return pd.concat([scores, gain.reset_index().assign(metric=GAIN)], ignore_index=True)


def _side(scores: pd.DataFrame, split: str) -> pd.DataFrame:
    return scores if split == "all" else scores[scores["split"] == split]


def _row(question: str, own: Comparison, found: Difference) -> tuple:
    same = found.value == found.low == found.high == 0  # at every prompt and seed: no spread to divide by, and no doubt
    p = 1.0 if same else found.p
    return (question, own.family, own.claim, own.model, own.baseline, own.metric, own.split, own.direction, found.value,
            found.low, found.high, p, np.nan, found.effect_size, found.prompts, found.seeds, "")  # fmt: skip


def _verdict(p: float, value: float, direction: float) -> str:
    if not np.isfinite(p):
        return NOT_TESTED
    return YES if p < LEVEL and value * direction > 0 else NO
