"""Judgements of a running campaign: one SQLite file, written so that nothing acknowledged is lost."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from crpo.errors import InputError
from crpo.panel.assign import Dealing, Page
from crpo.panel.campaign import Campaign, allowed_values

FILE = "panel.sqlite"
JUDGEMENTS = [
    "rater", "number", "item_id", "answer_ids", "role", "dimension", "value", "position", "seconds", "changes", "at",
]  # fmt: skip
TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
  rater TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, outside TEXT UNIQUE,
  invited_at TEXT NOT NULL, consented_at TEXT, finished_at TEXT);
CREATE TABLE IF NOT EXISTS pages (
  rater TEXT NOT NULL REFERENCES raters, place INTEGER NOT NULL, item_id TEXT NOT NULL, answer_ids TEXT NOT NULL,
  PRIMARY KEY (rater, place), UNIQUE (rater, item_id));
CREATE TABLE IF NOT EXISTS judgements (
  rater TEXT NOT NULL, item_id TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL,
  seconds REAL NOT NULL, changes INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL,
  PRIMARY KEY (rater, item_id, dimension), FOREIGN KEY (rater, item_id) REFERENCES pages (rater, item_id));
"""


@dataclass(frozen=True)
class Rater:
    """Who judges: an opaque name, a number in order of arrival, and how far they are (ISO times, None: not yet).

    `outside` is the pseudonym of who they are elsewhere; None for those with a link of their own.
    """

    rater: str
    number: int
    invited_at: str
    consented_at: str | None
    finished_at: str | None
    outside: str | None


