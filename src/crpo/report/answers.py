"""Sample answers side by side: which prompts are shown, and how a long answer is folded."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from .views import unique, where

PROMPTS_SHOWN = 6
ANSWERS_SHOWN = 2
FOLD_ABOVE = 280  # characters; about five lines of a card
START = 180


@dataclass(frozen=True)
class Answer:
    """One sample's text, the start that stays visible when it is folded (or ""), and its status unless "ok"."""

    text: str
    start: str
    status: str


@dataclass(frozen=True)
class PromptAnswers:
    """One prompt and the models' first answers to it."""

    task: str
    item: str
    prompt: str
    models: list[tuple[str, list[Answer]]]


def answers_side_by_side(samples: pd.DataFrame) -> list[PromptAnswers]:
    """Return the first answers of every model to a few prompts, taken in turn from every task.

    Nothing is picked by content: prompts and answers come in the order in which they were generated.
    """
    models = unique(samples, "model")
    return [_prompt(where(samples, "prompt_id", key), models) for key in _prompts_in_turn(samples)]


def _prompts_in_turn(samples: pd.DataFrame) -> list:
    prompts = samples.drop_duplicates("prompt_id")
    turn = prompts.groupby("task", sort=False, dropna=False).cumcount()
    return prompts.assign(turn=turn).sort_values("turn", kind="stable")["prompt_id"].head(PROMPTS_SHOWN).tolist()


def _prompt(rows: pd.DataFrame, models: list[str]) -> PromptAnswers:
    first = rows.iloc[0]
    own = {model: where(rows, "model", model).sort_values("sample").head(ANSWERS_SHOWN) for model in models}
    answers = [(model, [_answer(row) for row in own[model].to_dict("records")]) for model in models]
    return PromptAnswers(_text(first["task"]), _text(first["item"]), _text(first["prompt"]), answers)


def _answer(row: dict) -> Answer:
    status = _text(row["status"])
    return folded(_text(row["response"]), "" if status == "ok" else status or "no status")


def folded(text: str, status: str = "") -> Answer:
    """Return a text without the space around it, and the start that stays visible where it is long."""
    text = text.strip()
    return Answer(text, _start(text), status)


def _start(text: str) -> str:
    """Return the words that stay visible of a long text, or "" where nothing needs folding."""
    if len(text) <= FOLD_ABOVE and text.count("\n") < 12:
        return ""
    start = "\n".join(text[:START].split("\n")[:6])
    return start.rsplit(" ", 1)[0] if " " in start[START // 2 :] else start


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)  # NaN is the one value that differs from itself
