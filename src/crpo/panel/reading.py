"""Samples files, and people's answers to the same prompts, as one table of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crpo.datasets import read_data
from crpo.errors import InputError, did_you_mean
from crpo.tables import ANY, KINDS, Reading, TableKind, check_table, load_table, short_hash
from crpo.tasks import prompt_id
from crpo.texts import normalise

PEOPLE = "people"  # the label of human answers, as if they were a model
MATCHES = (  # of a run's prompts the prompt_id is made of task, language, and item or prompt
    ("prompt_id", "prompt_id"), ("prompt_id", "task and item"), ("prompt_id", "task and prompt"),
    ("task and item", "task and item"), ("prompt", "prompt"),
)  # fmt: skip
CANDIDATE_COLUMNS = ["prompt_id", "prompt", "model", "sample", "response", "status", "source", "metric"]


def read_candidates(files: Sequence[Path], metric: str = "", people: Path | None = None) -> pd.DataFrame:
    """Read what can be judged: models' answers and, where a file of them is given, people's.

    A samples file needs prompt, model and response. Where it has no `prompt_id`, the normalised prompt stands for it;
    without a `status` an answer is "ok"; without a `sample` they are numbered.

    Parameters
    ----------
    files : paths
    metric : str
        A column of numbers to choose by; "" for none.
    people : path, optional
        Answers of people, in any form `crpo.datasets.read_data` takes. They are matched to the samples' prompts by
        the first of these that fits any: prompt_id; task, language and item (or prompt); the prompt's normalised text.
        They are a model called "people".

    Returns
    -------
    DataFrame
        prompt_id, prompt, model, sample (text), response, status, source ("model" or "human"), metric (float, NaN
        where not scored or not asked for).

    Raises
    ------
    InputError
        As `crpo.tables.read_table`; for a prompt_id with two texts, a model already called "people", and people's
        answers none of which is to a prompt of the samples.
    """
    samples = pd.concat([_samples(file, metric) for file in files], ignore_index=True)
    texts = samples.drop_duplicates(["prompt_id", "prompt"])
    twice = texts["prompt_id"][texts["prompt_id"].duplicated()]
    if len(twice):
        raise InputError(f"prompt_id {twice.iloc[0]!r} has two different prompts", "Give each prompt an id of its own.")
    own = samples.assign(source="model")
    if people is not None:
        if PEOPLE in set(samples["model"]):
            raise InputError(f"a model of the samples is called {PEOPLE!r}", "Rename it: people's answers are that.")
        own = pd.concat([own, _people(people, samples, metric)], ignore_index=True)
    return own.reindex(columns=CANDIDATE_COLUMNS)


def _samples(path: Path, metric: str) -> pd.DataFrame:
    reading = Reading(path)
    frame = load_table(path, reading)
    if "prompt_id" not in frame and "prompt" in frame:
        frame = frame.assign(prompt_id=[short_hash(normalise(str(prompt))) for prompt in frame["prompt"]])
    if "status" not in frame:
        frame = frame.assign(status="ok")
    if "sample" not in frame and {"prompt_id", "model"} <= set(frame.columns):
        frame = frame.assign(sample=frame.groupby(["prompt_id", "model"], sort=False).cumcount())
    if metric and metric not in frame:
        raise InputError(f"{path} has no column {metric!r}", did_you_mean(metric, map(str, frame.columns)))
    wanted = KINDS["samples"]
    numbers = {"sample": ANY, **({metric: ANY} if metric else {})}
    kind = TableKind(wanted.required, numbers, ("prompt_id", "prompt", "model"))
    table = reading.settle(check_table(frame, kind, reading), None)
    table["metric"] = table[metric] if metric else float("nan")
    table["sample"] = ["" if number != number else f"{number:g}" for number in table["sample"]]
    return table


def _people(path: Path, samples: pd.DataFrame, metric: str) -> pd.DataFrame:
    people = read_data(path, "corpus")
    prompts = samples.drop_duplicates("prompt_id").set_index("prompt_id", drop=False)
    ours, theirs = _keys(prompts), _keys(people)
    for one, other in MATCHES:
        if one in ours and other in theirs:
            matched = theirs[other].map(dict(zip(ours[one], prompts.index, strict=True)))
            if matched.notna().any():
                break
    else:
        found = f"{path}: none of its {len(people):,} answers is to a prompt of the samples"
        raise InputError(found, "Give both a prompt_id, or task and item, or the prompt's text.")
    own = people[matched.notna()].assign(prompt_id=matched[matched.notna()])
    scores = pd.to_numeric(own[metric], errors="coerce") if metric in own else float("nan")
    return own.assign(prompt=prompts.loc[own["prompt_id"], "prompt"].to_numpy(), model=PEOPLE, source="human",
                      status="ok", sample=[str(row) for row in own.index], metric=scores)  # fmt: skip


def _keys(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what a table's prompts can be known by."""
    keys = {name: table[name].map(normalise) for name in ("prompt_id", "prompt") if name in table}
    languages = table["language"] if "language" in table else [""] * len(table)
    for name in ("item", "prompt"):
        if {"task", name} <= set(table.columns):
            asked = zip(table["task"], table[name], languages, strict=True)
            ids = [prompt_id(str(task), str(about), str(own or "")) for task, about, own in asked]
            keys[f"task and {name}"] = pd.Series(ids, table.index)
    return keys
