"""Which figures the page has, from the tables of a run."""

from __future__ import annotations

import pandas as pd

from crpo.report.drawing import Picture
from crpo.stages.breakdown import by_seed
from figures import difference_figure, lambda_figure, trade_off_figure, words_figure
from names import BASELINE, GAIN, INDEPENDENT, SIDES, TRAINED
from run_folder import Run


def pictures_of(run: Run, plane: pd.DataFrame, scores: pd.DataFrame, people: float) -> list[Picture]:
    """Draw all figures; those of differences have the plan's arms and the remedies, at λ = 1."""
    models = [model for model in run.models(swept=False) if model != BASELINE]
    differences, each = run.from_baseline(), by_seed(scores)
    whole, seeds = run.estimates[run.estimates["split"] == "all"], each.astype({"seed": str})
    own = {side: differences[differences["split"] == side] for side in ("all", *SIDES)}
    return [
        trade_off_figure(plane, _by_seed_from_baseline(each)),
        difference_figure("trained-metrics", own["all"], TRAINED, models),
        difference_figure("independent", own["all"], INDEPENDENT, models),
        *(difference_figure(f"independent-{side.replace(' ', '-')}", own[side], INDEPENDENT, models) for side in SIDES),
        lambda_figure(whole, seeds),
        words_figure(whole, run.models(swept=False), people),
    ]


def _by_seed_from_baseline(each: pd.DataFrame) -> pd.DataFrame:
    """Return model, seed, gain and quality, both as differences from DPO of the same seed."""
    wide = each[each["metric"].isin([GAIN, "quality"])].pivot(index=["model", "seed"], columns="metric", values="value")
    wide = wide.reindex(columns=[GAIN, "quality"])
    if BASELINE not in wide.index.get_level_values("model"):
        return pd.DataFrame(columns=pd.Index(["model", "seed", "gain", "quality"]))
    base = wide.xs(BASELINE).reindex(wide.index.get_level_values("seed"))
    return (wide - base.to_numpy()).set_axis(["gain", "quality"], axis=1).reset_index()
