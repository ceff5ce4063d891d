"""The page of one item, and what a rater answered on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException

from crpo.panel.assign import Page
from crpo.panel.campaign import TIE, Item
from crpo.panel.store import Rater, Store
from crpo.panel.web.pages import render

QUESTIONS = {
    "pairwise": "Which answer has more {}?",
    "best_of": "Which answer has the most {}?",
    "ratings": "How would you rate its {}?",
}
CREATIVE = {"pairwise": "Which answer is more creative?", "best_of": "Which answer is the most creative?",
            "ratings": "How creative is it?"}  # fmt: skip


def item_page(
    store: Store, rater: Rater, item_id: str, token: str, chosen: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return the page of an item; 404 for one that was not dealt to this rater, or is not yet their turn.

    Answers are named by their place on the page alone; nothing else of them is sent.
    """
    settings, campaign = store.campaign.settings, store.campaign
    pages = store.pages(rater.rater)
    page = _dealt(pages, item_id)
    item, done = campaign.item[item_id], store.items_judged(rater.rater)
    before = [other for other in pages if other.place < page.place]
    if any(other.item_id not in done for other in before):
        raise HTTPException(404)
    kept = store.judged(rater.rater, item_id) if chosen is None else chosen
    low, high = settings.scale
    return render(
        "item.html",
        title=settings.title, kind=settings.kind, item_id=item_id, token=token,
        prompt=campaign.answer[item.answer_ids[0]].prompt,
        answers=[campaign.answer[answer].response for answer in page.answer_ids],
        dimensions=[
            {"place": place, "name": name, "question": question(settings.kind, name),
             "chosen": _shown(kept.get(name), page), "missing": name in missing}
            for place, name in enumerate(settings.dimensions)
        ],
        scale=range(low, high + 1), ties=settings.kind == "pairwise" and settings.ties,
        one_click=settings.kind != "ratings" and len(settings.dimensions) == 1,
        practice=item.role == "practice", begins=_begins(campaign.item, pages, page),
        number=page.place + 1, of=len(pages), back=before[-1].item_id if before else None,
    )  # fmt: skip


def question(kind: str, dimension: str) -> str:
    """Return what is asked on a dimension."""
    return CREATIVE[kind] if dimension == "creativity" else QUESTIONS[kind].format(dimension)


def read_values(store: Store, rater: Rater, item_id: str, form: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the judgements of a posted form by dimension, and the dimensions that were left open; 404 as above."""
    settings = store.campaign.settings
    page = _dealt(store.pages(rater.rater), item_id)
    values, missing = {}, []
    for place, dimension in enumerate(settings.dimensions):
        value = _value(settings.kind, str(form.get(f"d{place}", "")), page, store)
        if value is None:
            missing.append(dimension)
        else:
            values[dimension] = value
    return values, missing


def _dealt(pages: Sequence[Page], item_id: str) -> Page:
    found = [page for page in pages if page.item_id == item_id]
    if not found:
        raise HTTPException(404)
    return found[0]


def _value(kind: str, posted: str, page: Page, store: Store) -> str | None:
    settings = store.campaign.settings
    if kind == "ratings":
        low, high = settings.scale
        return posted if posted in {str(value) for value in range(low, high + 1)} else None
    if posted == TIE:
        return TIE if kind == "pairwise" and settings.ties else None
    places = {str(place): answer for place, answer in enumerate(page.answer_ids, 1)}
    return places.get(posted)


def _shown(value: str | None, page: Page) -> str:
    """Return how a judgement stands in the form: the place on the page, "tie", or the rating."""
    if value in page.answer_ids:
        return str(page.answer_ids.index(value) + 1)
    return value or ""


def _begins(items: Mapping[str, Item], pages: Sequence[Page], page: Page) -> bool:
    """Return whether practice ended just before this page."""
    return (
        page.place > 0
        and items[page.item_id].role != "practice"
        and items[pages[page.place - 1].item_id].role == "practice"
    )
