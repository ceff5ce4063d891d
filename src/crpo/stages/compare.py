"""Scores per prompt as estimates per model, and models against a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.estimates.crossed import mean_over_seeds
from crpo.estimates.families import holm
from crpo.estimates.paired import Difference, paired_difference
from crpo.recipe.sections import EvaluateSection
from crpo.stages.outliers import mark_outliers

ESTIMATES = ["model", "metric", "split", "value", "low", "high", "prompts", "tasks", "seeds"]
COMPARISONS = [
    "model", "metric", "baseline", "split", "difference", "low", "high", "p", "p_holm", "effect_size", "prompts",
    "prompts_left_out", "seeds", "trained_on",
]  # fmt: skip
OF_COMPARISON = {"outliers", "draws", "permutations", "family", "seed"}  # settings that no score depends on
BASELINES = ("DPO", "SFT", "base")  # what models are compared with unless told: the first that is there
ONE_SEED = "-"  # stands where none is given; pandas takes an empty name for the whole level


def estimate(section: EvaluateSection, scores: pd.DataFrame) -> pd.DataFrame:
    """Average scores over seeds, then prompts, then tasks, with intervals over prompts and, where several, seeds.

    Parameters
    ----------
    section : EvaluateSection
    scores : DataFrame
        One row per model, seed, metric and prompt; see `crpo.stages.evaluate`. Without the column `seed`, or blank
        there, a model has one.

    Returns
    -------
    DataFrame
        model, metric, split ("all" and each side), value, low, high (`crpo.estimates.crossed.mean_over_seeds`),
        prompts, tasks, seeds, samples_used, samples_left_out, and by status samples_left_out_error,
        samples_left_out_refused, … Where they apply: outliers (values the rule dropped or moved), selected_on (the
        samples were chosen by this metric, so its value is high by selection).

    Raises
    ------
    InputError
        Where a model has two values of a metric for the same prompt and seed.
    """
    scores = mark_outliers(section.outliers, scores)
    counts = [name for name in scores if name in ("used", "not_selected") or str(name).startswith("left_out")]
    parts = []
    for split, own in _sides(scores):
        wide, tasks = _by_seed(own), _tasks(own)
        groups = own.groupby(["model", "metric"], sort=False)
        rows = []
        for model, metric in dict.fromkeys(zip(own["model"], own["metric"], strict=True)):
            values = wide[metric, model].to_numpy(float)
            found = mean_over_seeds(values, tasks, draws=section.draws, seed=section.seed)
            rows.append((model, metric, split, found.value, found.low, found.high, found.prompts, found.tasks,
                         found.seeds))  # fmt: skip
        table = pd.DataFrame(rows, columns=pd.Index(ESTIMATES))
        told = groups[counts].sum().astype(int).add_prefix("samples_")
        parts.append(table.merge(told.join(_marks(own, groups)).reset_index(), on=["model", "metric"], how="left"))
    return pd.concat(parts, ignore_index=True)


def compare(
    section: EvaluateSection,
    scores: pd.DataFrame,
    baseline: str | Mapping[str, str],
    trained_on: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """Compare each model with a baseline, prompt by prompt.

    Parameters
    ----------
    section, scores
        See `estimate`.
    baseline : str or mapping of str to str
        A model of the scores: one for all, or each model's own, as the one with the same policy.
    trained_on : mapping of model to metrics, optional
        The metrics that are in its training weights.

    Returns
    -------
    DataFrame
        model, metric, baseline, split, difference, low, high, p, effect_size, prompts, prompts_left_out, seeds (see
        `crpo.estimates.paired.Difference`), p_holm, trained_on ("True", "False", blank where not known). Where they
        apply: outliers (of both models), selected_on.

        p_holm is p corrected for all comparisons of the table on one side of the split, or with `section.family:
        metric` of one metric there. The whole side is the family by default because a reader looks over all of it for
        what is significant; "metric" is for those who named their metrics beforehand. Sides of a split look at the same
        values again and are corrected each by itself: take `split` "all" for the claim.

    Raises
    ------
    InputError
        Where the baseline is not there, or a model has two values of a metric for the same prompt and seed.
    """
    baselines = baselines_of(baseline, scores["model"])
    scores = mark_outliers(section.outliers, scores)
    parts = []
    for split, own in _sides(scores):
        table = pd.DataFrame(_compared(section, own, baselines, split), columns=pd.Index(COMPARISONS))
        known = trained_on or {}
        table["trained_on"] = [
            str(metric in known[model]) if model in known else ""
            for model, metric in zip(table["model"], table["metric"], strict=True)
        ]
        families = table["metric"] if section.family == "metric" else pd.Series(0, table.index)
        table["p_holm"] = table.groupby(families, sort=False)["p"].transform(lambda p: holm(p.to_numpy(float)))
        parts.append(_with_marks(table, own))
    return pd.concat(parts, ignore_index=True)


def default_baseline(models: Sequence[str]) -> str:
    """Return what models are compared with: DPO, or else SFT, or else base, or else the first."""
    return next((name for name in BASELINES if name in models), models[0])


def baselines_of(baseline: str | Mapping[str, str] | None, models: Iterable[str]) -> dict[str, str]:
    """Return the baseline of each model; None is the default one. InputError where a baseline is no model."""
    models = list(dict.fromkeys(models))
    if baseline is None:
        baseline = default_baseline(models)
    baselines = dict.fromkeys(models, baseline) if isinstance(baseline, str) else dict(baseline)
    for name in baselines.values():
        if name not in models:
            raise InputError(f"no model is called {name!r}", did_you_mean(name, models))
    return baselines


def _compared(section: EvaluateSection, scores: pd.DataFrame, baselines: Mapping[str, str], split: str) -> list[tuple]:
    wide, tasks = _by_seed(scores), _tasks(scores)
    settings = {"draws": section.draws, "permutations": section.permutations, "seed": section.seed}
    rows = []
    for metric, model in dict.fromkeys(zip(scores["metric"], scores["model"], strict=True)):
        baseline = baselines.get(model, model)
        if model == baseline or (metric, baseline) not in wide:
            continue
        one, other = wide[metric, model], wide[metric, baseline]
        same = list(one.columns) == list(other.columns)
        found = paired_difference(one.to_numpy(float), other.to_numpy(float), tasks, same_seeds=same, **settings)
        rows.append((model, metric, baseline, split, *_numbers(found), ""))
    return rows


def _numbers(found: Difference) -> tuple:
    return (found.value, found.low, found.high, found.p, np.nan, found.effect_size, found.prompts,
            found.prompts_left_out, found.seeds)  # fmt: skip


def _sides(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", scores
    if "split" in scores and scores["split"].nunique() > 1:
        yield from ((str(split), own) for split, own in scores.groupby("split", sort=True))


def _by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return values with a row per prompt, sorted by task, and a column per metric, model and seed."""
    seeds = scores["seed"].astype(str).replace("", ONE_SEED) if "seed" in scores else ONE_SEED
    keys = ["task", "prompt_id", "metric", "model", "seed"]
    scores = scores.assign(seed=seeds)
    twice = scores.duplicated(keys)
    if twice.any():
        row = scores[twice].iloc[0]
        about = f"{row['metric']} for prompt {row['prompt_id']!r} and seed {row['seed']!r}"
        raise InputError(
            f"scores: {row['model']} has two values of {about}",
            "Give each run a seed of its own, or leave one row out.",
        )
    return scores.pivot(index=keys[:2], columns=keys[2:], values="value").sort_index(axis=0).sort_index(axis=1)


def _tasks(scores: pd.DataFrame) -> np.ndarray:
    """Return the number of the task of each row of `_by_seed`."""
    prompts = scores[["task", "prompt_id"]].drop_duplicates().sort_values(["task", "prompt_id"])
    return pd.factorize(prompts["task"])[0]


def _marks(scores: pd.DataFrame, groups: pd.api.typing.DataFrameGroupBy) -> pd.DataFrame:
    """Return what is to be known of a model's values of a metric, where it applies."""
    told = {}
    if "outlier" in scores:
        told["outliers"] = groups["outlier"].sum().astype(int)
    if "selected_on" in scores:
        told["selected_on"] = groups["selected_on"].first().astype(str).eq("True")
    return pd.DataFrame(told, index=groups.size().index)


def _with_marks(table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    marks = _marks(scores, scores.groupby(["model", "metric"], sort=False))
    for name in marks:
        of_model, of_base = (
            marks[name].reindex(pd.MultiIndex.from_frame(table[[side, "metric"]])).to_numpy()
            for side in ("model", "baseline")
        )
        table[name] = of_model + of_base if name == "outliers" else of_model | of_base
    return table
