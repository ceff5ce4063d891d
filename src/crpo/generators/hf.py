"""Samples from a local Hugging Face model: prompts side by side, each encoded once for all its samples."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from crpo.generators import Decoding, Request, requests_for
from crpo.generators.branching import branches_rightly, draw
from crpo.generators.sampling import seeded_pick
from crpo.generators.thinking import without_thinking
from crpo.models import load_language_model
from crpo.progress import say


@dataclass(frozen=True)
class HuggingFace:
    """Draw samples with transformers.

    Each sample's random numbers come from its own generator (seeded by its key), two uniform numbers per token, so a
    sample depends on its key alone: not on the batch it is drawn in nor on what was drawn before. The limit of this is
    floating point: in another batch logits differ in their last digits, and a token whose random number falls within
    that difference of the border between two tokens comes out as the other one. `docs/benchmarks.md` says how often: in
    bfloat16, often.

    The model is loaded when the first sample is drawn, and once: it stays with the generator.

    Where a model does not give the same logits in a shared batch (`branches_rightly`, tried on two prompts at the
    start), a message says so and each prompt is given to the model's own `generate`.

    Parameters
    ----------
    model : str
        Hub id or folder; a LoRA folder is loaded onto its base.
    grid : tuple of Decoding
        Settings and numbers of samples.
    max_new_tokens : int
        A sample that does not end within it has status "truncated". Thinking between tags is taken out of the answer
        and counted (`thinking_characters`), but its tokens are among these.
    chat_template : {"own", "plain"}
    dtype, revision
        See `load_language_model`.
    tokens_per_batch : int
        Most tokens in memory at a time: samples in a batch times the longest prompt with `max_new_tokens`. A prompt
        whose samples are more than that by themselves is encoded again for each batch of them.
    """

    model: str
    grid: tuple[Decoding, ...]
    max_new_tokens: int = 64
    chat_template: str = "own"
    dtype: str = "float32"
    revision: str | None = None
    tokens_per_batch: int = field(default=16384, repr=False)

    paid: ClassVar[bool] = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings: a generator sent to another process loads its model there."""
        return {name: value for name, value in vars(self).items() if name != "_loaded"}

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_language_model(
            self.model, revision=self.revision, dtype=self.dtype, chat_template=self.chat_template
        )

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        asked = [requests_for(prompt_id, prompt, self.grid, seed) for prompt_id, prompt in prompts]
        wanted = _missing(asked, had)
        if not wanted:
            return
        model, chat = self._loaded
        work = [(chat.prompt_ids(own[0].prompt), own) for own in wanted]
        yield from drawn_from(
            model.eval(), chat.tokenizer, work, self.max_new_tokens, tokens_per_batch=self.tokens_per_batch, had=had
        )


Work = list[tuple[list[int], list[Request]]]


def drawn_from(
    model: Any, tokenizer: Any, work: Work, max_new_tokens: int, *, tokens_per_batch: int, had: Container[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield a record per sample of a model in memory, which is to be in its evaluation mode.

    Parameters
    ----------
    model, tokenizer
    work : list of (prompt's token ids, requests)
        At least one prompt; a prompt's requests share it.
    max_new_tokens, tokens_per_batch
        See `HuggingFace`.
    had : container of str
        Keys of samples that are not wanted any more.
    """
    ends = _end_tokens(model, tokenizer)
    drawing = _drawn_together if branches_rightly(model, [ids for ids, _ in work]) else _drawn_apart
    if drawing is _drawn_apart:
        say("  the model differs in shared batches: each prompt is a batch of its own")
    for planned in _batches(work, max_new_tokens, tokens_per_batch):
        batch = [(ids, left) for ids, own in planned for left in _missing([own], had)]
        read = {own[0].key: len(ids) for ids, own in batch}
        for request, ids in drawing(model, batch, ends, max_new_tokens):
            yield {**_record(request, ids, ends, tokenizer), "input_tokens": read.get(request.key, 0)}


def _record(request: Request, ids: list[int], ends: list[int], tokenizer: Any) -> dict[str, Any]:
    length = next((i for i, token in enumerate(ids) if token in ends), None)
    whole = tokenizer.decode(ids[:length], skip_special_tokens=True).replace("\x00", "\ufffd").strip()
    text, thinking = without_thinking(whole)
    status = "truncated" if length is None else "ok" if text else "empty"
    tokens = len(ids) if length is None else length + 1
    return {
        "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "sample": request.sample,
        "response": text, "status": status, "finish_reason": "length" if length is None else "stop",
        "tokens": tokens, "output_tokens": tokens, "thinking_characters": thinking,
        "temperature": request.decoding.temperature, "top_p": request.decoding.top_p,
        "top_k": request.decoding.top_k, "seed": request.seed,
    }  # fmt: skip


def _missing(asked: list[list[Request]], had: Container[str]) -> list[list[Request]]:
    """Return those requests that are not had yet, prompt by prompt, without prompts that miss none."""
    return [missing for own in asked if (missing := [request for request in own if request.key not in had])]


def _batches(work: Work, max_new_tokens: int, tokens_per_batch: int) -> Iterator[Work]:
    """Yield prompts with their requests, shortest first, as many at a time as the tokens allow, at least one."""
    batch: Work = []
    for ids, own in sorted(work, key=lambda each: len(each[0])):
        most = max(1, tokens_per_batch // (len(ids) + max_new_tokens))
        if batch and sum(len(requests) for _, requests in batch) + len(own) > most:
            yield batch
            batch = []
        *full, rest = [own[start : start + most] for start in range(0, len(own), most)]
        yield from ([(ids, part)] for part in full)
        batch.append((ids, rest))
    yield batch


def _drawn_together(
    model: Any, batch: Work, ends: list[int], max_new_tokens: int
) -> Iterator[tuple[Request, list[int]]]:
    if not batch:
        return
    requests = [request for _, own in batch for request in own]
    prompt_of = [number for number, (_, own) in enumerate(batch) for _ in own]
    pick = seeded_pick(requests, max_new_tokens, model.device)
    for row, ids in draw(model, [ids for ids, _ in batch], prompt_of, pick, ends, max_new_tokens):
        yield requests[row], ids


def _drawn_apart(model: Any, batch: Work, ends: list[int], max_new_tokens: int) -> Iterator[tuple[Request, list[int]]]:
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    # A model's own defaults (a repetition penalty, say) must not join the grid's settings unseen.
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[0])
    for ids, own in batch:
        prompts = torch.tensor([ids] * len(own), device=model.device)
        pick, rows = seeded_pick(own, max_new_tokens, model.device), list(range(len(own)))

        def leave_the_picked(
            so_far: Any, scores: Any, pick: Any = pick, rows: Any = rows, start: int = len(ids)
        ) -> Any:
            tokens = pick(scores, rows, so_far.shape[1] - start)
            return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)

        with torch.no_grad():
            drawn = model.generate(
                prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_new_tokens=max_new_tokens,
                logits_processor=LogitsProcessorList([leave_the_picked]),
            )  # fmt: skip
        yield from zip(own, drawn[:, len(ids) :].tolist(), strict=True)


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return list(dict.fromkeys([*ends, tokenizer.eos_token_id]))
