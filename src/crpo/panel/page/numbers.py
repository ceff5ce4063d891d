"""How the page writes its numbers."""

from __future__ import annotations

import math

from crpo.report.views import number

UNKNOWN = "not known"


def rate(share: float) -> str:
    """Write a share in percent with one decimal, as a paper has win rates."""
    return number(100 * share, 1, UNKNOWN) + ("\u202f%" if math.isfinite(share) else "")


def span(low: float, high: float, *, share: bool = True, decimals: int = 1) -> str:
    """Write the ends of an interval; of shares in percent."""
    if not math.isfinite(low) or not math.isfinite(high):
        return UNKNOWN
    unit = 100 if share else 1
    return f"[{number(unit * low, decimals)}, {number(unit * high, decimals)}]"


def several(value: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{number(value, 0)} {one if value == 1 else many or one + 's'}"


def listed(names: list[str]) -> str:
    """Join names as in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def capital(words: str) -> str:
    """Begin words with a capital letter."""
    return words[:1].upper() + words[1:]


def place_in_words(place: int) -> str:
    """Say in which place, from 1, an answer was shown."""
    return {1: "first", 2: "second", 3: "third"}.get(place, f"in place {place}")
