"""Quality: a reward model's score of an answer, or that of a learned rater where there is no reward model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crpo.learned_rater import LearnedRater
from crpo.models import fingerprint, load_reward_model
from crpo.signals import populations


@dataclass(frozen=True)
class Quality:
    """Score of an answer to its prompt, in the model's own unit. NaN for a blank answer.

    Parameters
    ----------
    quality_model : str
        The file of a learned rater (`.npz`; score points), or a hub id or folder of a sequence-classification reward
        model. A prompt the rater was fitted on is scored by the fold that did not see it.
    batch_size : int
        Answers per forward pass of a reward model.
    """

    quality_model: str = ""
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not self.quality_model:
            raise ValueError("quality needs a model: a learned rater's file, a hub id or a folder")

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        values = np.full(len(responses), np.nan)
        rows = np.sort(np.concatenate(populations(responses) or [np.zeros(0, int)]))
        if Path(self.quality_model).suffix == ".npz":
            values[rows] = LearnedRater.load(self.quality_model).predict(responses.iloc[rows])
        else:
            values[rows] = self._rewards(responses.iloc[rows])
        return values

    def _rewards(self, responses: pd.DataFrame) -> np.ndarray:
        import torch

        model, tokenizer = _reward_model(fingerprint(self.quality_model), self.quality_model)
        ids = [_conversation(tokenizer, p, r) for p, r in zip(responses["prompt"], responses["response"], strict=True)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        rewards = np.full(len(ids), np.nan)
        with torch.no_grad():
            for start in range(0, len(order), self.batch_size):
                own = order[start : start + self.batch_size]
                batch = tokenizer.pad({"input_ids": [ids[i] for i in own]}, return_tensors="pt").to(model.device)
                rewards[own] = model(**batch).logits[:, 0].double().cpu().numpy()
        return rewards


def _conversation(tokenizer: Any, prompt: str, response: str) -> list[int]:
    # Tokenised by the template alone: a second beginning-of-sequence token changes the order of the rewards.
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"])


@functools.lru_cache(maxsize=1)
def _reward_model(_: str, name: str) -> tuple[Any, Any]:
    return load_reward_model(name)
