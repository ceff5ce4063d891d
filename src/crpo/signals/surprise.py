"""Surprise: how unexpected an answer is to a language model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crpo.models import fingerprint, load_language_model
from crpo.signals import populations

FORMS = ("perplexity", "bits_per_token", "bits")


@dataclass(frozen=True)
class Surprise:
    """Surprise of an answer given its prompt, over the answer's tokens (its end included).

    With P = p(y|x) and n tokens: `perplexity` P^(−1/n) (≥ 1), `bits_per_token` −log₂P/n, `bits` −log₂P. Deviation:
    the official code averages prompt tokens in and adds a second beginning-of-sequence token. NaN for a blank answer.

    Parameters
    ----------
    form : {"perplexity", "bits_per_token", "bits"}
    language_model : str
        Hub id or folder.
    chat_template : {"own", "plain"}
        See `crpo.chat.Chat`.
    revision : str, optional
        Commit of a hub model.
    dtype : str
        "float32", "bfloat16" or "float64"; log-probs are taken in float32 at least.
    tokens_per_row : int
        Row budget of the forest.
    """

    form: str = "perplexity"
    language_model: str = ""
    chat_template: str = "own"
    dtype: str = "float32"
    revision: str | None = None
    tokens_per_row: int = 512

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"unknown form {self.form!r}; choose one of {', '.join(FORMS)}")
        if not self.language_model:
            raise ValueError("surprise needs a language model: a hub id or a folder")

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        from crpo.answers import answer_logps, encode_answers
        from crpo.forest import agreeing_layout

        values = np.full(len(responses), np.nan)
        rows = np.sort(np.concatenate(populations(responses) or [np.zeros(0, int)]))
        source = self.language_model
        model, chat = _language_model(fingerprint(source), source, self.chat_template, self.dtype, self.revision)
        texts = responses.iloc[rows]
        answers, numbers = encode_answers(chat, zip(texts["prompt"], texts["response"], strict=True))
        if not len(rows):
            return values
        layout, _ = agreeing_layout(model, answers.examples(), "tree", self.tokens_per_row)
        logps, counts = answer_logps(model, answers, layout=layout, tokens_per_row=self.tokens_per_row)
        bits = -logps[numbers] / np.log(2)
        values[rows] = {"bits": bits, "bits_per_token": bits / counts[numbers],
                        "perplexity": np.exp2(bits / counts[numbers])}[self.form]  # fmt: skip
        return values


@functools.lru_cache(maxsize=1)  # by fingerprint: a folder's model may be trained anew in one process
def _language_model(_: str, name: str, chat_template: str, dtype: str, revision: str | None) -> tuple[Any, Any]:
    return load_language_model(name, chat_template=chat_template, dtype=dtype, revision=revision)
