"""A campaign's folder: written whole or not at all, read with checks that name the file and the row."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from crpo.errors import InputError
from crpo.panel.campaign import Answer, Campaign, Item
from crpo.panel.checking import check_campaign
from crpo.panel.inert import inert, restored
from crpo.panel.settings import Settings
from crpo.recipe import check_section

SETTINGS, ANSWERS, ITEMS = "campaign.yaml", "answers.csv", "items.csv"
INSTRUCTIONS, CONSENT = "instructions.md", "consent.md"
MAKE_ANEW = "Restore the file, or make a new campaign."
HEAD = """\
# A campaign of crpo panel. For the researcher only: nothing of this file is shown to raters but the title.
# title, raters_per_item, reading_speed, decision_seconds and likeness may be changed; the rest is what is being judged.
"""


def write_campaign(campaign: Campaign, folder: Path) -> Path:
    """Write a campaign's folder; it appears whole or not at all.

    Spreadsheet formulas in texts are made inert (`crpo.panel.inert`), and restored by `read_campaign`.

    Raises
    ------
    InputError
        When the folder is there already (judgements may be in it), the campaign is not sound, or nothing can be
        written.
    """
    check_campaign(campaign, str(folder))
    return write_folder(_texts(campaign), folder)


def write_folder(texts: Mapping[str, str], folder: Path) -> Path:
    """Write files, by their names in the folder; it appears whole or not at all, and never in the place of another.

    Raises
    ------
    InputError
        When it is there already, or cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already", "Choose another folder; judgements in it are not thrown away.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        for name, text in texts.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            _write(partial / name, text)
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}", "Choose another place.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def read_campaign(folder: str | Path) -> Campaign:
    """Read a campaign and check that what is judged is what was made.

    Raises
    ------
    InputError
        For a folder that is no campaign, a file that cannot be read (file, row, column), a campaign that is not sound,
        or settings, answers or items that are not those it was made with.
    """
    folder = Path(folder)
    if not (folder / SETTINGS).is_file():
        raise InputError(f"{folder} is no campaign: it holds no {SETTINGS}", "Make one with crpo panel new.")
    content = _settings(folder / SETTINGS)
    of = content.pop("of", "")
    campaign = Campaign(
        check_section(Settings, content, str(folder / SETTINGS)),
        tuple(_answers(folder / ANSWERS)),
        tuple(_items(folder / ITEMS)),
        _read(folder / INSTRUCTIONS),
        _read(folder / CONSENT),
        folder,
    )
    check_campaign(campaign, str(folder))
    if campaign.of != of:
        found = f"{folder}: its settings, {ANSWERS} or {ITEMS} are not those it was made with ({campaign.of}, not {of})"
        raise InputError(found, MAKE_ANEW)
    return campaign


def _texts(campaign: Campaign) -> dict[str, str]:
    settings = {**campaign.settings.model_dump(mode="json"), "of": campaign.of}
    items = ({**asdict(item), "answer_ids": " ".join(item.answer_ids)} for item in campaign.items)
    return {
        SETTINGS: HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=120),
        ANSWERS: csv_text(_names(Answer), (asdict(answer) for answer in campaign.answers)),
        ITEMS: csv_text(_names(Item), items),
        INSTRUCTIONS: campaign.instructions,
        CONSENT: campaign.consent,
    }


def csv_text(names: list[str], rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as CSV, every cell quoted and inert in a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([inert(str(row[name])) for name in names] for row in rows)
    return file.getvalue()


def _write(path: Path, text: str) -> None:
    with path.open("wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" row {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{where}: not readable as YAML", "Correct it there.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings", MAKE_ANEW)
    return content


def _answers(path: Path) -> Iterable[Answer]:
    for row, cells in _rows(path, _names(Answer)):
        if not cells["words"].isdecimal():
            raise InputError(f"{path} row {row}, column 'words': {cells['words']!r} is no number", MAKE_ANEW)
        yield Answer(**{**cells, "words": int(cells["words"])})


def _items(path: Path) -> Iterable[Item]:
    for _, cells in _rows(path, _names(Item)):
        yield Item(**{**cells, "answer_ids": tuple(cells["answer_ids"].split())})


def _rows(path: Path, names: list[str]) -> Iterable[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(_read(path), newline=""))
    if (found := next(reader, [])) != names:
        raise InputError(f"{path} row 1: columns {', '.join(found)}, expected {', '.join(names)}", MAKE_ANEW)
    row = reader.line_num + 1
    for cells in reader:
        if len(cells) != len(names):
            raise InputError(f"{path} row {row}: {len(cells)} cells where the header has {len(names)}", MAKE_ANEW)
        yield row, dict(zip(names, map(restored, cells), strict=True))
        row = reader.line_num + 1


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", MAKE_ANEW) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", "Save it as UTF-8.") from error


def _names(kind: type[Answer] | type[Item]) -> list[str]:
    return [field.name for field in fields(kind)]
