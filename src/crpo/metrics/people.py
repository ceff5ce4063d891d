"""People's answers to the same prompts, which samples are compared with.

In a run these are the answers of the step `split` or `rate`, held-out prompts' too: nothing is trained on those, they
are here to measure with. A text that several people gave counts for each of them (column `given_by`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.datasets import read_data
from crpo.errors import InputError
from crpo.texts import is_blank, normalise

TRAIN = "train"  # in a column `split`, as crpo.stages.sides has it
KEYS = (["prompt_id"], ["task", "item", "language"], ["task", "item"], ["item"], ["prompt"])


@dataclass(frozen=True, eq=False)
class Answers:
    """What people answered to one prompt; while a file is unchanged the same object, so that results can be kept by it.

    Attributes
    ----------
    texts : list of str (n,)
        None is blank; one text may be there twice.
    people : ndarray of float (n,)
        How many gave each.
    scores : ndarray of float (n,)
        Their creativity scores, score points; NaN where there is none.
    trained : bool
        Whether the table says, by a column `split`, that answers to this prompt were trained on.
    """

    texts: list[str]
    people: np.ndarray
    scores: np.ndarray
    trained: bool


def check_given(people: str, metric: str) -> None:
    """Raise ValueError where a metric that needs people's answers is given none."""
    if not people:
        raise ValueError(f"{metric} needs people's answers: a table, as --people answers.csv")


def people_answers(path: str, samples: pd.DataFrame) -> dict[str, Answers]:
    """Return people's answers by the `prompt_id` of the samples; a prompt that nobody answered is not in it.

    Parameters
    ----------
    path : str
        A table with `response`, `given_by` where texts stand for several people, `creativity_score` where they are
        scored, `split` where some were trained on, and whatever tells prompts apart: the first of `KEYS` that both
        tables have (compared without case and spacing). "" gives no answers.
    samples : DataFrame

    Raises
    ------
    InputError
        When the file cannot be read, or no columns of `KEYS` are in both tables.
    """
    if not path or samples.empty:
        return {}
    written = Path(path).stat().st_mtime_ns if Path(path).exists() else 0
    table = _read(path, written)
    columns = next((keys for keys in KEYS if all(key in table and key in samples for key in keys)), None)
    if columns is None:
        found = f"people's answers {path} and the samples share no column that tells prompts apart"
        raise InputError(found, "Give both task and item, or both prompt_id.")
    by_key = _by_key(path, written, tuple(columns))
    asked = samples.drop_duplicates("prompt_id")
    places = zip(asked["prompt_id"], _keys(asked, columns), strict=True)
    return {prompt: by_key[key] for prompt, key in places if key in by_key}


# Both by the time the file was written: several metrics read it for each model.
@functools.lru_cache(maxsize=2)
def _by_key(path: str, written: int, columns: tuple[str, ...]) -> dict[tuple[str, ...], Answers]:
    table = _read(path, written)
    rows_of: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(_keys(table, list(columns))):
        rows_of.setdefault(key, []).append(row)
    return {key: _answers(table.iloc[rows]) for key, rows in rows_of.items()}


def _answers(own: pd.DataFrame) -> Answers:
    scores = own["creativity_score"].to_numpy(float) if "creativity_score" in own else np.full(len(own), np.nan)
    trained = "split" in own and bool((own["split"] == TRAIN).any())
    return Answers(own["response"].tolist(), own["given_by"].to_numpy(float), scores, trained)


def _keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*([normalise(str(cell)) for cell in table[column]] for column in columns), strict=True))


@functools.lru_cache(maxsize=2)
def _read(path: str, _: int) -> pd.DataFrame:
    table = read_data(path, "people's answers")
    table = table[[not is_blank(text) for text in table["response"]]].reset_index(drop=True)
    return table.assign(given_by=table["given_by"].fillna(1.0) if "given_by" in table else 1.0)
