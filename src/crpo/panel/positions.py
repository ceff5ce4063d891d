"""Who stands where on a page: every name in every position equally often, up to one."""

from __future__ import annotations

from collections import deque
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def even_positions(orders: Integers) -> Integers:
    """Exchange names within rows until each name is in every two positions equally often, up to one.

    That can always be reached (an equitable edge colouring of the bipartite graph of rows and names, de Werra 1971),
    and as few rows are changed as the way there needs: an order already even stays as it is.

    Parameters
    ----------
    orders : ndarray of int (n, k)
        Names, ≥ 0, in k positions; a name may be in many rows.

    Returns
    -------
    ndarray of int (n, k)
        Column numbers: row i in its new order is `orders[i, result[i]]`.
    """
    orders = np.asarray(orders, dtype=np.int64)
    places = np.tile(np.arange(orders.shape[1]), (len(orders), 1))
    changed = True
    while changed:  # each change lowers the sum of squared counts of names in positions, so it ends
        changed = False
        for one, other in combinations(range(orders.shape[1]), 2):
            now = np.take_along_axis(orders, places, axis=1)
            rows = _rows_to_turn(now[:, one].tolist(), now[:, other].tolist())
            places[np.ix_(rows, [one, other])] = places[np.ix_(rows, [other, one])]
            changed |= bool(rows)
    return places


def _rows_to_turn(first: list[int], second: list[int]) -> list[int]:
    """Return the rows to turn so that no name is first and second with numbers more than one apart.

    Rows are arrows from the first name to the second. A name with two more arrows out than in reaches, along arrows,
    one with more in than out; turning the arrows on the way takes two from its excess. With too many in, the same
    along arrows against their direction.
    """
    excess = dict.fromkeys([*first, *second], 0)
    arrows: dict[int, dict[int, list[int]]] = {name: {} for name in excess}
    for row, (one, other) in enumerate(zip(first, second, strict=True)):
        excess[one] += 1
        excess[other] -= 1
        arrows[one].setdefault(other, []).append(row)
    turned: set[int] = set()
    while uneven := [name for name, value in excess.items() if abs(value) > 1]:
        sign = 1 if excess[uneven[0]] > 0 else -1
        way = _way(uneven[0], arrows, excess, sign)
        for one, other in pairwise(way):
            tail, head = (one, other) if sign > 0 else (other, one)
            row = arrows[tail][head].pop()
            arrows[head].setdefault(tail, []).append(row)
            turned ^= {row}
        excess[way[0]] -= 2 * sign
        excess[way[-1]] += 2 * sign
    return sorted(turned)


def _way(start: int, arrows: dict[int, dict[int, list[int]]], excess: dict[int, int], sign: int) -> list[int]:
    """Return the names on a shortest way along arrows (sign −1: against them) to one with the opposite excess."""
    came: dict[int, int] = {start: start}
    waiting = deque([start])
    while excess[name := waiting.popleft()] * sign >= 0:
        nexts = arrows[name] if sign > 0 else {other: own[name] for other, own in arrows.items() if name in own}
        for other, rows in nexts.items():
            if rows and other not in came:
                came[other] = name
                waiting.append(other)
    way = [name]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]
