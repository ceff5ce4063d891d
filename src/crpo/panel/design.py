"""From chosen answers to a campaign: what is on each page, under ids that say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.panel.campaign import LOWEST, Answer, Campaign, Item
from crpo.panel.extras import check_pages, practice_pages
from crpo.panel.reading import read_candidates
from crpo.panel.select import Selected, select
from crpo.panel.settings import Settings
from crpo.panel.together import judged_together
from crpo.panel.wording import consent_text, instruction_text
from crpo.signals.length import word_counts

Page = tuple[str, pd.DataFrame]  # role, answers; of a check the expected one first


def make_campaign(files: Sequence[Path], people: Path | None, settings: Settings) -> tuple[Campaign, list[str]]:
    """Make a campaign of samples files, and of people's answers where a file of them is given.

    Returns
    -------
    campaign : Campaign
    notes : list of str
        What was left out, and what could not be had as asked for.

    Raises
    ------
    InputError
        As `read_candidates`, `select` and `design`.
    """
    candidates = read_candidates(files, settings.choice.metric, people)
    return design(select(candidates, settings.choice, settings.seed), settings)


def design(selected: Selected, settings: Settings) -> tuple[Campaign, list[str]]:
    """Make a campaign of chosen answers.

    Parameters
    ----------
    selected : Selected
        See `crpo.panel.select.select`.
    settings : Settings

    Returns
    -------
    campaign : Campaign
        Ids of answers and items are drawn by seed, and the tables are in their order.
    notes : list of str
        What could not be had as asked for, those of `selected` first.

    Raises
    ------
    InputError
        As `crpo.panel.together.judged_together`.
    """
    random = np.random.Generator(np.random.PCG64([settings.seed, 0]))
    notes = list(selected.notes)
    groups = judged_together(selected.chosen, settings, random, notes)
    pages: list[Page] = [("item", selected.chosen.iloc[list(rows)]) for rows in groups]
    practice = practice_pages(selected, settings, notes)
    settings = settings.model_copy(update={"practice": len(practice)})
    pages += [("practice", rows) for rows in practice]
    pages += [("check", rows) for rows in check_pages(selected, settings, random)]
    answers, items = _with_ids(pages, settings, random)
    if (count := len(groups)) < settings.items_per_rater:
        notes.append(f"every rater judges all {count} items: there are no {settings.items_per_rater}")
    return Campaign(settings, answers, items, instruction_text(settings), consent_text(settings)), notes


def _with_ids(
    pages: list[Page], settings: Settings, random: np.random.Generator
) -> tuple[tuple[Answer, ...], tuple[Item, ...]]:
    rows = pd.concat([rows.assign(page=number) for number, (_, rows) in enumerate(pages)], ignore_index=True)
    key = ["prompt_id", "model", "sample", "response", "source"]
    # Made-up answers are each their own; a real answer is one, however many pages it is on.
    rows["unlike"] = np.where(rows["source"] == "check", rows.index, -1)
    number = rows.groupby([*key, "unlike"], sort=False, dropna=False).ngroup()
    ids = np.array(_drawn("a", number.max() + 1, random))
    rows["answer_id"], item_ids = ids[number], _drawn("i", len(pages), random)
    first = rows[~number.duplicated()]
    words = word_counts(first["response"])
    about = zip(*(first[name] for name in ("answer_id", "prompt_id", "prompt", "response", "model", "sample")),
                words.astype(int).tolist(), first["source"], strict=True)  # fmt: skip
    answers = sorted((Answer(*cells) for cells in about), key=lambda answer: answer.answer_id)
    items = []
    for item_id, (role, _), (_, own) in zip(item_ids, pages, rows.groupby("page", sort=True), strict=True):
        shown = own["answer_id"].tolist()
        expected = (LOWEST if settings.kind == "ratings" else shown[0]) if role == "check" else ""
        items.append(Item(item_id, settings.kind, own["prompt_id"].iloc[0], tuple(sorted(shown)), role, expected))
    return tuple(answers), tuple(sorted(items, key=lambda item: item.item_id))


def _drawn(letter: str, count: int, random: np.random.Generator) -> list[str]:
    """Return different ids: a letter and 10 hexadecimal digits."""
    found: dict[int, None] = {}
    while len(found) < count:
        found.update(dict.fromkeys(random.integers(16**10, size=count - len(found)).tolist()))
    return [f"{letter}{number:010x}" for number in found]
