"""What samples must be so that no number averages over what does not belong together."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.metrics.descriptions import describe
from crpo.recipe.sections import EvaluateSection
from crpo.records import STATUSES

ONE = ("prompt", "task", "split")  # what a prompt_id has one of


def check_samples(samples: pd.DataFrame) -> None:
    """Check samples of any number of models.

    Raises
    ------
    InputError
        For a status that is none of `crpo.records.STATUSES`, a sample without a model, a prompt_id of a model with two
        different prompts, tasks or splits, and a sample of a model, prompt and number that is there twice.
    """
    unknown = sorted(set(samples["status"]) - set(STATUSES))
    if unknown:
        raise InputError(
            f"samples, column 'status': {unknown[0]!r} is no status", did_you_mean(str(unknown[0]), STATUSES)
        )
    nameless = samples["model"].str.strip() == ""
    if nameless.any():
        raise InputError(f"samples: {int(nameless.sum())} have no model", "Name it: models are measured apart.")
    for column in [column for column in ONE if column in samples]:
        several = samples.groupby(["model", "prompt_id"])[column].nunique()
        if (several > 1).any():
            model, prompt = several[several > 1].index[0]
            found = f"samples: prompt_id {prompt!r} of {model} has {several.max()} different values of {column!r}"
            raise InputError(found, "Give each prompt an id of its own: its samples are one population.")
    _check_twice(samples)


def apart(samples: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    """Part samples into populations: by model, and by `seed` where that alone tells samples of one number apart.

    Returns
    -------
    list of (seed, samples)
        Of one model each, in the order of their names; the seed is 0 where it tells nothing apart.

    Raises
    ------
    InputError
        As `check_samples`.
    """
    found = []
    for _, own in samples.groupby("model", sort=True):
        if "seed" in samples and _twice(own).any():
            found += [(_seed(seed), part.reset_index(drop=True)) for seed, part in own.groupby("seed", sort=True)]
        else:
            found.append((0, own.reset_index(drop=True)))
    for _, own in found:
        check_samples(own)
    return found


def asked_of(populations: list[pd.DataFrame], section: EvaluateSection) -> pd.DataFrame:
    """Return what each model was to answer: the prompts of all, each as often as the model that has most of it.

    Returns
    -------
    DataFrame
        By prompt_id: asked (number of samples), and task and split where the samples have them.

    Raises
    ------
    InputError
        Where the models have different numbers of samples a prompt, and a metric depends on that number.
    """
    check_sizes({own["model"].iloc[0]: int(own.groupby("prompt_id").size().max()) for own in populations}, section)
    asked = pd.concat([own.groupby("prompt_id").size() for own in populations]).groupby(level=0).max()
    whole = pd.concat(populations, ignore_index=True).drop_duplicates("prompt_id").set_index("prompt_id")
    columns = [column for column in ("task", "split") if column in whole]
    return whole[columns].assign(asked=asked).sort_index()


def check_sizes(samples: Mapping[str, int], section: EvaluateSection) -> None:
    """Raise InputError where models have different numbers of samples a prompt, and a metric depends on that number.

    Parameters
    ----------
    samples : mapping
        Samples a prompt, by model; of each no more than `section.top` are measured.
    section : EvaluateSection
    """
    most = dict(samples) if section.top is None else {m: min(n, section.top.samples) for m, n in samples.items()}
    low, high = min(most, key=most.__getitem__), max(most, key=most.__getitem__)
    dependent = [name for name, spec in section.metrics.items() if describe(spec).sizes]
    if most[low] != most[high] and dependent:
        raise InputError(
            f"{low} has {most[low]} samples a prompt and {high} has {most[high]}: "
            f"{', '.join(dependent)} would not compare",
            "Give each as many, or leave these metrics out of evaluate.metrics (--use).",
        )


def _twice(own: pd.DataFrame) -> pd.Series:
    """Tell which rows repeat the model, prompt and number of an earlier one; a sample without a number does not."""
    return own.duplicated(["model", "prompt_id", "sample"]) & own["sample"].notna()


def _check_twice(samples: pd.DataFrame) -> None:
    if "sample" not in samples:
        return
    twice = _twice(samples)
    if twice.any():
        row = samples[twice].iloc[0]
        found = f"samples: {row['model']} has sample {row['sample']:g} of prompt {row['prompt_id']!r} twice"
        more = f", and {int(twice.sum()) - 1} more" if twice.sum() > 1 else ""
        raise InputError(found + more, "Two models under one name? Name them apart, or remove one of the two rows.")


def _seed(value: object) -> int:
    try:
        return int(float(str(value)))
    except ValueError:
        return 0
