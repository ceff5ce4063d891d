"""Judges of equivalence beside people's judgements: one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crpo.components import Spec, build, provenance, spec_name
from crpo.judges import JUDGES
from crpo.noveltybench.agreement import accuracy, auc, best_threshold, f1, out_of_fold, over_prompts, prompt_codes


def judge_table(pairs: pd.DataFrame, judges: Sequence[Spec], folds: int = 10) -> pd.DataFrame:
    """Compare judges with people.

    Parameters
    ----------
    pairs : DataFrame
        prompt, left, right, same; see `crpo.noveltybench.agreement.read_human_pairs`.
    judges : sequence of spec
        See `crpo.components.build`.
    folds : int
        Folds of prompts, so that no prompt is on both sides.

    Returns
    -------
    DataFrame
        judge, settings, threshold; accuracy, f1 (at the judge's threshold) and auc, each with _low and _high (95 %
        bootstrap over prompts); fitted_threshold (of the highest F1 on all pairs), and fitted_accuracy and fitted_f1
        with _low and _high, of decisions out of fold; pairs, share_same.
    """
    same, prompts = pairs["same"].to_numpy(bool), prompt_codes(pairs)
    built = [build(spec, JUDGES, "judge") for spec in judges]
    rows = []
    for spec, judge in zip(judges, built, strict=True):
        scores = np.asarray(judge(pairs["prompt"].tolist(), pairs["left"].tolist(), pairs["right"].tolist()), float)
        decided, fitted = scores >= judge.threshold, out_of_fold(scores, same, prompts, folds=folds)
        found = {"accuracy": (accuracy, decided), "f1": (f1, decided), "auc": (auc, scores),
                 "fitted_accuracy": (accuracy, fitted), "fitted_f1": (f1, fitted)}  # fmt: skip
        numbers = {}
        for name, (measure, values) in found.items():
            estimate = over_prompts(measure, values, same, prompts)
            numbers |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append({"judge": spec_name(spec), "settings": provenance(judge), "threshold": judge.threshold, **numbers,
                     "fitted_threshold": best_threshold(scores, same), "pairs": len(pairs),
                     "share_same": float(same.mean())})  # fmt: skip
    return pd.DataFrame(rows)
