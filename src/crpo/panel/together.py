"""Which answers are judged together: pairs, sets of n, or each alone; rows of the chosen answers."""

from __future__ import annotations

from itertools import combinations
from math import lcm

import numpy as np
import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.panel.settings import Settings
from crpo.texts import normalise

EXCHANGES = 20_000  # tried for even company of models in sets of n

Rows = tuple[int, ...]


def judged_together(
    chosen: pd.DataFrame, settings: Settings, random: np.random.Generator, notes: list[str]
) -> list[Rows]:
    """Return the rows of each item.

    - pairwise: to every prompt each two models meet (or each other model meets each of `settings.against`), once for
      every answer they have: each answer of one is drawn to one answer of the other. So every model, pair and answer
      is judged equally often.
    - best_of n: to every prompt each answer is in at least one set of n different models, each model in equally many;
      models are exchanged between sets until any two meet about equally often over all prompts.
    - ratings: each answer alone.

    Answers that are equal once normalised are not put together: a pair that cannot be matched otherwise is left out,
    which is noted.

    Parameters
    ----------
    chosen : DataFrame
        See `crpo.panel.select.Selected`; rows numbered from 0.

    Raises
    ------
    InputError
        For fewer models than an item needs, and an unknown model in `against`.
    """
    if settings.kind == "ratings":
        return [(row,) for row in range(len(chosen))]
    models = sorted(chosen["model"].unique())
    least = 2 if settings.kind == "pairwise" else settings.best_of
    if len(models) < least:
        raise InputError(f"{settings.kind} needs {least} models, and there is {', '.join(models)}",
                         "Give more samples, or take --kind ratings.")  # fmt: skip
    texts = chosen["response"].map(normalise).tolist()
    if settings.kind == "pairwise":
        return _pairs(_rows(chosen), texts, sides(models, settings.against), random, notes)
    return _sets(_rows(chosen), texts, models, settings.best_of, random, notes)


def sides(models: list[str], against: list[str]) -> list[tuple[str, str]]:
    """Return which models meet: all pairs, or every other model with each one of `against`."""
    for model in against:
        if model not in models:
            raise InputError(f"--against {model!r} is no model of the samples", did_you_mean(model, models))
    if not against:
        return list(combinations(models, 2))
    ours = [model for model in models if model not in against]
    if not ours:
        raise InputError("--against names every model", "Leave one out.")
    return [(model, other) for model in ours for other in dict.fromkeys(against)]


def _rows(chosen: pd.DataFrame) -> dict[str, dict[str, list[int]]]:
    """Return the rows of each model by prompt."""
    found: dict[str, dict[str, list[int]]] = {}
    for row, (prompt, model) in enumerate(zip(chosen["prompt_id"], chosen["model"], strict=True)):
        found.setdefault(prompt, {}).setdefault(model, []).append(row)
    return found


def _pairs(
    rows: dict[str, dict[str, list[int]]],
    texts: list[str],
    meeting: list[tuple[str, str]],
    random: np.random.Generator,
    notes: list[str],
) -> list[Rows]:
    items, equal = [], 0
    for own in rows.values():
        for one, other in meeting:
            left = [own[one][place] for place in random.permutation(len(own[one]))]
            turned = (left[shift:] + left[:shift] for shift in range(len(left)))
            matched = min((list(zip(way, own[other], strict=True)) for way in turned),
                          key=lambda pairs: sum(texts[a] == texts[b] for a, b in pairs))  # fmt: skip
            different = [(a, b) for a, b in matched if texts[a] != texts[b]]
            equal += len(matched) - len(different)
            items += different
    if equal:
        notes.append(f"left out {equal:,} pairs of equal answers: no one could tell them apart")
    return items


def _sets(
    rows: dict[str, dict[str, list[int]]],
    texts: list[str],
    models: list[str],
    size: int,
    random: np.random.Generator,
    notes: list[str],
) -> list[Rows]:
    even = lcm(len(models), size) // len(models)  # sets a model must be in, for all to be in equally many
    answers = [len(own[models[0]]) for own in rows.values()]
    deals = [_dealt(len(models), size, -(-number // even) * even, random) for number in answers]
    _even_company([deal for deal in deals if len(deal) > 1], len(models), random)
    items: list[Rows] = []
    for deal, own in zip(deals, rows.values(), strict=True):
        used = dict.fromkeys(models, 0)
        for number in deal:
            members = [models[member] for member in number]
            items.append(tuple(own[model][used[model] % len(own[model])] for model in members))
            for model in members:
                used[model] += 1
    whole = [item for item in items if len({texts[row] for row in item}) == len(item)]
    if equal := len(items) - len(whole):
        notes.append(f"left out {equal:,} sets with two equal answers: no one could tell them apart")
    return whole


def _dealt(models: int, size: int, turns: int, random: np.random.Generator) -> list[list[int]]:
    """Return sets of different models, every model in `turns` of them."""
    circle = random.permutation(models).tolist()
    total = models * turns // size
    return [[circle[(place * size + step) % models] for step in range(size)] for place in range(total)]


def _even_company(deals: list[list[list[int]]], models: int, random: np.random.Generator) -> None:
    """Exchange models between two sets of a prompt, in place, while that makes meetings of models more even."""
    met = np.zeros((models, models))
    for deal in deals:
        for own in deal:
            met[np.ix_(own, own)] += 1
    counts = met.tolist()
    for _ in range(EXCHANGES if deals else 0):
        deal = deals[random.integers(len(deals))]
        one, other = random.choice(len(deal), 2, replace=False).tolist()
        here, there = deal[one][random.integers(len(deal[one]))], deal[other][random.integers(len(deal[other]))]
        if here in deal[other] or there in deal[one]:
            continue
        left = [model for model in deal[one] if model != here]
        right = [model for model in deal[other] if model != there]
        rise = sum(counts[there][own] - counts[here][own] + 1 for own in left)
        rise += sum(counts[here][own] - counts[there][own] + 1 for own in right)
        if rise <= 0:
            deal[one], deal[other] = [*left, there], [*right, here]
            for change, model, others in ((-1, here, left), (1, there, left), (-1, there, right), (1, here, right)):
                for own in others:
                    counts[model][own] += change
                    counts[own][model] += change
