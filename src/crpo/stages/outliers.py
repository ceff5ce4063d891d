"""Values far from the others, by a stated rule; counted, never taken out silently."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.recipe.sections import OutlierSection

TO_NORMAL = 1.4826  # MAD of a normal distribution, as a share of its standard deviation, is 1/1.4826


def mark_outliers(section: OutlierSection | None, scores: pd.DataFrame) -> pd.DataFrame:
    """Apply the outlier rule to a table of scores.

    A value is an outlier where |value − median| > k·1.4826·MAD (Leys et al. 2013), median and MAD being over the
    prompts, and seeds, of the same model, metric and task. Where more than half of them are equal MAD is 0, and none is
    one.

    Parameters
    ----------
    section : OutlierSection or None
        The rule; None leaves the table as it is.
    scores : DataFrame
        See `crpo.stages.evaluate`.

    Returns
    -------
    DataFrame
        The scores with a column `outlier` (bool): such a value is NaN with the rule "drop", and at the bound with
        "winsorise".
    """
    if section is None:
        return scores
    values, cells = scores["value"], scores.groupby(["model", "metric", "task"], sort=False)["value"]
    middle = cells.transform("median")
    spread = (values - middle).abs().groupby([scores[name] for name in ("model", "metric", "task")]).transform("median")
    bound = np.where(spread > 0, section.deviations * TO_NORMAL * spread, np.inf)
    outlier = (values - middle).abs() > bound
    moved = middle + np.clip(values - middle, -bound, bound)
    return scores.assign(value=moved if section.rule == "winsorise" else values.mask(outlier), outlier=outlier)
