"""Quality: a reward model's score of an answer, or that of a learned rater where there is no reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crpo.errors import InputError
from crpo.held_models import held
from crpo.learned_rater import LearnedRater
from crpo.models import fingerprint, load_reward_model
from crpo.progress import track
from crpo.signals import populations


@dataclass(frozen=True)
class Quality:
    """Score of an answer to its prompt, in the model's own unit.

    NaN for a blank answer, for one longer than a reward model's context with its prompt, and where the model gives no
    finite number.

    Parameters
    ----------
    quality_model : str
        The file of a learned rater (`.npz`; score points), or a hub id or folder of a sequence-classification reward
        model with a chat template and one output. A prompt the rater was fitted on is scored by the fold that did not
        see it.
    doubled_bos : bool
        Put a second beginning-of-sequence token before the conversation, as the official code does by tokenising
        templated text as if it were plain. It changes the order of the answers; for parity only.
    tokens_per_row : int
        See `crpo.rewards.rewards`.
    quality_dtype : str
        "float32", "bfloat16" or "float64": of the reward model's weights.
    quality_revision : str, optional
        Commit of a hub model.
    """

    quality_model: str = ""
    doubled_bos: bool = False
    tokens_per_row: int = 512
    quality_dtype: str = "float32"
    quality_revision: str | None = None

    def __post_init__(self) -> None:
        if not self.quality_model:
            raise ValueError("quality needs a model: a learned rater's file, a hub id or a folder (--quality-model)")

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        values = np.full(len(responses), np.nan)
        rows = np.sort(np.concatenate([np.zeros(0, int), *populations(responses)]))
        if Path(self.quality_model).suffix == ".npz":
            values[rows] = LearnedRater.load(self.quality_model).predict(responses.iloc[rows])
        else:
            scored = responses.iloc[rows]
            values[rows] = self.rewards(list(zip(scored["prompt"], scored["response"], strict=True)))
        return values

    def rewards(self, turns: Sequence[tuple[str, str]]) -> np.ndarray:
        """Return the reward model's scores of (prompt, response) turns (n,), blank responses too; NaN as above."""
        from crpo.rewards import rewards

        source = self.quality_model
        settings = {"revision": self.quality_revision, "dtype": self.quality_dtype}
        about = (fingerprint(source), source, *settings.values())  # a folder's model may change in one process
        model, tokenizer = held("reward model", about, partial(load_reward_model, source, **settings))
        distinct = list(dict.fromkeys(turns))
        conversations = [self._tokens(tokenizer, *turn) for turn in distinct]
        with track("quality", len(distinct)) as advance:
            found = rewards(model, conversations, [prompt for prompt, _ in distinct],
                            tokens_per_row=self.tokens_per_row, progress=advance)  # fmt: skip
        value_of = dict(zip(distinct, found.tolist(), strict=True))
        return np.array([value_of[turn] for turn in turns], float)

    def _tokens(self, tokenizer: Any, prompt: str, response: str) -> list[int]:
        # Tokenised by the template alone: the tokenizer would add a second beginning-of-sequence token.
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        ids = list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"])
        if not self.doubled_bos:
            return ids
        if tokenizer.bos_token_id is None:
            raise InputError("doubled_bos: the tokenizer has no beginning-of-sequence token", "Leave the setting out.")
        return [int(tokenizer.bos_token_id), *ids]
