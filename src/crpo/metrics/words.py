"""Length: it stands beside every creativity metric, because most of them move with it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crpo.metrics.samples import usable


@dataclass(frozen=True)
class Words:
    """Mean number of words (separated by white space) of a prompt's samples; NaN where there is none."""

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        lengths = pd.Series([float(len(text.split())) for text in used["response"]], index=used.index, dtype=float)
        return lengths.groupby(used["prompt_id"]).mean().reindex(sorted(set(samples["prompt_id"])))
