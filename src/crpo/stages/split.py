"""The first stage: people's answers, each with an identity, a prompt, and the side of the split it is on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.errors import InputError
from crpo.leaks import near_text, same_text
from crpo.recipe.sections import DataSection
from crpo.stages.sides import SPLITS, TRAIN, UNSEEN_PROMPTS, are_items, drawn_sides, own_sides
from crpo.tables import short_hash
from crpo.tasks import prompt_id, read_tasks, render_prompt
from crpo.texts import normalise

ACCOUNT = ["stage", "what", "count"]


def account(stage: str, counts: Mapping[str, float]) -> pd.DataFrame:
    """Return what a stage read, kept and left out as a table: counts, and other numbers to four digits."""
    rows = [(stage, what, value if isinstance(value, int) else float(f"{value:.4g}")) for what, value in counts.items()]
    return pd.DataFrame(rows, columns=ACCOUNT, dtype=object)  # type: ignore[arg-type]


def identify(table: pd.DataFrame, *, keep_order: bool = False, tasks: str | Path | None = None) -> pd.DataFrame:
    """Return the answers with `prompt_id`, `prompt` and `response_id` where they are missing.

    A prompt is known by its task, language and text where the table gives it, else by its item: answers to differently
    worded prompts are not compared, as in the official code, which pairs by the full prompt.

    Rows are put in the order of task, item and answer, so that the order of the input changes nothing that follows,
    unless `keep_order`. `tasks` is a file of templates of one's own (`crpo.tasks.read_tasks`).
    """
    table, templates = table.copy(), read_tasks(tasks)
    if "language" not in table:
        table["language"] = ""
    about = table["prompt"] if "prompt" in table else table["item"]
    keys = zip(table["task"], about, table["language"], strict=True)
    table["prompt_id"] = [prompt_id(*key) for key in keys]
    if "prompt" not in table:
        sets = table["dataset"] if "dataset" in table else [""] * len(table)
        asked = zip(table["task"], table["item"], table["language"], sets, strict=True)
        table["prompt"] = [render_prompt(*parts, dataset=own, tasks=templates) for *parts, own in asked]
    by = ["task", "item", "response", *(["response_id"] if "response_id" in table else [])]
    by += [column for column in ("creativity_score", "rater") if column in table]
    if not keep_order:
        table = table.sort_values(by, kind="stable").reset_index(drop=True)
    if "response_id" not in table:
        seen = table.groupby(["prompt_id", "response"]).cumcount().astype(str)
        parts = zip(table["prompt_id"], table["response"], seen, strict=True)
        table["response_id"] = [short_hash(*part) for part in parts]
    return table


def split_answers(
    section: DataSection, table: pd.DataFrame, embedder: str = "minilm"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out whole tasks, languages and items, before anything else is done with the answers.

    A training answer that also stands, normalised, among the held-out ones is a leak; with `near_duplicates` one that
    is close to it in meaning is too. What happens to it says `section.leaks`: by default it is left out and counted, or
    an error where the split is the table's own.

    Parameters
    ----------
    section : DataSection
    table : DataFrame
        Responses or long ratings: task, item, response. A `split` column of its own is respected (`sides.own_sides`).
    embedder : str
        For `near_duplicates`; see `crpo.embeddings.Embedder`.

    Returns
    -------
    answers : DataFrame
        The rows with prompt_id, prompt, response_id and split.
    account : DataFrame

    Raises
    ------
    InputError
        For an unknown task, language or item, a leak or an unknown side in the table's own split, and a split that
        leaves nothing to train on.
    """
    counts = {"rows read": len(table)}
    table = identify(table, tasks=section.tasks)
    if section.leave_out:
        gone = _left_out(table, section.leave_out)
        table = table[~gone].reset_index(drop=True)
        counts["rows left out by data.leave_out"] = int(gone.sum())
    if section.limit is not None:
        table = _limited(table, section.limit, section.seed)
        counts["rows kept by data.limit"] = len(table)
    sides = own_sides(table)
    if "split" in table and sides is None:
        counts["rows whose split column, of other names, was replaced"] = len(table)
    how = section.leaks or ("drop" if sides is None else "error")
    table["split"] = drawn_sides(section, table) if sides is None else sides
    check_prompts(table)
    table, leaks = _without_leaks(table, how, section.near_duplicates, embedder)
    counts |= leaks
    if not (table["split"] == TRAIN).any():
        raise InputError("every prompt is held out: nothing is left to train on", "Hold out fewer tasks or items.")
    counts.update({f"rows, {side}": int((table["split"] == side).sum()) for side in SPLITS})
    counts.update({f"prompts, {side}": table.loc[table["split"] == side, "prompt_id"].nunique() for side in SPLITS})
    return table, account("split", counts)


