"""What is drawn while training: always the same requests, so that two steps differ only by what was learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from crpo.generators import Decoding, requests_for
from crpo.generators.hf import Work, drawn_from
from crpo.recipe.sections import WatchSection
from crpo.tables import short_hash

COLUMNS = ("prompt_id", "prompt", "sample", "response", "status")
SEED = 0  # of the samples' random numbers, which are their own: no training's seed enters
TOKENS_PER_BATCH = 4096  # beside a training there is little memory to spare


def watched_work(trainer: Any, settings: WatchSection, prompts: Iterable[str] | None) -> Work:
    """Return the prompts to watch, as token ids, with the samples to ask of each.

    Parameters
    ----------
    trainer : ForestTrainer
    settings : WatchSection
    prompts : iterable of str, optional
        Which to choose from; without, the prompts that are trained on.
    """
    chat, known = trainer.chat, trainer.answers.prompts
    if prompts is None:
        texts = [chat.tokenizer.decode(ids, skip_special_tokens=True) for ids in known]
        found = dict(zip(texts, map(list, known), strict=True))
    else:
        found = {text: chat.prompt_ids(text) for text in _chosen(set(prompts), settings.prompts)}
    cells = [Decoding(samples=settings.samples)]
    return [
        (found[text], requests_for(short_hash(text), text, cells, SEED)) for text in _chosen(found, settings.prompts)
    ]


def _chosen(texts: Iterable[str], count: int) -> list[str]:
    """Return some of the texts: which ones depends neither on their order nor on what they have in common."""
    return sorted(texts, key=short_hash)[:count]


def draw_watched(model: Any, tokenizer: Any, work: Work, max_new_tokens: int) -> pd.DataFrame:
    """Draw the samples of a model in its evaluation mode, sorted by prompt and number.

    The same requests of the same weights give the same samples (see `crpo.generators.hf`); of other weights, samples
    drawn with the same random numbers.
    """
    records = drawn_from(model, tokenizer, work, max_new_tokens, tokens_per_batch=TOKENS_PER_BATCH)
    table = pd.DataFrame([{name: record[name] for name in COLUMNS} for record in records])
    return table.sort_values(["prompt_id", "sample"]).reset_index(drop=True)
