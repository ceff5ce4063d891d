"""The mean of a signal over a prompt's samples."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crpo.metrics.samples import usable
from crpo.signals import Signal


@dataclass(frozen=True)
class Mean:
    """Mean of a signal's raw values over the samples of a prompt that are scored; NaN where none is.

    A component that gives a Series by prompt_id is a metric already, and its values pass through.

    Parameters
    ----------
    signal : Signal
        Its population is the prompt's samples.
    """

    signal: Signal

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        values = self.signal(used)
        if not isinstance(values, pd.Series):
            values = pd.Series(values, index=used["prompt_id"], dtype=float).groupby(level=0).mean()
        return values.reindex(sorted(set(samples["prompt_id"])))
