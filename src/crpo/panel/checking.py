"""Whether a campaign is sound: what must hold of its answers and items."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from crpo.errors import InputError
from crpo.panel.campaign import LOWEST, ROLES, SOURCES, Campaign, Item

FIX = "Make the campaign again."


def check_campaign(campaign: Campaign, name: str) -> None:
    """Raise InputError, which begins with `name`, for the first thing that is wrong with a campaign."""
    title = campaign.settings.title
    for model in sorted({answer.model for answer in campaign.answers if answer.source == "model"}):
        if re.search(rf"(?<!\w){re.escape(model)}(?!\w)", title, re.IGNORECASE):
            raise InputError(f"{name}: raters see the title {title!r}, which names a model", "Choose another title.")
    for problem in _problems(campaign):
        raise InputError(f"{name}: {problem}", FIX)


def _problems(campaign: Campaign) -> Iterator[str]:
    settings = campaign.settings
    yield from _ids("answer", [answer.answer_id for answer in campaign.answers])
    yield from _ids("item", [item.item_id for item in campaign.items])
    prompts: dict[str, str] = {}
    for answer in campaign.answers:
        if answer.source not in SOURCES:
            yield f"answer {answer.answer_id}: source {answer.source!r} is none of {', '.join(SOURCES)}"
        if prompts.setdefault(answer.prompt_id, answer.prompt) != answer.prompt:
            yield f"answer {answer.answer_id}: prompt {answer.prompt_id} has two texts"
    for item in campaign.items:
        if item.kind != settings.kind:
            yield f"item {item.item_id} is {item.kind} in a campaign of {settings.kind}"
        yield from _item_problems(campaign, item)
    if not campaign.of_role("item"):
        yield "there is nothing to judge"


def _ids(what: str, ids: list[str]) -> Iterator[str]:
    for own, count in Counter(ids).items():
        if count > 1:
            yield f"{what} {own} is there twice"
        if not own.isalnum():
            yield f"{what} {own!r}: an id is letters and digits"
    if ids != sorted(ids):
        yield f"{what}s are not in the order of their ids"


def _item_problems(campaign: Campaign, item: Item) -> Iterator[str]:
    name, own = f"item {item.item_id}", [campaign.answer.get(answer) for answer in item.answer_ids]
    wanted = {"pairwise": 2, "best_of": campaign.settings.best_of, "ratings": 1}[campaign.settings.kind]
    if len(set(item.answer_ids)) != len(own) or len(own) != wanted:
        yield f"{name} shows {len(own)} answers where {wanted} different ones are shown"
    for answer_id, answer in zip(item.answer_ids, own, strict=True):
        if answer is None:
            yield f"{name}: answer {answer_id} does not exist"
        elif answer.prompt_id != item.prompt_id:
            yield f"{name} mixes answers to prompts {item.prompt_id} and {answer.prompt_id}"
        elif answer.source == "check" and item.role != "check":
            yield f"{name} shows a made-up answer and is no attention check"
    if item.role not in ROLES:
        yield f"{name}: role {item.role!r} is none of {', '.join(ROLES)}"
    known = [LOWEST] if campaign.settings.kind == "ratings" else list(item.answer_ids)
    if item.expected not in (known if item.role == "check" else [""]):
        yield f"{name}: {item.expected!r} cannot be expected of it"
