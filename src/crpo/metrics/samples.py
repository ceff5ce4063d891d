"""What metrics share: which samples count, and one number for each prompt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from crpo.signals import populations


def usable(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with status "ok", their rows numbered anew."""
    return samples[samples["status"] == "ok"].reset_index(drop=True)


def per_prompt(samples: pd.DataFrame, used: pd.DataFrame, value: Callable[[np.ndarray], float]) -> pd.Series:
    """Compute one number for each prompt from its usable samples.

    Parameters
    ----------
    samples : DataFrame
        All samples; each of their prompts gets a value.
    used : DataFrame
        What `usable` returns.
    value : callable
        Gets the row numbers (n,) in `used` of a prompt's samples that show any text; n is 1 at least.

    Returns
    -------
    Series of float
        By prompt_id, sorted; NaN for a prompt without a sample to compute from.
    """
    found = {used["prompt_id"].iloc[rows[0]]: value(rows) for rows in populations(used)} if len(used) else {}
    return pd.Series(found, dtype=float).reindex(sorted(set(samples["prompt_id"])))
