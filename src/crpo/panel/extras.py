"""Pages that do not count: practice, and attention checks that nobody who reads can fail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from crpo.panel.select import Selected
from crpo.panel.settings import Settings
from crpo.signals.length import word_counts
from crpo.texts import normalise

LETTERS = "asdfghjklqwertyuiop"


def width(settings: Settings) -> int:
    """Return how many answers are on a page."""
    return {"pairwise": 2, "best_of": settings.best_of, "ratings": 1}[settings.kind]


def practice_pages(selected: Selected, settings: Settings, notes: list[str]) -> list[pd.DataFrame]:
    """Return the answers of each practice page.

    Taken from prompts that are not judged; where they are too few from answers that are not judged; and last from
    judged ones, which is noted, for raters then meet them twice. Different prompts first.
    """
    judged = set(selected.chosen["prompt_id"])
    unused = ~selected.spare["prompt_id"].isin(judged)
    pages: list[pd.DataFrame] = []
    for pool in (selected.spare[unused], selected.spare[~unused], selected.chosen):
        found = list(_sets_of(pool, width(settings)))[: settings.practice - len(pages)]
        if found and pool is selected.chosen:
            notes.append(f"{len(found)} practice pages show answers that are judged too: there are no others")
        pages += found
    if len(pages) < settings.practice:
        notes.append(f"{len(pages)} practice pages instead of {settings.practice}: there are no more answers")
    return pages


def _sets_of(pool: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    """Yield sets of different answers to a prompt, one of each prompt, then a second of each, and so on."""
    own = pool.assign(same=pool["response"].map(normalise)).drop_duplicates(["prompt_id", "same"])
    turn = own.groupby("prompt_id", sort=False).cumcount() // size
    for _, at_turn in own.groupby(turn, sort=True):
        for _, rows in at_turn.groupby("prompt_id", sort=False):
            if len(rows) == size:
                yield rows


def check_pages(selected: Selected, settings: Settings, random: np.random.Generator) -> list[pd.DataFrame]:
    """Return the answers of each attention check; of ratings one made-up text, else a real answer, and made-up ones.

    The real answer (source "model" or "human", the first row) is one of the longer half, if possible one that is not
    judged. The others (source "check") are `settings.check_texts` in turn, and, where they do not suffice, keys hit at
    random.
    """
    pool = selected.spare if len(selected.spare) else selected.chosen
    words = word_counts(pool["response"])
    able = pool[words >= np.median(words)]
    able = able.iloc[random.permutation(len(able))]
    turn = able.groupby("prompt_id", sort=False).cumcount().to_numpy()
    able = able.iloc[np.argsort(turn, kind="stable")]  # different prompts first
    pages = []
    for number in range(settings.checks):
        real = able.iloc[[number % len(able)]]
        made_up = width(settings) - (settings.kind != "ratings")
        texts = [_made_up(settings, number * made_up + place, place, random) for place in range(made_up)]
        wrong = real.iloc[[0] * made_up].assign(response=texts, model="", sample="", source="check")
        pages.append(wrong if settings.kind == "ratings" else pd.concat([real, wrong]))
    return pages


def _made_up(settings: Settings, number: int, place: int, random: np.random.Generator) -> str:
    if place < len(settings.check_texts):
        return settings.check_texts[number % len(settings.check_texts)]
    words = random.integers(3, 7, size=4)
    return " ".join("".join(random.choice(list(LETTERS), size)) for size in words)
