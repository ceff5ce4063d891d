"""Many tests at once."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Correct the p values of a family of tests by Holm's step-down rule.

    The k-th smallest of m becomes the largest of (m − j + 1)·p_(j) over j ≤ k, at most 1 (Holm 1979). Calling those
    below 0.05 significant calls any of the family so by mistake in at most 5 % of tables, however the tests depend on
    each other.

    Parameters
    ----------
    p : ndarray of float (m,)
        NaN is no test: it is not counted and stays NaN.

    Returns
    -------
    ndarray of float (m,)
        In row order.
    """
    p = np.asarray(p, float)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
