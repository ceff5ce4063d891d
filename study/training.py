"""What each arm was trained with: its pairs' weights, and what its training showed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.arms import Arm
from crpo.report.views import percent
from crpo.tables import read_table
from run_folder import Run
from wording import digits, table

COUNTED = ("pairs", "share of weights that are zero", "effective sample size, in pairs", "mean weight")  # by weigh


def trainings(run: Run) -> pd.DataFrame:
    """Return a row per trained arm.

    Returns
    -------
    DataFrame
        model; pairs, share_zero (of weights), effective (sample size, pairs), mean_weight; clipped (share of the logged
        steps whose gradient was longer than `train.max_grad_norm`), accuracy (share of pairs whose chosen answer has
        the higher reward, at the last logged step); the last two are means over seeds.
    """
    weights = run.pair_weights().set_index("model")
    rows = []
    for model in weights.index:
        own = [_history(run, arm) for arm in run.arms if arm.model == model]
        told = weights.loc[model]
        rows.append((model, *(told[name] for name in COUNTED), *np.array(own).mean(axis=0)))
    names = ["model", "pairs", "share_zero", "effective", "mean_weight", "clipped", "accuracy"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def shown(frame: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    cells = [
        (row["model"], digits(row["pairs"]), percent(row["share_zero"]), digits(row["effective"]),
         digits(row["mean_weight"]), percent(row["clipped"]), percent(row["accuracy"]))
        for row in frame.to_dict("records")
    ]  # fmt: skip
    names = ["arm", "pairs", "weights of 0", "effective sample size, pairs", "mean weight", "steps clipped",
             "chosen above rejected at the end"]  # fmt: skip
    return table(pd.DataFrame(cells, columns=pd.Index(names)))


def _history(run: Run, arm: Arm) -> tuple[float, float]:
    history = read_table(run.folder / "train" / arm.folder / "history.csv", "history")
    lengths = history.loc[history["name"] == "grad_norm", "value"].to_numpy(float)
    right = history.loc[history["name"] == "accuracy", "value"].to_numpy(float)
    clipped = float((lengths > arm.recipe.train.max_grad_norm).mean()) if len(lengths) else np.nan
    return clipped, float(right[-1]) if len(right) else np.nan
