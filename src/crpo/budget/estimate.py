"""What samples will use, before they are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crpo.budget.prices import Price, dollars, money
from crpo.budget.usage import Usage

BYTES_PER_TOKEN = 4  # of English text, as providers' own pages say; only for estimates, never for what is counted


@dataclass(frozen=True)
class Estimate:
    """What the missing samples will use.

    Attributes
    ----------
    input_tokens : float
        As in the records already there, on average; without any from the prompts' bytes, and with the replies they
        quote at their longest (NaN where that is not known).
    output_tokens : float
        As in the records already there; without any the most possible. NaN where neither is known.
    at_most : bool
        Whether `output_tokens` is the most possible.
    cost : float
        US dollars, NaN where price or tokens are not known.
    seconds : float
        At the pace of earlier runs (`crpo.budget.pace`); NaN where there was none.
    quoting : bool
        Whether `input_tokens` holds quoted replies at their longest.
    """

    input_tokens: float
    output_tokens: float
    at_most: bool
    cost: float
    seconds: float
    quoting: bool = False

    def facts(self) -> dict[str, str]:
        """Return the estimate in words."""
        most = "at most" if self.at_most else "about"
        return {
            "input tokens": _told(self.input_tokens, f"{'at most' if self.quoting else 'about'} {{:,.0f}}"),
            "output tokens": _told(self.output_tokens, f"{most} {{:,.0f}}"),
            "cost": "not known" if math.isnan(self.cost) else f"{most} {money(self.cost)}",
            "time": _told(self.seconds, "about {:,.0f} s"),
        }


def estimate_tokens(
    prompts: Sequence[str], usage: Usage, max_new_tokens: int | None, price: Price | None, seconds: float = math.nan,
    quoted: int = 0,
) -> Estimate:  # fmt: skip
    """Return what one reply to each of `prompts` (one entry a reply) will use, given what earlier ones used.

    Parameters
    ----------
    prompts : sequence of str
    usage : Usage
        Of the records already there.
    max_new_tokens : int, optional
        Most tokens of a reply; without it, and without records, the output is not known.
    price : Price, optional
    seconds : float
        Time a reply took so far; NaN where not known.
    quoted : int
        Replies that stand in the prompts besides their text, all prompts together.
    """
    bytes_of = {prompt: len(prompt.encode("utf-8", "surrogatepass")) for prompt in set(prompts)}
    tokens_in = float(sum(-(-bytes_of[prompt] // BYTES_PER_TOKEN) for prompt in prompts))
    longest = math.nan if max_new_tokens is None else float(max_new_tokens)
    if usage.input_counted:
        tokens_in = usage.input_tokens / usage.input_counted * len(prompts)
    elif quoted:
        tokens_in += quoted * longest
    most = longest * len(prompts)
    tokens_out = usage.output_tokens / usage.counted * len(prompts) if usage.counted else most
    cost = math.nan if price is None else dollars(tokens_in, tokens_out, price)
    quoting = bool(quoted) and not usage.input_counted
    return Estimate(tokens_in, tokens_out, not usage.counted, cost, seconds * len(prompts), quoting)


def _told(value: float, words: str) -> str:
    return "not known" if math.isnan(value) else words.format(value)
