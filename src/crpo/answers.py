"""Distinct answers as token ids, and their log-probs under a model: the reference pass and the surprise signal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from crpo.chat import Chat, Message
from crpo.errors import InputError
from crpo.forest import Tree, plant, response_logps

Turn = str | Sequence[Message]


@dataclass(frozen=True)
class Answers:
    """Distinct answers to distinct prompts.

    Attributes
    ----------
    prompts : list of list of int
        Token ids of each prompt.
    responses : list of list of int
        Token ids of each answer, its end included.
    prompt_of : ndarray of int (n,)
        Prompt number of each answer.
    """

    prompts: list[list[int]]
    responses: list[list[int]]
    prompt_of: np.ndarray

    def trees(self, numbers: Iterable[int]) -> tuple[list[Tree], list[int]]:
        """Return trees over the given answers, one per prompt, and the answers in the trees' order."""
        by_prompt: dict[int, list[int]] = {}
        for number in dict.fromkeys(int(n) for n in numbers):
            by_prompt.setdefault(int(self.prompt_of[number]), []).append(number)
        trees = [Tree(self.prompts[p], [self.responses[n] for n in own]) for p, own in by_prompt.items()]
        return trees, [n for own in by_prompt.values() for n in own]

    def examples(self, n: int = 8) -> list[Tree]:
        """Return trees over the first answers and the longest one: what a layout is tried on."""
        longest = max(range(len(self.responses)), key=self.length)
        return self.trees([*range(min(n, len(self.responses))), longest])[0]

    def check_lengths(self, tokens_per_row: int) -> None:
        """Raise InputError when an answer with its prompt is longer than a row: nothing is cut silently."""
        longest = max(range(len(self.responses)), key=self.length, default=None)
        if longest is not None and self.length(longest) > tokens_per_row:
            raise InputError(
                f"an answer with its prompt has {self.length(longest)} tokens, over tokens_per_row: {tokens_per_row}",
                "Raise tokens_per_row, or leave out the longest answers.",
            )

    def length(self, number: int) -> int:
        """Return the tokens of an answer and its prompt."""
        return len(self.prompts[self.prompt_of[number]]) + len(self.responses[number])


def encode_answers(chat: Chat, turns: Iterable[tuple[Turn, Turn]]) -> tuple[Answers, np.ndarray]:
    """Encode (prompt, response) turns.

    Returns
    -------
    answers : Answers
        The distinct ones.
    numbers : ndarray of int
        For each turn, its answer's number.
    """
    prompts: dict[str, int] = {}
    found: dict[tuple[int, str], int] = {}
    prompt_ids, response_ids, prompt_of, numbers = [], [], [], []
    for prompt, response in turns:
        p = prompts.setdefault(repr(prompt), len(prompts))
        if p == len(prompt_ids):
            prompt_ids.append(chat.prompt_ids(prompt))
        number = found.setdefault((p, repr(response)), len(found))
        if number == len(response_ids):
            response_ids.append(chat.response_ids(prompt, response))
            prompt_of.append(p)
        numbers.append(number)
    return Answers(prompt_ids, response_ids, np.array(prompt_of, int)), np.array(numbers, int)


@torch.no_grad()
def answer_logps(
    model: nn.Module,
    answers: Answers,
    *,
    layout: str = "tree",
    tokens_per_row: int = 1024,
    rows_per_batch: int = 4,
    reference: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score every answer once.

    Parameters
    ----------
    model : causal language model
    answers : Answers
    layout, tokens_per_row
        See `forest.plant`.
    rows_per_batch : int
        Rows per forward pass.
    reference : bool
        Switch LoRA adapters off: the model under them is the reference.
    progress : callable, optional
        Called with the number of answers scored since the last call.

    Returns
    -------
    logps : ndarray of float (n,)
        Σ log p(token | prompt, tokens before), in nats.
    counts : ndarray of int (n,)
        Tokens of each answer, its end included.
    """
    answers.check_lengths(tokens_per_row)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logps, counts = np.full(len(answers.responses), np.nan), np.zeros(len(answers.responses), int)
    adapters_off = model.disable_adapter() if reference and hasattr(model, "peft_config") else nullcontext()  # type: ignore[operator]
    with adapters_off:
        for numbers in _batches(answers, tokens_per_row * rows_per_batch):
            trees, order = answers.trees(numbers)
            forest = plant(trees, layout=layout, tokens_per_row=tokens_per_row).to(device)
            values, sizes = response_logps(model, forest)
            logps[order], counts[order] = values.double().cpu().numpy(), sizes.cpu().numpy()
            if progress:
                progress(len(order))
    model.train(was_training)
    return logps, counts


def _batches(answers: Answers, budget: int) -> Iterator[list[int]]:
    lengths = np.array([len(response) for response in answers.responses])
    batch: list[int] = []
    size, last_prompt = 0, -1
    for number in np.lexsort((lengths, answers.prompt_of)):
        prompt = int(answers.prompt_of[number])
        cost = int(lengths[number]) + (len(answers.prompts[prompt]) if prompt != last_prompt or not batch else 0)
        if batch and size + cost > budget:
            yield batch
            batch, size = [], 0
            cost = int(lengths[number]) + len(answers.prompts[prompt])
        batch.append(int(number))
        size += cost
        last_prompt = prompt
    if batch:
        yield batch
