"""The parts of the page by the names that its template uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .answers import answers_side_by_side
from .content import ReportContent
from .findings import collapse_rows, front_rows, significance, warnings_of, watched_rows
from .gallery import Gallery, Shelf
from .results import ResultsTable, results_tables
from .surprise import coloured_answers, legend
from .views import amount, count, number, percent, split_order, unique

STAGES = {
    "base": "Before preference optimization",
    "sft": "Before preference optimization",
    "train": "Preference optimization",
}
WARNINGS_SHOWN = 8


def page_parts(content: ReportContent, gallery: Gallery) -> dict[str, Any]:
    """Return everything the template needs, put into words."""
    splits = split_order(content.estimates)
    collapse = content.table("collapse")
    samples = content.samples[content.samples["model"].isin(gallery.models)] if gallery.models else content.samples
    watched = content.table("watched")
    warnings = warnings_of(collapse, watched)
    return {
        "content": content,
        "gallery": gallery,
        "tables": [(split, _tables(content, split, gallery.models)) for split in splits],
        "every": _every(content, splits, gallery.models),
        "warnings": warnings[:WARNINGS_SHOWN],
        "more_warnings": len(warnings) - WARNINGS_SHOWN,
        "front": front_rows(content.table("front"), gallery.models),
        "significance": significance(content.table("comparisons"), gallery.models),
        "collapse": collapse_rows(collapse),
        "watched": watched_rows(watched),
        "account_of_signals": [_signals(row) for row in content.signal_account.to_dict("records")],
        "curves": _curves(gallery.training),
        "raters": [_rater(row) for row in content.table("raters").to_dict("records")],
        "learned": [_learned_row(row) for row in content.table("quality_rater").to_dict("records")],
        "answers": answers_side_by_side(samples),
        "prompts": content.samples["prompt_id"].nunique(),
        "coloured": coloured_answers(content.token_surprise),
        "levels": legend(),
        "account": [(row["stage"], row["what"], amount(row["count"])) for row in content.account.to_dict("records")],
        "versions": content.versions.astype(str).values.tolist(),
        "provenance": content.table("provenance").astype(str).values.tolist(),
        "metrics": content.metrics.fillna({"meaning": "", "unit": "", "population": ""}).to_dict("records"),
    }


def _tables(content: ReportContent, split: str, models: list[str]) -> list[ResultsTable]:
    own = content.estimates[content.estimates["split"] == split]
    shown = own["model"].isin(models).any()
    return results_tables(content.estimates, content.metrics, split, models) if shown else []


def _every(content: ReportContent, splits: list[str], models: list[str]) -> list[ResultsTable]:
    """Return the tables of all models, where the main tables leave some out."""
    all_models = unique(content.estimates, "model")
    return _tables(content, splits[0], all_models) if len(all_models) > len(models) else []


def _curves(training: dict[str, Shelf]) -> list[tuple[str, Shelf]]:
    """Pictures under headings; the stages before preference optimization share one."""
    headings: dict[str, Shelf] = {}
    for stage, (shown, folded) in training.items():
        own = headings.setdefault(STAGES.get(stage, stage), ([], []))
        own[0].extend(shown)
        own[1].extend(folded)
    return list(headings.items())


def _signals(row: dict) -> list[str]:
    sizes = [count(row["effective_sample_size"]), number(row["mean_weight"]), number(row["median_weight"])]
    return [str(row["variant"]), count(row["pairs"]), percent(row["zero_share"]), *sizes, count(row["unscored"])]


def _rater(row: dict) -> list[str]:
    reason = "" if pd.isna(row["reason"]) else str(row["reason"])
    verdict = "kept" if row["kept"] else "dropped"
    words = f"{verdict}: {reason}" if reason and reason != verdict else verdict
    numbers = [count(row["n"]), number(row["mean"]), number(row["discrimination"], missing="not estimated")]
    return [str(row["rater"]), words, *numbers]


def _learned_row(row: dict) -> list[str]:
    bounded = np.isfinite(row["low"]) and np.isfinite(row["high"])
    interval = f"{number(row['low'])} to {number(row['high'])}" if bounded else "not computed"
    sizes = [count(row["responses"]), count(row["prompts"])]
    return [str(row["task"]), *sizes, number(row["correlation"]), interval]
