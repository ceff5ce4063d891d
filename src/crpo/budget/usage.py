"""Tokens and money spent on records, and the caps on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crpo.budget.prices import Price, dollars, money
from crpo.errors import InputError


@dataclass
class Usage:
    """Running totals of records, failed and superseded ones too: they are paid for as well.

    A record without counts adds to `samples` only. `counted` and `input_counted` say how many records that did not fail
    told their output and input tokens.
    """

    samples: int = 0
    counted: int = 0
    input_counted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one record."""
        output = record.get("output_tokens")
        output = record.get("tokens") if output is None else output
        answered = record.get("status", "ok") != "error"
        self.samples += 1
        self.counted += answered and output is not None
        self.input_counted += answered and record.get("input_tokens") is not None
        self.input_tokens += record.get("input_tokens") or 0
        self.output_tokens += output or 0
        self.thinking_tokens += record.get("thinking_tokens") or 0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def cost(self, price: Price | None) -> float:
        """Return US dollars; NaN where the price is not known."""
        return math.nan if price is None else dollars(self.input_tokens, self.output_tokens, price)

    def told(self, price: Price | None) -> str:
        """Return the totals in words."""
        thinking = f" ({self.thinking_tokens:,} of them thinking)" if self.thinking_tokens else ""
        return f"{self.tokens:,} tokens{thinking}" + ("" if price is None else f", {money(self.cost(price))}")


def usage_of(records: Iterable[Mapping[str, Any]]) -> Usage:
    """Return the totals of records."""
    usage = Usage()
    for record in records:
        usage.add(record)
    return usage


@dataclass(frozen=True)
class Caps:
    """Most that records may cost; None is no cap.

    A cap is looked at after every record, so it is passed by at most what was under way when it was reached.

    Attributes
    ----------
    max_tokens, max_cost
        Of all records of a file, and of those elsewhere; US dollars.
    tokens_elsewhere, cost_elsewhere
        What other files have used already that stand under the same caps.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    tokens_elsewhere: int = 0
    cost_elsewhere: float = 0.0

    def check(self, model: str, price: Price | None) -> None:
        """Raise InputError when a cap on the cost cannot be kept, as the price is not known."""
        if self.max_cost is not None and price is None:
            raise InputError(f"max_cost: the price of {model or 'this generator'} is not known",
                             "Give it in a file of prices (--prices, generate.prices), or cap max_tokens.")  # fmt: skip

    def reached(self, usage: Usage, price: Price | None) -> str | None:
        """Return which cap is reached, in words; None when none is."""
        tokens = usage.tokens + self.tokens_elsewhere
        if self.max_tokens is not None and tokens >= self.max_tokens:
            return f"{tokens:,} tokens are used, of max_tokens {self.max_tokens:,}"
        if self.max_cost is not None and usage.cost(price) + self.cost_elsewhere >= self.max_cost:
            return f"{money(usage.cost(price) + self.cost_elsewhere)} are spent, of max_cost {money(self.max_cost)}"
        return None
