"""The best samples of each prompt, as the paper's view of quality-screened answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from crpo.components import build, with_models
from crpo.errors import InputError
from crpo.recipe.sections import EvaluateSection
from crpo.signals import SIGNALS


def top_samples(section: EvaluateSection, samples: pd.DataFrame, models: Mapping[str, str | None]) -> pd.DataFrame:
    """Keep the `section.top.samples` best samples of each prompt, of those with status ok, and all with another status.

    What selects is chosen for: its own mean over the kept samples is high by selection, and differences in it compare
    the best of each model. Ties keep the order of the table. A sample that is not scored is taken after all that are.

    Parameters
    ----------
    section : EvaluateSection
        With `top`: how many, and by what: a column of numbers in `samples`, or else a signal, called on the ok samples
        (one model's, so that a prompt's samples are its population): one of `section.metrics`, or by its own name.
    samples : DataFrame
        Of one model.
    models : mapping
        The models that signals measure with, see `crpo.metrics.build_metric`.

    Returns
    -------
    DataFrame
        Rows in the order of `samples`; all of them where `top` is None.

    Raises
    ------
    InputError
        Where `top.by` is neither a column of numbers nor a signal.
    """
    top = section.top
    if top is None:
        return samples
    ok = (samples["status"] == "ok").to_numpy()
    ranked = samples[ok].reset_index(drop=True)
    ranked = ranked.assign(_by=_values(section, ranked, models), _row=np.flatnonzero(ok))
    ranked = ranked.sort_values("_by", ascending=False, kind="stable", na_position="last")
    kept = ranked.groupby("prompt_id", sort=False).head(top.samples)["_row"].to_numpy(int)
    return samples.iloc[np.sort(np.concatenate([kept, np.flatnonzero(~ok)]))].reset_index(drop=True)


def _values(section: EvaluateSection, samples: pd.DataFrame, models: Mapping[str, str | None]) -> np.ndarray:
    by = section.top.by if section.top else ""
    if by in samples:
        values = pd.to_numeric(samples[by].replace("", None), errors="coerce")
        if (values.isna() & samples[by].astype(str).str.strip().ne("") & samples[by].notna()).any():
            raise InputError(f"evaluate.top.by: column {by!r} of the samples is not of numbers", "Name another column.")
        return values.to_numpy(float)
    values = _signal(section, by, models)(samples)
    if isinstance(values, pd.Series) or len(values) != len(samples):
        raise InputError(f"evaluate.top.by: {by!r} is not a value per sample", "Name a signal, or a column of numbers.")
    return np.asarray(values, float)


def check_top(section: EvaluateSection, columns: Collection[str], models: Mapping[str, str | None]) -> None:
    """Fail before any work where what samples are selected by is neither one of their columns nor a signal."""
    if section.top is not None and section.top.by not in columns:
        _signal(section, section.top.by, models)


def _signal(section: EvaluateSection, by: str, models: Mapping[str, str | None]) -> Any:
    try:
        return build(with_models(section.metrics.get(by, by), SIGNALS, models), SIGNALS, "signal")
    except InputError as error:
        fix = f"Name a column of numbers of the samples, or a signal. {error.fix}"
        raise InputError(f"evaluate.top.by: {error.problem}", fix) from error


def mark_selected(section: EvaluateSection, scores: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Count what was selected, and mark the metric it was selected by.

    Parameters
    ----------
    section : EvaluateSection
    scores : DataFrame
        With `used`: the samples with status ok before selection.
    samples : DataFrame
        What `top_samples` returned.

    Returns
    -------
    DataFrame
        The scores; with `section.top`, `used` counts the samples kept, and there are columns not_selected and
        selected_on (bool).
    """
    if section.top is None:
        return scores
    kept = samples.loc[samples["status"] == "ok", "prompt_id"].value_counts()
    used = scores["prompt_id"].map(kept).fillna(0).astype(int)
    left = scores["used"] - used
    return scores.assign(used=used, not_selected=left, selected_on=scores["metric"] == section.top.by)