class Store:
    """The campaign's `panel.sqlite`: raters, the pages dealt to each, and their judgements.

    Every call opens a connection of its own, so that any thread or process may call. In WAL mode with
    `synchronous=FULL`, what a call wrote is on the disk when it returns: it outlives a kill and a loss of power.

    Parameters
    ----------
    campaign : Campaign
        With its folder.

    Raises
    ------
    InputError
        For a file that is damaged, or holds judgements of another campaign.
    """

    def __init__(self, campaign: Campaign) -> None:
        if campaign.folder is None:
            raise ValueError("a campaign without a folder has nowhere to keep judgements")
        self.campaign, self.path = campaign, campaign.folder / FILE
        self._dealing = Dealing(campaign)
        try:
            with self._opened() as database:
                self._prepare(database)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path} cannot be used: {error}", "Restore it from a copy.") from error

    def add_rater(self, outside: str | None = None, most: int | None = None) -> Rater | None:
        """Add a rater and deal their pages; `outside` is who they are elsewhere, as a pseudonym.

        A rater of that pseudonym who is there already is returned instead. None: there are `most` raters already.
        """
        with self._writing() as database:
            found = database.execute("SELECT rater FROM raters WHERE outside = ?", (outside,)).fetchone()
            if found is None:
                (number,) = database.execute("SELECT COUNT(*) FROM raters").fetchone()
                if most is not None and number >= most:
                    return None
                name = f"r{secrets.token_hex(4)}"
                database.execute(
                    "INSERT INTO raters (rater, number, outside, invited_at) VALUES (?, ?, ?, ?)",
                    (name, number, outside, _now()),
                )
                rows = [(name, p.place, p.item_id, json.dumps(p.answer_ids)) for p in self._dealing.pages(number)]
                database.executemany("INSERT INTO pages VALUES (?, ?, ?, ?)", rows)
            else:
                (name,) = found
        return self.rater(name)

    def rater(self, name: str) -> Rater:
        """Return a rater; KeyError for one who is not there."""
        with self._opened() as database:
            return _rater_of(database, name)

    def raters(self) -> list[Rater]:
        """Return all raters, in order of arrival."""
        with self._opened() as database:
            names = database.execute("SELECT rater FROM raters ORDER BY number").fetchall()
            return [_rater_of(database, name) for (name,) in names]

    def consent(self, name: str) -> None:
        """Note that a rater has agreed to take part; the first time counts."""
        with self._writing() as database:
            database.execute(
                "UPDATE raters SET consented_at = ? WHERE rater = ? AND consented_at IS NULL", (_now(), name)
            )

    def pages(self, name: str) -> list[Page]:
        """Return a rater's pages in their order, as they were dealt when the rater came."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT place, item_id, answer_ids FROM pages WHERE rater = ? ORDER BY place", (name,)
            )
            return [Page(place, item_id, tuple(json.loads(answers))) for place, item_id, answers in rows]

    def judged(self, name: str, item_id: str) -> dict[str, str]:
        """Return a rater's judgements of an item by dimension; empty where it is not judged."""
        with self._opened() as database:
            query = "SELECT dimension, value FROM judgements WHERE rater = ? AND item_id = ?"
            return dict(database.execute(query, (name, item_id)).fetchall())

    def items_judged(self, name: str) -> set[str]:
        """Return the items that a rater has judged."""
        with self._opened() as database:
            rows = database.execute("SELECT DISTINCT item_id FROM judgements WHERE rater = ?", (name,))
            return {item_id for (item_id,) in rows}

    def judge(self, name: str, item_id: str, values: Mapping[str, str], seconds: float) -> None:
        """Keep a rater's judgements of an item, all dimensions or none; on the disk when this returns.

        The same judgements again change nothing. Others replace them, are counted in `changes`, and keep the seconds of
        the first time.

        Raises
        ------
        KeyError
            For an item that was not dealt to this rater.
        ValueError
            For values that are not one allowed value for each dimension.
        """
        allowed = allowed_values(self.campaign.settings, self.campaign.item[item_id])
        if set(values) != set(self.campaign.settings.dimensions) or not set(values.values()) <= set(allowed):
            raise ValueError(f"{dict(values)} is no judgement of {item_id}")
        rows = [(name, item_id, dimension, value, round(seconds, 3), _now()) for dimension, value in values.items()]
        with self._writing() as database:
            dealt = database.execute("SELECT 1 FROM pages WHERE rater = ? AND item_id = ?", (name, item_id)).fetchone()
            if dealt is None:
                raise KeyError(f"{item_id} was not dealt to {name}")
            database.executemany(
                "INSERT INTO judgements (rater, item_id, dimension, value, seconds, at) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at, changes = changes + 1 "
                "WHERE value <> excluded.value",
                rows,
            )
            database.execute(
                "UPDATE raters SET finished_at = ? WHERE rater = ? AND finished_at IS NULL AND NOT EXISTS ("
                "SELECT 1 FROM pages LEFT JOIN judgements USING (rater, item_id) "
                "WHERE pages.rater = raters.rater AND value IS NULL)",
                (_now(), name),
            )

    def judgements(self) -> pd.DataFrame:
        """Return all judgements, in the order of raters and pages.

        Returns
        -------
        DataFrame
            rater, number, item_id, answer_ids (in the order shown, with spaces between), role ("item", "practice",
            "check"), dimension, value (text, see `allowed_values`),
            position (1 for the answer shown first; missing where no answer was chosen), seconds (on the page), changes,
            at (ISO time).
        """
        query = (
            "SELECT rater, number, item_id, dimension, value, seconds, changes, at, answer_ids FROM judgements "
            "JOIN raters USING (rater) JOIN pages USING (rater, item_id) ORDER BY number, place, judgements.rowid"
        )
        with self._opened() as database:
            cursor = database.execute(query)
            names = [column[0] for column in cursor.description]
            table = pd.DataFrame(cursor.fetchall(), columns=names)  # type: ignore[arg-type]
        orders = [json.loads(order) for order in table["answer_ids"]]
        places = [
            order.index(value) + 1 if value in order else None
            for order, value in zip(orders, table["value"], strict=True)
        ]
        table["answer_ids"] = [" ".join(order) for order in orders]
        table["position"] = pd.array(places, dtype="Int64")
        table["role"] = [self.campaign.item[item].role for item in table["item_id"]]
        return table[JUDGEMENTS]

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        (sound,) = database.execute("PRAGMA quick_check").fetchone()
        if sound != "ok":
            raise InputError(f"{self.path} is damaged: {sound}", "Restore it from a copy.")
        database.executescript(TABLES)
        database.execute("INSERT OR IGNORE INTO about VALUES ('of', ?)", (self.campaign.of,))
        (of,) = database.execute("SELECT value FROM about WHERE name = 'of'").fetchone()
        if of != self.campaign.of:
            raise InputError(
                f"{self.path} holds judgements of another campaign ({of}, not {self.campaign.of})",
                "Make a new campaign for changed settings or answers.",
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            yield database
        finally:
            database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        # IMMEDIATE: whoever reads and then writes has to wait for others at the start, not fail in the middle.
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise


def _rater_of(database: sqlite3.Connection, name: str) -> Rater:
    query = "SELECT rater, number, invited_at, consented_at, finished_at, outside FROM raters WHERE rater = ?"
    found: tuple[Any, ...] | None = database.execute(query, (name,)).fetchone()
    if found is None:
        raise KeyError(name)
    return Rater(*found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
