"""In which order the answers of a page are shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crpo.panel.campaign import ROLES, Campaign, Item
from crpo.panel.positions import Integers, even_positions

Shown = tuple[Item, tuple[str, ...]]


class Orders:
    """Orders of answers that are even over items, over the times an item is shown, and within a rater.

    Each item starts from an order drawn by seed, and evened so that no model is in one position two times more than in
    another over all items. Every time the item is shown, it moves on by one position. Each rater's pages are then
    evened in the same way. Of attention checks the expected answer is evened against the others, instead of models.

    Parameters
    ----------
    campaign : Campaign
    """

    def __init__(self, campaign: Campaign) -> None:
        self._items = {role: campaign.of_role(role) for role in ROLES}
        models = {model: number for number, model in enumerate(sorted({answer.model for answer in campaign.answers}))}
        self._model = {answer.answer_id: models[answer.model] for answer in campaign.answers}
        random = np.random.Generator(np.random.PCG64([campaign.settings.seed, 4]))
        width = len(campaign.items[0].answer_ids)
        self._starts: dict[str, Integers] = {}
        for role, items in self._items.items():
            drawn = random.permuted(np.tile(np.arange(width), (len(items), 1)), axis=1)
            self._starts[role] = self._even(role, range(len(items)), drawn)

    def models(self) -> Integers:
        """Return the models of each counting item's answers, as numbers (items, answers)."""
        return np.array([[self._model[answer] for answer in item.answer_ids] for item in self._items["item"]])

    def shown(self, role: str, numbers: Sequence[int], times: Sequence[int]) -> list[Shown]:
        """Return items of a role, by their numbers, with their answers as one rater sees them.

        `times` is how often each has been shown to others before.
        """
        starts, items = self._starts[role], self._items[role]
        turned = [np.roll(starts[number], -before) for number, before in zip(numbers, times, strict=True)]
        orders = self._even(role, numbers, np.array(turned)).tolist() if turned else []
        return [(items[number], tuple(items[number].answer_ids[place] for place in order))
                for number, order in zip(numbers, orders, strict=True)]  # fmt: skip

    def all_shown(self, role: str, times: int) -> list[Shown]:
        """Return all items of a role, each shown to `times` others before."""
        count = len(self._items[role])
        return self.shown(role, range(count), [times] * count)

    def _even(self, role: str, numbers: Sequence[int], orders: Integers) -> Integers:
        names = [[self._name(role, self._items[role][number], place) for place in order]
                 for number, order in zip(numbers, orders.tolist(), strict=True)]  # fmt: skip
        return np.take_along_axis(orders, even_positions(np.array(names).reshape(orders.shape)), axis=1)

    def _name(self, role: str, item: Item, place: int) -> int:
        answer = item.answer_ids[place]
        return int(answer == item.expected) if role == "check" else self._model[answer]
