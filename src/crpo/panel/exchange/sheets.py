"""What every tool is given and gives back: a rater's pages, the labels on them, and judgements."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from crpo.errors import InputError
from crpo.panel.assign import Dealing
from crpo.panel.campaign import TIE, Answer, Campaign
from crpo.panel.settings import Settings
from crpo.panel.tidy import JUDGEMENT_COLUMNS
from crpo.tables import short_hash

LETTERS = "ABCDEFGHI"
LEAST_DIGITS = 2


class Sheet(NamedTuple):
    """A page of a rater: its place from 1, the item, and the answers in the order shown."""

    key: str
    rater: int
    place: int
    item_id: str
    answers: tuple[Answer, ...]

    @property
    def answer_ids(self) -> str:
        """The ids of the answers, with spaces between."""
        return " ".join(answer.answer_id for answer in self.answers)


class Judged(NamedTuple):
    """A judgement that came back; the columns of `crpo.panel.tidy`."""

    rater: str
    item_id: str
    answer_ids: str
    dimension: str
    value: str
    seconds: float


class Sheets:
    """All pages of all raters a campaign needs.

    Attributes
    ----------
    campaign : Campaign
    raters : list of list of Sheet
        Of each rater, in order. A sheet's key says which rater and item it is, and is letters and digits.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign, dealing = campaign, Dealing(campaign)
        digits = max(LEAST_DIGITS, len(str(dealing.raters)))
        self.raters = [
            [
                Sheet(f"r{number:0{digits}}{page.item_id}", number, page.place + 1, page.item_id,
                      tuple(campaign.answer[answer] for answer in page.answer_ids))
                for page in dealing.pages(number - 1)
            ]
            for number in range(1, dealing.raters + 1)
        ]  # fmt: skip

    @functools.cached_property
    def by_key(self) -> dict[str, Sheet]:
        """Sheets by key."""
        return {sheet.key: sheet for own in self.raters for sheet in own}

    def find(self, key: str, where: str) -> Sheet:
        """Return the sheet with a key; InputError, which names `where`, if the campaign has none."""
        if key not in self.by_key:
            raise InputError(f"{where}: {key!r} is no page of this campaign", "Give what came back of its own export.")
        return self.by_key[key]

    def name(self, rater: int) -> str:
        """Return a rater's number with as many digits as the last one's."""
        digits = max(LEAST_DIGITS, len(str(len(self.raters))))
        return f"rater-{rater:0{digits}}"


def labels(settings: Settings, answers: tuple[Answer, ...]) -> dict[str, str]:
    """Return what can be chosen on a page, by what is written there: A, B, … and Tie, or the numbers of the scale."""
    if settings.kind == "ratings":
        return {str(value): str(value) for value in range(settings.scale[0], settings.scale[1] + 1)}
    named = {letter: answer.answer_id for letter, answer in zip(LETTERS, answers, strict=False)}
    return {**named, "Tie": TIE} if settings.kind == "pairwise" and settings.ties else named


def question(settings: Settings, dimension: str) -> str:
    """Return what a page asks about a dimension."""
    if settings.kind == "ratings":
        return f"{dimension} from {settings.scale[0]} (lowest) to {settings.scale[1]} (highest)"
    return f"Which answer shows {'more' if settings.kind == 'pairwise' else 'most'} {dimension}?"


def value_of(sheet: Sheet, settings: Settings, label: object, where: str) -> str:
    """Return the judgement that a label stands for; InputError for one the page does not have."""
    known = labels(settings, sheet.answers)
    if str(label) not in known:
        raise InputError(f"{where}: {label!r} is none of {', '.join(known)}", "Give what came back of its own export.")
    return known[str(label)]


def collected(campaign: Campaign, tool: str, rows: Iterable[Judged]) -> tuple[pd.DataFrame, list[str]]:
    """Return judgements as a table, with notes.

    A rater's name in the tool becomes "r" and 8 hexadecimal digits, the same each time; that keeps names out of tables,
    but whoever knows a name can compute its digits. Of two judgements of one rater on the same item and dimension the
    first counts.
    """
    table = pd.DataFrame(rows, columns=pd.Index(JUDGEMENT_COLUMNS))
    if table.empty:
        raise InputError(f"there is no judgement in what {tool} gave back", "Export the annotated tasks.")
    table["rater"] = ["r" + short_hash(campaign.of, tool, name)[:8] for name in table["rater"]]
    twice = table.duplicated(["rater", "item_id", "dimension"])
    notes = [f"left out {twice.sum():,} second judgements of a rater on the same item"] if twice.any() else []
    return table[~twice].reset_index(drop=True), notes


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; InputError naming the file and the row otherwise."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Check its name.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", "Export it again.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} row {error.lineno}: {error.msg}", "Export it again, as JSON.") from error


def json_text(content: Any) -> str:
    """Return content as JSON with a line end."""
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