def _left_out(table: pd.DataFrame, names: Mapping[str, list[str]]) -> np.ndarray:
    """Return which rows (n,) are of the tasks and items that are used nowhere."""
    gone = are_items(table, dict(names), "data.leave_out")
    return gone | table["task"].isin([task for task, items in names.items() if not items]).to_numpy()


def merge_duplicates(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the answers with equal normalised texts to a prompt made one, with their mean creativity score.

    The column `given_by` says how many gave each: what people commonly answer is told by it (`crpo.metrics.people`).
    """
    same = answers["response"].map(normalise)
    scores = answers.groupby([answers["prompt_id"], same])["creativity_score"]
    merged = answers.assign(creativity_score=scores.transform("mean"), given_by=scores.transform("size"))
    return merged[~pd.DataFrame({"p": answers["prompt_id"], "s": same}).duplicated()].reset_index(drop=True)


def heldout_prompts(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts that are not trained on, each once: prompt_id, prompt."""
    own = answers.loc[answers["split"].isin(UNSEEN_PROMPTS), ["prompt_id", "prompt"]]
    return own.drop_duplicates("prompt_id").sort_values("prompt_id").reset_index(drop=True)


def check_prompts(table: pd.DataFrame) -> None:
    """Raise InputError when a prompt that is held out is trained on."""
    held = table[table["split"].isin(UNSEEN_PROMPTS)]
    both = set(held["prompt_id"]) & set(table.loc[table["split"] == TRAIN, "prompt_id"])
    if both:
        row = held[held["prompt_id"].isin(both)].iloc[0]
        raise InputError(f"column 'split': item {row['item']!r} of {row['task']} is both in training and held out",
                         "Give every answer to an item the same split.")  # fmt: skip


def _without_leaks(
    table: pd.DataFrame, how: str, near: float | None, embedder: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find training rows whose answer is held out too, and leave them out, refuse them or let them be."""
    train = (table["split"] == TRAIN).to_numpy()
    mine, held = table.loc[train, "response"].tolist(), table.loc[~train, "response"].tolist()
    found = {"the same answer": same_text(mine, held)}
    if near is not None:
        close = near_text(mine, held, embedder=embedder, threshold=near)
        found["a near-duplicate"] = close & ~found["the same answer"]
    leaking = np.zeros(len(table), dtype=bool)
    leaking[train] = np.logical_or.reduce(list(found.values()))
    if how == "error" and leaking.any():
        what = "training answers also stand among the held-out ones" + (" or nearly so" if near is not None else "")
        raise InputError(
            f"column 'split': {int(leaking.sum())} {what}, the first {table.loc[leaking, 'response'].iloc[0]!r}",
            "Remove them from one side, or set data.leaks to drop or keep.",
        )
    done = "kept although" if how == "keep" else "left out because"
    counts = {f"training rows {done} {what} is held out": int(rows.sum()) for what, rows in found.items()}
    return (table if how == "keep" else table[~leaking].reset_index(drop=True)), counts


def _limited(table: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    ids = np.array(sorted(table["response_id"].unique()))
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(ids)[:limit]
    return table[table["response_id"].isin(chosen)].reset_index(drop=True)
