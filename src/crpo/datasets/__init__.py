"""Readers: other people's tables, and the bundled corpus, into ours.

A reader is a small file with `matches(columns)` and `convert(frame, reading)`; `READERS` names them, first match first.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd

from crpo.datasets import muce, muce_pref, muce_sft, noveltybench, ocsai, plain, trl, votes
from crpo.datasets.forms import in_form
from crpo.datasets.hub import is_hub_id, read_folder, read_hub
from crpo.progress import say
from crpo.tables import Problem, Reading, check_table, kind_for, load_table
from crpo.tasks import Tasks

READERS: dict[str, ModuleType] = {
    reader.NAME: reader for reader in (muce, ocsai, muce_sft, muce_pref, trl, noveltybench, votes)
}


def read_data(
    source: str | Path, kind: str, dropped: list[Problem] | None = None, *, tasks: Tasks | None = None
) -> pd.DataFrame:
    """Read people's answers, pairs or prompts from whatever holds them, as a checked table of a kind.

    Takes every file `crpo.tables.read_table` takes, a folder of Parquet files, and a hub id (CNCL-Penn-State/MuCE, also
    with @revision and :configuration); in our columns, or as MuCE, MuCE-Pref, MuCE-SFT, OCSAI, NoveltyBench and TRL
    publish theirs. What was recognised or guessed is said in one line on standard error.

    Parameters
    ----------
    source : path or hub id
    kind : str
        One of `crpo.tables.KINDS`. Preference sets can also be read as their answers.
    dropped : list of Problem, optional
        Where given, rows that are wrong are left out and appended to it instead of being an error.
    tasks : Tasks, optional
        Other templates than the package's, where a prompt has to be made.

    Raises
    ------
    InputError, MissingExtraError
        As `crpo.tables.read_table`; also for a hub id that cannot be had.
    """
    reading = Reading(Path(source))
    table = as_kind(load_data(reading), kind, reading, tasks)
    tell_notes(reading)
    return reading.settle(table, dropped)


def as_kind(frame: pd.DataFrame, kind: str, reading: Reading, tasks: Tasks | None = None) -> pd.DataFrame:
    """Return loaded data as a checked table of a kind; wrong rows are left out and noted in `reading`."""
    formed = in_form(frame, kind, tasks)
    return check_table(formed, kind_for(formed, kind), reading)


def load_data(reading: Reading) -> pd.DataFrame:
    """Return a source's cells as they are, under our names where a reader recognises its columns."""
    source = reading.path
    if source.is_dir():
        frame = read_folder(source, reading)
    elif is_hub_id(source):
        frame = read_hub(source, reading)
    else:
        frame = load_table(source, reading)
    return recognised(frame, reading)


def recognised(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Return a loaded table under our names, by the first reader whose columns it has."""
    if frame.columns.duplicated().any() or frame.empty:  # an error of the table, told by its check
        return frame
    columns = list(map(str, frame.columns))
    for reader in READERS.values():
        matches = reader.matches(columns, ocsai.first_cell(frame)) if reader is ocsai else reader.matches(columns)
        if matches:
            return reader.convert(frame, reading)
    return plain.convert(frame, reading)


def tell_notes(reading: Reading) -> None:
    """Say in one line what was recognised and guessed, if anything."""
    if reading.notes:
        say(f"note: {reading.path}: read with {'; '.join(reading.notes)}")
