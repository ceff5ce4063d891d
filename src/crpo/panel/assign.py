"""What a rater sees: which items, in which order, and who stands where; for raters who arrive one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crpo.panel.campaign import Campaign
from crpo.panel.orders import Orders, Shown
from crpo.panel.positions import Integers
from crpo.panel.spread import spread


@dataclass(frozen=True)
class Page:
    """One page of a rater.

    Attributes
    ----------
    place : int
        From 0: practice first, then items with attention checks among them.
    item_id : str
    answer_ids : tuple of str
        In the order shown, first is left (or top).
    """

    place: int
    item_id: str
    answer_ids: tuple[str, ...]


class Dealing:
    """Deals a campaign's items to raters 0, 1, 2, …, without knowing how many will come.

    Items are dealt in passes: each pass has every item once, in an order of its own, and raters take the next
    `items_per_rater` of them. So at any moment the numbers of raters of two items differ by one at most, if all who
    began also finish. Within a rater's share models and prompts come about equally often (each next item is the one
    whose models and prompt the rater has met least). The same item is never dealt to a rater twice.

    Positions: each item starts from an order that is even over all items, and it moves on by one position every time
    the item is shown; then each rater's pages are evened, so that for no rater a model is in one position
    two times more than in another (`even_positions`).

    Parameters
    ----------
    campaign : Campaign
        What is dealt depends on its seed, items and settings, and on the rater's number.

    Attributes
    ----------
    raters : int
        How many it takes until every item has been dealt to `raters_per_item`.
    items_each : int
        Items of each of them, without practice and checks.
    """

    def __init__(self, campaign: Campaign) -> None:
        settings = campaign.settings
        self._campaign, self._seed = campaign, settings.seed
        self._orders = Orders(campaign)
        models, prompts = self._orders.models(), _numbered([item.prompt_id for item in campaign.of_role("item")])
        order = spread(models, prompts, [], max(settings.overlap, 1), self._random(1))
        self._shared, self._dealt = order[: settings.overlap].tolist(), np.sort(order[settings.overlap :])
        self._models, self._prompts = models[self._dealt], prompts[self._dealt]
        self._each = min(settings.items_per_rater - len(self._shared), len(self._dealt))
        self._passes: list[Integers] = []
        self._lock = threading.Lock()  # a server deals to several raters at once
        needed = -(-len(self._dealt) * settings.raters_per_item // self._each) if self._each else 0
        self.raters = max(needed, settings.raters_per_item)
        self.items_each = len(self._shared) + self._each

    def pages(self, number: int) -> list[Page]:
        """Return the pages of rater `number` (from 0), in order.

        Raises
        ------
        ValueError
            For a number below 0.
        """
        if number < 0:
            raise ValueError(f"raters are numbered from 0, and {number} is below")
        random, orders = self._random(2, number), self._orders
        own = self._ordered(orders.shown("item", *self._items_of(number)), random)
        practice, checks = (orders.all_shown(role, number) for role in ("practice", "check"))
        for place, check in zip(_places(len(own), len(checks), random), random.permutation(len(checks)), strict=True):
            own.insert(place, checks[check])
        pages = [practice[place] for place in random.permutation(len(practice))] + own
        return [Page(place, item.item_id, answers) for place, (item, answers) in enumerate(pages)]

    def _items_of(self, number: int) -> tuple[list[int], list[int]]:
        """Return the rater's items, and how often each was dealt before."""
        start, total = number * self._each, len(self._dealt)
        slots = range(start, start + self._each)
        dealt = [int(self._dealt[self._pass(slot // total)[slot % total]]) for slot in slots]
        times = [slot // total for slot in slots]
        return [*self._shared, *dealt], [number] * len(self._shared) + times

    def _pass(self, number: int) -> Integers:
        """Return the order in which pass `number` deals the items."""
        total = len(self._dealt)
        with self._lock:
            while len(self._passes) <= number:
                # What the last pass dealt to the rater who takes the first of this one.
                before = (total * len(self._passes)) % self._each
                begun = self._passes[-1][total - before :].tolist() if before else []
                random = self._random(3, len(self._passes))
                self._passes.append(spread(self._models, self._prompts, begun, self._each, random))
        return self._passes[number]

    def _ordered(self, pages: list[Shown], random: np.random.Generator) -> list[Shown]:
        shuffled = [pages[place] for place in random.permutation(len(pages))]
        if self._campaign.settings.order == "shuffled":
            return shuffled
        first: dict[str, int] = {}
        for place, (item, _) in enumerate(shuffled):
            first.setdefault(item.prompt_id, place)
        return sorted(shuffled, key=lambda page: first[page[0].prompt_id])

    def _random(self, *what: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self._seed, *what]))


def _numbered(names: Sequence[str]) -> Integers:
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _places(items: int, checks: int, random: np.random.Generator) -> list[int]:
    """Return where checks go in, last first: one in each of as many equal stretches, never before the first item."""
    edges = np.linspace(0, items, checks + 1)
    places = [max(1, int(np.ceil(random.uniform(low, high)))) for low, high in pairwise(edges)]
    return places[::-1]
