"""Generators: samples for prompts, one record per sample as it arrives.

A generator is called with prompts, the seed, and the keys of samples already had; it yields a record per new sample.
When a budget is spent it is closed, unless it has a class attribute `drains` that is true: then it promises to look
into `had` before every request it sends, `had` says yes to every key from then on, and what is under way still arrives.
Settings that change no sample are fields with `repr=False`: they may change between two runs of one file of records.

A class attribute `paid` that is false says that its samples cost no money. A method `ready()` raises what would stop
the first sample (no key, no library) and asks nothing; `will_ask(requests, records)` is for generators that need more
than one reply to a sample (see `InTurns`). All three are optional.

A record has `key, prompt_id, prompt, sample, response, status, finish_reason, tokens` (of the reply)`, temperature,
top_p, top_k, seed`, and may have `input_tokens, output_tokens, thinking_tokens` (int, or None where not known): what is
paid for. `output_tokens` holds all that was written, thinking included, of which `thinking_tokens` says how much. Where
one request brings several samples, its input tokens stand in one record and 0 in the others. `attempts` (1 where it is
missing) says how often the sample was asked for.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from crpo.records import STATUSES
from crpo.tables import short_hash

__all__ = ["GENERATORS", "STATUSES", "Decoding", "Generator", "Request", "requests_for"]

GENERATORS = {
    "hf": "crpo.generators.hf:HuggingFace",
    "canned": "crpo.generators.canned:Canned",
    "openai": "crpo.generators.openai:OpenAI",
    "anthropic": "crpo.generators.anthropic:Anthropic",
    "gemini": "crpo.generators.gemini:Gemini",
    "vllm": "crpo.generators.vllm:Vllm",
    "in_turns": "crpo.generators.in_turns:InTurns",
}


@dataclass(frozen=True)
class Decoding:
    """One cell of a decoding grid: how samples are drawn, and how many."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 1


@dataclass(frozen=True)
class Request:
    """One sample to draw; its seed is its own, so neither sharding nor resuming changes it."""

    prompt_id: str
    prompt: str
    sample: int
    decoding: Decoding
    seed: int

    @property
    def key(self) -> str:
        """Identity of the sample among those of one model with one revision: 24 hexadecimal digits.

        Model, revision and whatever else holds for all samples of a file are not in it but in the file's first line
        (`crpo.records`): so two models answer a prompt with the same random numbers, and compare in pairs.
        """
        cell = (float(self.decoding.temperature), float(self.decoding.top_p), int(self.decoding.top_k))
        parts = (self.prompt_id, self.prompt, str(self.sample), repr(cell), str(self.seed))
        return short_hash("first", *parts) + short_hash("second", *parts)

    @property
    def random_seed(self) -> int:
        """Seed of this sample's own random numbers, under 2^48, so that a request to a server can carry it too."""
        return int(self.key[-12:], 16)


class Generator(Protocol):
    """What every generator does."""

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        """Yield a record per sample whose key is not in `had`, for (prompt_id, prompt) pairs."""
        ...


def requests_for(prompt_id: str, prompt: str, grid: Sequence[Decoding], seed: int) -> list[Request]:
    """Return a prompt's requests over the grid, samples numbered from 0."""
    cells = [cell for cell in grid for _ in range(cell.samples)]
    return [Request(prompt_id, prompt, number, cell, seed) for number, cell in enumerate(cells)]
