"""Which prompts and answers are judged, by a stated rule, equally many of every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.panel.settings import Choice
from crpo.texts import is_blank, normalise

MOST_TOLD = 4


@dataclass(frozen=True)
class Selected:
    """Answers to be judged.

    Attributes
    ----------
    chosen : DataFrame
        prompt_id, prompt, model, sample, response, source; to every prompt equally many of every model.
    spare : DataFrame
        The usable answers that were not chosen, of all prompts: for practice.
    notes : list of str
        What was left out, and why.
    """

    chosen: pd.DataFrame
    spare: pd.DataFrame
    notes: list[str]


def select(candidates: pd.DataFrame, choice: Choice, seed: int) -> Selected:
    """Choose prompts and answers.

    Left out, and counted in the notes: answers whose status is not "ok"; blank ones; with `by: top` those whose metric
    is NaN (of people without that metric all stay, and are drawn at random); and of answers of one model to one prompt
    that are equal once normalised all but the best or, without a metric, one drawn at random. Equal answers of
    *different* models are both kept, for throwing them away would flatter both: the design never shows them on one
    page. Prompts count that have an answer of every model. Then every model gives the same number of answers to a
    prompt: `choice.answers`, or what the model with fewest has, which is said.

    Parameters
    ----------
    candidates : DataFrame
        See `crpo.panel.reading.read_candidates`. The order of its rows changes nothing.
    choice : Choice
    seed : int

    Raises
    ------
    InputError
        For an unknown model, no prompt with an answer of every model, and fewer such prompts than asked for.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    notes: list[str] = []
    own = _usable(_of_models(candidates, choice.models), choice, notes)
    own = own.sort_values(["prompt_id", "model", "sample", "response"]).assign(luck=0.0)
    own["luck"] = random.random(len(own))
    own = own.sort_values(["metric", "luck"], ascending=[False, True], na_position="last", kind="stable")
    own = _without_repeats(own, notes)
    models = sorted(set(_of_models(candidates, choice.models)["model"]))
    prompts = _drawn_prompts(own, models, choice.prompts, random, notes)
    asked = own[own["prompt_id"].isin(prompts)]
    most = _numbers(asked, choice, notes)
    rank = asked.groupby(["prompt_id", "model"]).cumcount()
    chosen = asked[rank < asked["prompt_id"].map(most)]
    columns = ["prompt_id", "prompt", "model", "sample", "response", "source"]
    spare = own.drop(chosen.index).sort_values("luck")[columns]
    return Selected(chosen.sort_values(["prompt_id", "model"], kind="stable")[columns].reset_index(drop=True),
                    spare.reset_index(drop=True), notes)  # fmt: skip


def _of_models(candidates: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    known = set(candidates["model"])
    for model in models:
        if model not in known:
            raise InputError(f"no answer is of a model {model!r}", did_you_mean(model, known))
    return candidates[candidates["model"].isin(models)] if models else candidates


def _usable(candidates: pd.DataFrame, choice: Choice, notes: list[str]) -> pd.DataFrame:
    failed = candidates["status"] != "ok"
    blank = ~failed & candidates["response"].map(is_blank)
    own = candidates[~failed & ~blank].copy()
    own["response"] = [_showable(text) for text in own["response"]]
    unscored = own["metric"].isna() & (choice.by == "top")
    if unscored.any() and (own["source"] == "human")[unscored].any() and own.loc[~unscored, "source"].eq("model").all():
        notes.append(f"people's answers have no {choice.metric}: they are drawn at random")
        unscored &= own["source"] == "model"
    for count, why in ((failed.sum(), "whose status is not ok"), (blank.sum(), "that are blank"),
                       (unscored.sum(), f"without {choice.metric}")):  # fmt: skip
        if count:
            notes.append(f"left out {count:,} answers {why}")
    own = own[~unscored]
    if choice.by != "top":
        own["metric"] = np.nan
    return own


def _showable(text: str) -> str:
    """Return the text without what no page can show: NUL, and halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _without_repeats(own: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    same = own.assign(same=own["response"].map(normalise))
    repeats = same.duplicated(["prompt_id", "model", "same"])
    if repeats.any():
        notes.append(f"left out {repeats.sum():,} answers that the same model gave twice to a prompt")
    across = same[~repeats].duplicated(["prompt_id", "same"])
    if across.any():
        notes.append(f"{across.sum():,} answers equal one of another model: both stay, never on one page")
    return own[~repeats]


def _drawn_prompts(
    own: pd.DataFrame, models: list[str], wanted: int | None, random: np.random.Generator, notes: list[str]
) -> list[str]:
    number = own.groupby("prompt_id")["model"].nunique()
    whole = sorted(number.index[number == len(models)])
    lacking = sorted(set(own["prompt_id"]) - set(whole))
    if lacking:
        told = _lacking(own, models)
        notes.append(f"left out {len(lacking):,} prompts that some model has no usable answer to ({told})")
    if not whole:
        raise InputError("no prompt has a usable answer of every model", "Leave models out with --models.")
    if wanted is None:
        return whole
    if wanted > len(whole):
        found = f"{wanted} prompts are asked for, and {len(whole)} have an answer of every model"
        raise InputError(found, "Ask for fewer, or leave out --prompts.")
    return sorted(random.choice(whole, wanted, replace=False).tolist())


def _lacking(own: pd.DataFrame, models: list[str]) -> str:
    total = own["prompt_id"].nunique()
    have = own.groupby("model")["prompt_id"].nunique()
    told = [f"{model} lacks {total - have.get(model, 0)}" for model in models if have.get(model, 0) < total]
    return _shortly(told)


def _numbers(asked: pd.DataFrame, choice: Choice, notes: list[str]) -> pd.Series:
    """Return by prompt how many answers of each model are taken: as many as are wanted, or the scarcest model has."""
    counts = asked.groupby(["prompt_id", "model"]).size().unstack()
    wanted = counts.max(axis=1) if choice.by == "all" else pd.Series(choice.answers, counts.index)
    least = counts.min(axis=1)
    if (few := least < wanted).any():
        scarce = counts[few].eq(least[few], axis=0).sum()
        told = [f"{model} at {count}" for model, count in scarce[scarce > 0].sort_values(ascending=False).items()]
        notes.append(
            f"{few.sum():,} prompts have fewer answers of each model than wanted (as few as {least.min()}), for some "
            f"model has no more: {_shortly(told)}"
        )
    return least.clip(upper=wanted)


def _shortly(told: list[str]) -> str:
    return ", ".join(told[:MOST_TOLD]) + (", …" if len(told) > MOST_TOLD else "")
