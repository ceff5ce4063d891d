"""Which side of the split each answer is on: held-out tasks, languages and items, by name, number or share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.recipe.sections import DataSection
from crpo.tasks import prompt_id
from crpo.texts import normalise

TRAIN, ANSWERS, ITEMS, LANGUAGE, TASK = SPLITS = (
    "train", "unseen answers", "unseen items", "unseen language", "unseen task"
)  # fmt: skip
UNSEEN_PROMPTS = (ITEMS, LANGUAGE, TASK)
# Other people's names. MuCE's are train, val, test, heldout_item and heldout_task; its val and test are other answers
# to prompts that are trained on.
OTHER_NAMES = {
    **dict.fromkeys(("training",), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "test", "testing", "eval"), ANSWERS),
    **dict.fromkeys(("heldout item", "heldout items", "held out item", "held out items", "unseen item"), ITEMS),
    **dict.fromkeys(("heldout task", "heldout tasks", "held out task", "held out tasks", "unseen tasks"), TASK),
    **dict.fromkeys(("heldout language", "held out language", "unseen languages"), LANGUAGE),
    **{name: name for name in SPLITS},
}  # fmt: skip


def own_sides(table: pd.DataFrame) -> np.ndarray | None:
    """Return the sides that the table's own `split` column gives, under our names.

    Known are our names and MuCE's (`train`, `val`, `test`, `heldout_item`, `heldout_task`), in any case. Answers set
    aside (`val`, `test`) are "unseen answers" where their prompt is trained on, and "unseen items" where it is not.

    Parameters
    ----------
    table : DataFrame
        With prompt_id, where it has a `split` column.

    Returns
    -------
    ndarray of str (n,), or None
        None without such a column, and where it holds somebody else's words.

    Raises
    ------
    InputError
        When some of its words name a held-out side and another is unknown.
    """
    if "split" not in table:
        return None
    words = [" ".join(str(word).casefold().replace("_", " ").replace("-", " ").split()) for word in table["split"]]
    unknown = sorted({told for told, word in zip(table["split"], words, strict=True) if word not in OTHER_NAMES})
    sides = np.array([OTHER_NAMES.get(word, "") for word in words], dtype=object)
    if unknown:
        if set(sides) & set(UNSEEN_PROMPTS):
            raise InputError(f"column 'split': {unknown[0]!r} is not a side", did_you_mean(str(unknown[0]), SPLITS))
        return None
    trained = table["prompt_id"].isin(table.loc[sides == TRAIN, "prompt_id"]).to_numpy()
    sides[(sides == ANSWERS) & ~trained] = ITEMS
    return sides


def drawn_sides(section: DataSection, table: pd.DataFrame) -> np.ndarray:
    """Hold out tasks, languages and items as the section says; a share is rounded, and is at least one of them.

    An item is held out in every language, and all answers to a prompt are on one side: where the items of a task share
    a prompt, they go together.

    Parameters
    ----------
    section : DataSection
    table : DataFrame
        task, item, language, prompt_id.

    Returns
    -------
    ndarray of str (n,)

    Raises
    ------
    InputError
        For a name that is not in the data, and where nothing would be left.
    """
    tasks = _named(section.heldout_tasks, table["task"], section.seed, "data.heldout_tasks", "task")
    languages = _named(section.heldout_languages, table["language"], section.seed, "data.heldout_languages", "language")
    unseen_task, unseen_language = table["task"].isin(tasks), table["language"].isin(languages)
    items = section.heldout_items
    if not isinstance(items, dict):
        items = _drawn_items(items, section.seed, table[~unseen_task])
    unseen_item = are_items(table, items, "data.heldout_items")
    order = np.select([unseen_task, unseen_language, unseen_item], [3, 2, 1], 0)
    order = pd.Series(order).groupby(table["prompt_id"].to_numpy()).transform("max").to_numpy()
    return np.array([TRAIN, ITEMS, LANGUAGE, TASK], dtype=object)[order]


def _named(chosen: list[str] | float, column: pd.Series, seed: int, key: str, what: str) -> list[str]:
    known = sorted(column.unique())
    if not isinstance(chosen, list):
        if len(known) < 2:
            raise InputError(f"{key} {chosen:g}: the data have only one {what}", f"Leave it out, or add a {what}.")
        return _some(known, _how_many(chosen, len(known)), seed)
    for name in chosen:
        _check_name(name, known, key, what)
    return chosen


def _drawn_items(wanted: float, seed: int, table: pd.DataFrame) -> dict[str, list[str]]:
    drawn = {}
    generator = np.random.Generator(np.random.PCG64(seed))
    for task, own in table.groupby("task", sort=True):
        items = sorted({normalise(item): item for item in sorted(own["item"], reverse=True)}.values())
        count = wanted if isinstance(wanted, int) else _how_many(wanted, len(items))
        if len(items) <= count:
            raise InputError(
                f"task {task!r} has {len(items)} items and data.heldout_items is {wanted:g}",
                "Hold out fewer items, or name them.",
            )
        drawn[str(task)] = generator.permutation(np.array(items, dtype=object))[:count].tolist()
    return drawn


def are_items(table: pd.DataFrame, items: dict[str, list[str]], key: str) -> np.ndarray:
    """Return which rows (n,) are of the items named by task; InputError, naming the key, where the data have none."""
    tasks = sorted(table["task"].unique())
    for task, names in items.items():
        _check_name(task, tasks, key, "task")
        known = sorted(table.loc[table["task"] == task, "item"].unique())
        for name in names:
            _check_name(name, known, f"{key}.{task}", "item")
    chosen = {prompt_id(task, name) for task, names in items.items() for name in names}
    pairs = zip(table["task"], table["item"], strict=True)
    return np.array([prompt_id(task, item) in chosen for task, item in pairs], dtype=bool)


def _how_many(share: float, count: int) -> int:
    return min(max(1, round(share * count)), count - 1) if count > 1 else 1


def _some(names: list[str], count: int, seed: int) -> list[str]:
    return np.random.Generator(np.random.PCG64(seed)).permutation(np.array(names, dtype=object))[:count].tolist()


def _check_name(name: str, known: list[str], key: str, what: str) -> None:
    if name not in known:
        raise InputError(f"{key}: there is no {what} {name!r} in the data", did_you_mean(name, known))
