"""Samples from a local Hugging Face model, a prompt's samples in one batch."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crpo.generators import Decoding, Request, requests_for
from crpo.models import load_language_model


@dataclass(frozen=True)
class HuggingFace:
    """Draw samples with transformers' `generate`.

    Each sample's random numbers come from its own generator (seeded by its key), one uniform number per token, so a
    sample does not depend on the batch it was drawn in or on what was drawn before.

    Parameters
    ----------
    model : str
        Hub id or folder; a LoRA folder is loaded onto its base.
    grid : tuple of Decoding
        Settings and numbers of samples.
    max_new_tokens : int
        A sample that does not end within it has status "truncated".
    chat_template : {"own", "plain"}
    dtype, revision
        See `load_language_model`.
    """

    model: str
    grid: tuple[Decoding, ...]
    max_new_tokens: int = 64
    chat_template: str = "own"
    dtype: str = "float32"
    revision: str | None = None

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        from transformers import GenerationConfig

        model, chat = load_language_model(
            self.model, revision=self.revision, dtype=self.dtype, chat_template=self.chat_template
        )
        model.eval()
        ends = _end_tokens(model, chat)
        # A model's own defaults (a repetition penalty, say) must not join the grid's settings unseen.
        model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[0])
        for prompt_id, prompt in prompts:
            wanted = [r for r in requests_for(prompt_id, prompt, self.grid, seed) if r.key not in had]
            if wanted:
                yield from self._draw(model, chat, ends, wanted)

    def _draw(self, model: Any, chat: Any, ends: list[int], wanted: list[Request]) -> Iterator[dict[str, Any]]:
        import torch
        from transformers import LogitsProcessorList

        prompt = torch.tensor([chat.prompt_ids(wanted[0].prompt)], device=model.device)
        sampler = LogitsProcessorList([_seeded_sampling(wanted)])
        batch = prompt.expand(len(wanted), -1)
        with torch.no_grad():
            drawn = model.generate(
                batch,
                attention_mask=torch.ones_like(batch),
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                logits_processor=sampler,
            )
        for request, ids in zip(wanted, drawn[:, prompt.shape[1] :].tolist(), strict=True):
            yield self._record(request, ids, ends, chat)

    def _record(self, request: Request, ids: list[int], ends: list[int], chat: Any) -> dict[str, Any]:
        length = next((i for i, token in enumerate(ids) if token in ends), None)
        text = chat.tokenizer.decode(ids[:length], skip_special_tokens=True).replace("\x00", "\ufffd").strip()
        status = "truncated" if length is None else "ok" if text else "empty"
        return {
            "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "sample": request.sample,
            "response": text, "status": status, "finish_reason": "length" if length is None else "stop",
            "tokens": len(ids) if length is None else length + 1, "temperature": request.decoding.temperature,
            "top_p": request.decoding.top_p, "top_k": request.decoding.top_k, "seed": request.seed,
        }  # fmt: skip


def _end_tokens(model: Any, chat: Any) -> list[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return list(dict.fromkeys([*ends, chat.tokenizer.eos_token_id]))


def _seeded_sampling(wanted: list[Request]) -> Any:
    """Return a logits processor that leaves, in each row, only the token the row's own random number picks."""
    import torch
    from transformers import (
        LogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    rows_of: dict[Decoding, list[int]] = {}
    for row, request in enumerate(wanted):
        rows_of.setdefault(request.decoding, []).append(row)
    generators = [np.random.Generator(np.random.PCG64(int(request.key, 16))) for request in wanted]

    class SeededSampling(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            scores = scores.float()
            for cell, rows in rows_of.items():
                own = TemperatureLogitsWarper(cell.temperature)(input_ids[rows], scores[rows])
                own = TopKLogitsWarper(cell.top_k)(input_ids[rows], own) if cell.top_k else own
                scores[rows] = TopPLogitsWarper(cell.top_p)(input_ids[rows], own) if cell.top_p < 1 else own
            cumulative = scores.double().softmax(-1).cumsum(-1)
            point = torch.tensor([[g.random()] for g in generators], dtype=torch.float64, device=scores.device)
            picked = torch.searchsorted(cumulative, point * cumulative[:, -1:], right=True).clamp(
                max=scores.shape[1] - 1
            )
            return torch.full_like(scores, -torch.inf).scatter(1, picked, 0.0)

    return SeededSampling()
