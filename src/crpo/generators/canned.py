"""Replies from a table: samples recorded earlier, or written by hand, in the place of a model's."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crpo.errors import InputError
from crpo.generators import Decoding, requests_for
from crpo.tables import load_table


@dataclass(frozen=True)
class Canned:
    """Answer every prompt with the next of its replies in a table: for dry runs and tests, or to replay samples.

    Parameters
    ----------
    replies : str
        A table with `response` and `prompt` (the whole text of the prompt) or, without it, `prompt_id`; the n-th row of
        a prompt is its n-th sample. A `status` column is passed on; else a blank response is "empty", others are "ok".
        A sample without a row has status "error".
    grid : tuple of Decoding
        As for other generators; only the numbers of samples matter.

    Raises
    ------
    InputError
        When called and the table is not there or lacks the columns.
    """

    replies: str
    grid: tuple[Decoding, ...] = (Decoding(),)

    paid: ClassVar[bool] = False

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        by_text, known = _known(self.replies)
        for prompt_id, prompt in prompts:
            own = known.get(prompt if by_text else prompt_id, [])
            for request in requests_for(prompt_id, prompt, self.grid, seed):
                if request.key in had:
                    continue
                text, status = own[request.sample] if request.sample < len(own) else ("", "error")
                yield {
                    "key": request.key, "prompt_id": prompt_id, "prompt": prompt, "sample": request.sample,
                    "response": text, "status": status, "finish_reason": "stop" if status == "ok" else status,
                    "tokens": 0, "temperature": request.decoding.temperature, "top_p": request.decoding.top_p,
                    "top_k": request.decoding.top_k, "seed": seed,
                }  # fmt: skip


def _known(path: str) -> tuple[bool, dict[str, list[tuple[str, str]]]]:
    table = load_table(path)
    by_text = "prompt" in table
    if "response" not in table or not (by_text or "prompt_id" in table):
        raise InputError(f"{path} has no columns response and prompt", f"It has: {', '.join(map(str, table.columns))}.")
    keys, texts = table["prompt" if by_text else "prompt_id"].astype(str), table["response"].astype(str)
    statuses = table["status"] if "status" in table else ["ok" if text.strip() else "empty" for text in texts]
    known: dict[str, list[tuple[str, str]]] = {}
    for key, text, status in zip(keys, texts, statuses, strict=True):
        known.setdefault(key, []).append((text, str(status)))
    return by_text, known
