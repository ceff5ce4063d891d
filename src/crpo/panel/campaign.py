"""A campaign: the folder that holds what is judged, and how."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crpo.panel.settings import Settings

ROLES = ("item", "practice", "check")
SOURCES = ("model", "human", "check")
LOWEST = "lowest"  # what is expected of ratings of a check
TIE = "tie"
FREE = {"title", "raters_per_item", "reading_speed", "decision_seconds", "likeness"}  # may be changed at any time


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt, with what only the researcher may know.

    Attributes
    ----------
    answer_id : str
        Opaque: drawn by seed, it says nothing of the model.
    prompt_id, prompt, response : str
        The response is shown as it was produced.
    model, sample : str
        Where it comes from; "" for what is no model's.
    words : int
        See `crpo.signals.length.word_counts`.
    source : {"model", "human", "check"}
        "check": made for an attention check, and no answer at all.
    """

    answer_id: str
    prompt_id: str
    prompt: str
    response: str
    model: str
    sample: str
    words: int
    source: str


@dataclass(frozen=True)
class Item:
    """What is on one page: the answers judged together.

    Attributes
    ----------
    item_id : str
        Opaque.
    kind : {"pairwise", "best_of", "ratings"}
    prompt_id : str
    answer_ids : tuple of str
        2 for pairwise, n for best_of, 1 for ratings; their order says nothing, `crpo.panel.assign` makes the order a
        rater sees.
    role : {"item", "practice", "check"}
        Only judgements of "item" count.
    expected : str
        Of a check: the answer_id that should win, or "lowest" for ratings; else "".
    """

    item_id: str
    kind: str
    prompt_id: str
    answer_ids: tuple[str, ...]
    role: str
    expected: str


@dataclass(frozen=True)
class Campaign:
    """Settings, answers and items, and the texts raters read first.

    Attributes
    ----------
    settings : Settings
    answers : tuple of Answer
        By answer_id, so that their order says nothing.
    items : tuple of Item
        By item_id.
    instructions, consent : str
        Markdown, which the researcher may edit at any time.
    folder : Path or None
        Where it was read from.
    """

    settings: Settings
    answers: tuple[Answer, ...]
    items: tuple[Item, ...]
    instructions: str
    consent: str
    folder: Path | None = None

    @functools.cached_property
    def of(self) -> str:
        """12 hexadecimal digits of what is judged and how; texts, title and number of raters may change."""
        content = [
            self.settings.model_dump(mode="json", exclude=FREE),
            [asdict(answer) for answer in self.answers],
            [asdict(item) for item in self.items],
        ]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @functools.cached_property
    def answer(self) -> dict[str, Answer]:
        """Answers by answer_id."""
        return {answer.answer_id: answer for answer in self.answers}

    @functools.cached_property
    def item(self) -> dict[str, Item]:
        """Items by item_id."""
        return {item.item_id: item for item in self.items}

    def of_role(self, role: str) -> list[Item]:
        """Return the items of a role ("item", "practice", "check"), by item_id."""
        return [item for item in self.items if item.role == role]


def allowed_values(settings: Settings, item: Item) -> list[str]:
    """Return what a judgement of an item may be: answer_ids (and "tie"), or the whole numbers of the scale as text."""
    if settings.kind == "ratings":
        low, high = settings.scale
        return [str(value) for value in range(low, high + 1)]
    return [*item.answer_ids, *([TIE] if settings.kind == "pairwise" and settings.ties else [])]


def is_passed(settings: Settings, item: Item, values: Sequence[str]) -> bool:
    """Tell whether the judgements of an attention check, one for each dimension, are the expected ones.

    The instructions say what to do with such an answer, so nothing but the expected is right: the real answer wins on
    every dimension, or the rating is the lowest on every dimension.
    """
    expected = str(settings.scale[0]) if item.expected == LOWEST else item.expected
    return bool(values) and all(value == expected for value in values)
