"""Short answers, decided without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RULES = ("words", "equal", "model")
WORDS = 5  # of the longer answer, at most


def without_model(rule: str, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """Return for each pair what a rule decides: 1 the same, 0 not, NaN where the model has to.

    The benchmark's own code has had three rules, and published runs differ in them:

    - "words": where the longer answer has at most 5 words (split at white space, lower case), they are the same when
      twice the number of different words they share is at least the longer one's length. Runs from 2025 on, CrPO's too.
    - "model": no rule. The first runs, of March 2025.
    - "equal": equal texts are the same. What the repository's code of 2026 does under metric version 1.0.

    Parameters
    ----------
    rule : {"words", "equal", "model"}
    left, right : sequence of str (n,)

    Returns
    -------
    ndarray of float (n,)
    """
    if rule not in RULES:
        raise ValueError(f"short_answers is {rule!r}; choose one of {', '.join(RULES)}")
    if rule == "model":
        return np.full(len(left), np.nan)
    if rule == "equal":
        return np.array([1.0 if one == other else np.nan for one, other in zip(left, right, strict=True)], float)
    return np.array([_by_words(one, other) for one, other in zip(left, right, strict=True)], float)


def _by_words(left: str, right: str) -> float:
    one, other = left.lower().split(), right.lower().split()
    longer = max(len(one), len(other))
    return float(2 * len({*one} & {*other}) >= longer) if longer <= WORDS else np.nan
