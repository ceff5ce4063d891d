"""The metrics of samples, per prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crpo.errors import CrpoError, InputError
from crpo.metrics import build_metric
from crpo.progress import say, track
from crpo.recipe.sections import EvaluateSection
from crpo.records import STATUSES
from crpo.stages.evaluate_input import check_samples
from crpo.stages.kept_values import kept_values
from crpo.stages.split import account
from crpo.stages.top import mark_selected, top_samples

LEFT_OUT = (*(status for status in STATUSES if status != "ok"), "missing")  # in no metric, counted beside every one
_BY_REASON = [f"left_out_{reason}" for reason in LEFT_OUT]


def evaluate(
    section: EvaluateSection, samples: pd.DataFrame, models: Mapping[str, str | None], seed: int,
    asked: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Compute each metric per prompt from one model's samples.

    Parameters
    ----------
    section : EvaluateSection
    samples : DataFrame
        Of one model.
    models : mapping
        Values for the metrics' fields of these names that the recipe leaves open: `embedder`, `people`, `tasks` …
    seed : int
        Of the model's training, for the column `seed`.
    asked : DataFrame, optional
        Which prompts the model was to answer and how often (`crpo.stages.evaluate_input.asked_of`); by default those it
        has samples of, each as often as the one it has most of.

    Returns
    -------
    DataFrame
        The scores table: model, seed, task, prompt_id, split, metric, value (NaN is not scored), and numbers of the
        prompt's samples: used (status ok), left_out (all others), and left_out_error, left_out_refused, … by status and
        left_out_missing: asked for, and not in the table. With `section.top` also not_selected (samples with status ok
        that are not among the best) and selected_on (whether the metric is what they are selected by).

    Raises
    ------
    InputError
        As `check_samples`; for samples of two models; for a metric of the user's own that fails.
    """
    names = sorted(set(samples["model"]))
    if len(names) != 1:
        raise InputError(f"samples of {len(names)} models in one population: {', '.join(names[:3])}",
                         "Evaluate each model's samples apart.")  # fmt: skip
    check_samples(samples)
    about = _about(samples, asked)
    _tell_left_out(names[0], about)
    samples = top_samples(section, samples, models)
    parts = []
    keep = kept_values(samples)
    with track(f"metrics of {names[0]}", len(section.metrics)) as advance:
        for name, spec in section.metrics.items():
            metric = build_metric(spec, models)
            values = keep(metric, lambda metric=metric, name=name: _values(metric, name, samples))
            parts.append(about.assign(metric=name, value=values.reindex(about.index)))
            advance(1)
    table = pd.concat(parts).rename_axis("prompt_id").reset_index().assign(model=names[0], seed=seed)
    columns = ["model", "seed", "task", "prompt_id", "split", "metric", "value", "used", "left_out", *_BY_REASON]
    table = mark_selected(section, table[columns], samples)
    return table.sort_values(["metric", "task", "prompt_id"]).reset_index(drop=True)


def evaluation_account(scores: pd.DataFrame) -> pd.DataFrame:
    """Return what one model's scores are computed from: samples and prompts, used and left out."""
    first = scores[scores["metric"] == scores["metric"].iloc[0]]
    counts = {"prompts": len(first), "samples used": int(first["used"].sum())}
    left = {f"samples left out, {reason}": int(first[f"left_out_{reason}"].sum()) for reason in LEFT_OUT}
    missing = scores["value"].isna().groupby(scores["metric"], sort=False).sum()
    unscored = {f"prompts without {metric}": int(count) for metric, count in missing.items()}
    told = {what: count for what, count in {**left, **unscored}.items() if count}
    return account(f"evaluate {scores['model'].iloc[0]}", {**counts, **told})


def _values(metric: Any, name: str, samples: pd.DataFrame) -> pd.Series:
    try:
        values = metric(samples)
    except CrpoError:
        raise
    except Exception as error:
        component = getattr(metric, "signal", metric)
        if type(component).__module__.startswith("crpo."):
            raise  # a bug of ours
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise InputError(f"metric {name!r} fails: {reason}", "Try crpo.contracts.check_metric on it.") from error
    return values.astype(float)


def _about(samples: pd.DataFrame, asked: pd.DataFrame | None) -> pd.DataFrame:
    """Return, by prompt, task and split, and how many samples are used, left out, and left out for each reason."""
    columns = [column for column in ("task", "split") if column in samples]
    counts = pd.crosstab(samples["prompt_id"], samples["status"]).reindex(columns=list(STATUSES), fill_value=0)
    if asked is None:
        asked = samples.drop_duplicates("prompt_id").set_index("prompt_id")[columns].sort_index()
        asked = asked.assign(asked=counts.sum(axis=1).max())
    counts = counts.reindex(asked.index, fill_value=0)
    counts["missing"] = (asked["asked"] - counts.sum(axis=1)).clip(lower=0)
    counts = counts.rename(columns={"ok": "used", **dict(zip(LEFT_OUT, _BY_REASON, strict=True))})
    counts.insert(1, "left_out", counts[_BY_REASON].sum(axis=1))
    table = asked.drop(columns="asked").join(counts)
    return table.assign(**dict.fromkeys({"task", "split"} - set(table), "all"))


def _tell_left_out(model: str, about: pd.DataFrame) -> None:
    """Say in one line what of the samples that were asked for is in no number."""
    found = {reason: int(about[f"left_out_{reason}"].sum()) for reason in LEFT_OUT}
    total = int((about["used"] + about["left_out"]).sum())
    if sum(found.values()):
        told = ", ".join(f"{count} {reason}" for reason, count in found.items() if count)
        say(f"  {model}: {sum(found.values())} of {total} samples are left out ({told})")
    if empty := int((about["used"] == 0).sum()):
        say(f"  {model}: {empty} of {len(about)} prompts have no usable sample, and count in no mean")
