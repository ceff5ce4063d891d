"""Appropriateness of length: whether samples keep to the length their task asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.metrics.samples import per_prompt, usable
from crpo.signals.length import word_counts
from crpo.tasks import read_tasks


@dataclass(frozen=True)
class LengthFit:
    """Share of a prompt's samples with at most the words that their task's template allows in evaluation, in [0, 1].

    The templates ask for "about" so many sentences, which no count can hold an answer to: only words are counted
    (`crpo.signals.length.word_counts`). Models are asked for the length with `generate.lengths`; without it this tells
    what they do unasked. NaN where the samples have no `task`, and for a task that states no length.

    Parameters
    ----------
    tasks : str
        A file of task templates of one's own, as `data.tasks`; empty: the package's.
    """

    tasks: str = ""

    def __post_init__(self) -> None:
        read_tasks(self.tasks or None)

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used, templates = usable(samples), read_tasks(self.tasks or None)
        words = word_counts(used["response"])

        def share(rows: np.ndarray) -> float:
            length = templates.template(used["task"].iloc[rows[0]]).length if "task" in used else None
            return np.nan if length is None else float((words[rows] <= length.words).mean())

        return per_prompt(samples, used, share)
