"""Samples of every arm, drawn by seed and not picked, as Markdown that no sample can break."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

COUNT, SEED = 40, 20260101
PEOPLE = "people"
CUT_OFF, EMPTY = "… (cut off)", "(empty)"
PLAIN = re.compile(r"[^\w .,;?'\"()\-]|_|\.(?=\w)")  # everything else could mean something in Markdown or HTML


def drawn(table: pd.DataFrame, count: int = COUNT, seed: int = SEED) -> pd.DataFrame:
    """Draw rows without replacement, every prompt being as likely as any other.

    A row's chance is one over the number of rows of its prompt, so that a prompt with thousands of people's answers
    does not fill the page. The rows come back in the order of task and item, then in that of the draw.

    Parameters
    ----------
    table : DataFrame
        prompt_id, task, item, response. Its order does not matter as long as it is the same.
    count : int
        All rows where there are fewer.
    seed : int
    """
    weights = (1 / table.groupby("prompt_id")["prompt_id"].transform("size")).to_numpy(float)
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = generator.choice(len(table), size=min(count, len(table)), replace=False, p=weights / weights.sum())
    return table.iloc[rows].sort_values(["task", "item"], kind="stable").reset_index(drop=True)


def samples_page(arms: Iterable[tuple[str, pd.DataFrame]], opening: str) -> str:
    """Return the page: a heading and a table of task, item and answer for each arm.

    Parameters
    ----------
    arms : iterable of (label, DataFrame)
        Whole tables of answers: prompt_id, task, item, response and, for samples of a model, seed and status.
    opening : str
        What stands above, in Markdown.
    """
    parts = [f"# Samples of every arm\n\n{opening}\n"]
    for label, table in arms:
        rows = [(row["task"], row["item"], _answer(row)) for row in drawn(table).to_dict("records")]
        parts.append(f"## {safe(label)}\n\n{_listed(rows)}")
    return "\n".join(parts)


def safe(text: object) -> str:
    """Return a text as one line of Markdown that shows it as it is, whatever it holds.

    Examples
    --------
    >>> safe("a|b\\n<script>")
    'a&#124;b &#60;script&#62;'
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    return PLAIN.sub(lambda found: f"&#{ord(found.group())};", line).encode("utf-8", "replace").decode("utf-8")


def _answer(row: dict) -> str:
    text = safe(row["response"]) if str(row["response"]).strip() else EMPTY
    return text + (f" {CUT_OFF}" if row.get("status") == "truncated" else "")


def _listed(rows: Sequence[tuple[object, object, str]]) -> str:
    lines = [f"| {safe(task)} | {safe(item)} | {answer} |" for task, item, answer in rows]
    return "\n".join(["| task | item | answer |", "|---|---|---|", *lines]) + "\n"
