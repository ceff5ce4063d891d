"""The table of models and prompt sets that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from crpo.components import spec_name
from crpo.noveltybench.rows import SCORES, read_rows
from crpo.noveltybench.summary import by_prompt, mean_of
from crpo.recipe.sections import NoveltyBenchSection

Run = tuple[str, str, Path]


def bench_table(section: NoveltyBenchSection, runs: Sequence[Run]) -> pd.DataFrame:
    """Return the table of models and prompt sets.

    Parameters
    ----------
    section : NoveltyBenchSection
    runs : sequence of (model, prompt set, folder)
        Each folder with scores.jsonl; several folders of one model and set are runs with several seeds, and a prompt's
        numbers are their means.

    Returns
    -------
    DataFrame
        model, prompt_set, distinct, distinct_low, distinct_high, utility, utility_low, utility_high (NaN where there
        are no rewards; intervals are 95 %, over prompts), prompts, seeds, judge, quality_model ("…, calibrated" where
        it is; blank without one).
    """
    by_run: dict[tuple[str, str], list[Path]] = {}
    for model, name, folder in runs:
        by_run.setdefault((model, name), []).append(folder)
    return pd.DataFrame([_row(section, *key, folders) for key, folders in by_run.items()])


def _row(section: NoveltyBenchSection, model: str, name: str, folders: Sequence[Path]) -> dict[str, Any]:
    files = [read_rows(folder / SCORES, "partition", "generation_scores") for folder in folders]
    parts = [by_prompt(rows, section.k, section.patience) for rows in files]
    values = pd.concat(parts).groupby(level="id", sort=False).agg(lambda own: own.mean(skipna=False))
    means = {what: mean_of(values[what], section.draws, section.seed) for what in ("distinct", "utility")}
    numbers = {f"{what}{end}": getattr(mean, side) for what, mean in means.items()
               for end, side in (("", "value"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
    return {"model": model, "prompt_set": name, **numbers, "prompts": len(values), "seeds": len(folders),
            "judge": spec_name(section.judge), "quality_model": _quality(files[0][0])}  # fmt: skip


def _quality(row: dict[str, Any]) -> str:
    name = str(row.get("quality_model") or "")
    shown = Path(name).name if Path(name).exists() else name
    return f"{shown}, calibrated" if row.get("calibration") else shown
