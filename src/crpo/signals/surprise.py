"""Surprise: how unexpected an answer is to a language model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from crpo.held_models import held
from crpo.models import fingerprint, load_language_model
from crpo.progress import track
from crpo.signals import populations

FORMS = ("perplexity", "bits_per_token", "bits", "paper", "official")


@dataclass(frozen=True)
class Surprise:
    """Surprise of an answer given its prompt, over the answer's tokens (its end included).

    With P = p(y|x) and n tokens:

    - `perplexity` P^(−1/n), ≥ 1;
    - `bits_per_token` −log₂P/n, ≥ 0, its logarithm: as it does not grow with length, answers of all lengths compare;
    - `bits` −log₂P, ≥ 0, Shannon's surprisal; grows with length;
    - `paper` 2^(−log₂P), the paper's equation as printed. Short answers reach 2^583, so the raw value *is its base-2
      logarithm*, the number of `bits`; scaling to [0, 1] is of the power all the same (`grouped.scale_powers_within`).
      Nearly every answer then gets 0 but the longest of its prompt;
    - `official` perplexity of the whole conversation as the official code computes it, prompt tokens averaged in and
      with a second beginning-of-sequence token; for parity only. (Its values also depend on the batch where a
      tokenizer pads on the left; ours are those of one conversation alone.)

    NaN for a blank answer, for an answer longer than the model's context with its prompt, and where the model gives no
    finite number.

    Parameters
    ----------
    form : {"perplexity", "bits_per_token", "bits", "paper", "official"}
    language_model : str
        Hub id or folder.
    chat_template : {"own", "plain"}
        See `crpo.chat.Chat`; `official` needs "own".
    revision : str, optional
        Commit of a hub model.
    dtype : str
        "float32", "bfloat16" or "float64"; log-probs are taken in float32 at least.
    tokens_per_row : int
        See `crpo.surprisal.answer_bits`.
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
        if self.form == "official" and self.chat_template != "own":
            raise ValueError("the form official needs chat_template: own")
        if not self.language_model:
            raise ValueError("surprise needs a language model: a hub id or a folder (--language-model)")

    @property
    def raw_is_exponent(self) -> bool:
        """Whether the signal is 2 to the power of the raw value."""
        return self.form == "paper"

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        values = np.full(len(responses), np.nan)
        rows = _filled(responses)
        if len(rows):
            bits, tokens = self._bits(_turns(responses, rows))
            values[rows] = bits if self.form in ("bits", "paper") else bits / tokens
            if self.form in ("perplexity", "official"):
                values[rows] = np.exp2(values[rows])
        return values

    def tokens(self, responses: pd.DataFrame) -> pd.DataFrame:
        """Return the surprise of every token of the answers, whatever the form.

        Returns
        -------
        DataFrame
            response_id (the row number where there is none), place (from 0), text, bits: −log₂ p(token | prompt, tokens
            before). Tokens that only together make a character are one row, their bits added; the end of an answer is
            "⏎". Answers that are blank, or too long for the model, have no rows.
        """
        from crpo.answers import encode_answers
        from crpo.surprisal import token_bits, token_texts

        rows = _filled(responses)
        columns = ["response_id", "place", "text", "bits"]
        if not len(rows):
            return pd.DataFrame(columns=columns)  # type: ignore[arg-type]
        names = responses.get("response_id", responses.index.to_series()).tolist()
        model, chat = self._loaded()
        answers, numbers = encode_answers(chat, _turns(responses, rows))
        bits = token_bits(model, answers)
        found = []
        for row, number in zip(rows, numbers, strict=True):
            pieces = token_texts(chat.tokenizer, answers.responses[number], bits[number])
            found += [(names[row], place, *piece) for place, piece in enumerate(pieces)]
        return pd.DataFrame(found, columns=columns)  # type: ignore[arg-type]

    def _bits(self, turns: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        from crpo.answers import encode_answers
        from crpo.surprisal import answer_bits, conversation_answers

        model, chat = self._loaded()
        if self.form == "official":
            answers, numbers = conversation_answers(chat, turns), np.arange(len(turns))
        else:
            answers, numbers = encode_answers(chat, turns)
        with track("surprise", len(answers.responses)) as advance:
            bits, tokens = answer_bits(model, answers, tokens_per_row=self.tokens_per_row, progress=advance)
        return bits[numbers], tokens[numbers]

    def _loaded(self) -> tuple[Any, Any]:
        return language_model(self.language_model, self.chat_template, self.dtype, self.revision)


def _filled(responses: pd.DataFrame) -> np.ndarray:
    return np.sort(np.concatenate([np.zeros(0, int), *populations(responses)]))


def _turns(responses: pd.DataFrame, rows: np.ndarray) -> list[tuple[str, str]]:
    texts = responses.iloc[rows]
    return list(zip(texts["prompt"], texts["response"], strict=True))


def language_model(name: str, chat_template: str, dtype: str, revision: str | None) -> tuple[Any, Any]:
    """Return a language model and its chat (`crpo.models.load_language_model`), held as `crpo.held_models` says."""
    settings = {"chat_template": chat_template, "dtype": dtype, "revision": revision}
    about = (fingerprint(name), name, *settings.values())  # a folder's model may be trained anew in one process
    return held("language model", about, partial(load_language_model, name, **settings))
