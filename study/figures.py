"""The figures of the results, in the look of the report's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crpo.report.captions import titled
from crpo.report.drawing import INK, WIDE, Picture, draw, say, short
from crpo.report.figures.dots import draw_dots
from crpo.report.figures.points import CUT, Points, draw_points, frame
from crpo.report.looks import Look, looks_of
from crpo.report.views import floats, number
from names import BASELINE, LAMBDAS, SINGLE, at_lambda

INTERVALS = "Bars: 95\u202f% intervals over prompts and seeds."


def trade_off_figure(table: pd.DataFrame, by_seed: pd.DataFrame) -> Picture:
    """Draw gain in creativity against change in quality, a point for each arm and small ones for its seeds.

    Parameters
    ----------
    table : DataFrame
        Of `questions.trade_off`.
    by_seed : DataFrame
        model, seed, gain, quality.
    """
    own = table.dropna(subset=["gain", "quality"])
    looks = looks_of(list(own["model"]))
    x, y = _ends(own, "quality", "quality_low", "quality_high"), _ends(own, "gain", "gain_low", "gain_high")
    points = Points(list(own["model"]), x, y, [looks[model] for model in own["model"]], np.zeros(len(own), bool))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(
            xlabel="difference in quality from DPO, score points", ylabel="gain in creativity, standard deviations"
        )
        if not len(own):
            say(axes, "no arm has both")
            return
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.axvline(0, color=INK, linewidth=0.9)
        for model, seeds in by_seed[by_seed["model"].isin(looks)].groupby("model", sort=False):
            axes.plot(seeds["quality"], seeds["gain"], "o", color=looks[str(model)].colour, markersize=3, alpha=0.6)
        draw_points(figure, axes, points)

    told = [f"{row['model']} {number(row['gain'])} at {number(row['quality'])}" for row in own.to_dict("records")]
    caption = f"Gain in creativity against difference in quality from DPO; small: each seed. {INTERVALS} {CUT}"
    seeds = by_seed[by_seed["model"].isin(looks)]
    shown = pd.concat([table.assign(seed=""), seeds.assign(seed=seeds["seed"].astype(str))], ignore_index=True)
    return Picture(draw("trade-off", 5.6, paint, simulated=False, width=WIDE), "; ".join(told), "", caption, shown)


def difference_figure(name: str, comparisons: pd.DataFrame, metrics: Sequence[str], models: list[str]) -> Picture:
    """Draw every model's difference from DPO, a panel for each metric.

    Parameters
    ----------
    name : str
        The figure's.
    comparisons : DataFrame
        model, baseline, metric, difference, low, high; of one split.
    metrics, models : sequence and list of str
        What to show, in order; what is not in the table is left blank.
    """
    own = comparisons[(comparisons["baseline"] == BASELINE) & comparisons["model"].isin(models)]
    looks = looks_of(list(models))
    table = own[own["metric"].isin(metrics)][["metric", "model", "difference", "low", "high"]]

    def paint(figure: Figure) -> None:
        for place, (axes, metric) in enumerate(zip(figure.subplots(1, len(metrics)), metrics, strict=True)):
            rows = table[table["metric"] == metric].set_index("model").reindex(models)
            ends = _ends(rows, "difference", "low", "high")
            hollow = ~((ends[:, 1] > 0) | (ends[:, 2] < 0))
            axes.set_title(titled(metric), fontsize=9)
            draw_dots(axes, list(models), ends, [looks[model] for model in models], hollow, named=not place)
            _whole_names(axes, models if not place else [])
            axes.axvline(0, color=INK, linewidth=0.9)
            axes.locator_params(axis="x", nbins=4)

    caption = f"Difference from DPO on the same prompts. {INTERVALS} Filled: the interval does not hold 0. {CUT}"
    told = [f"{row['model']} {number(row['difference'], 3)} in {row['metric']}" for row in table.to_dict("records")]
    drawing = draw(name, 1.0 + 0.21 * max(len(models), 3), paint, simulated=False, width=WIDE + 1)
    return Picture(drawing, f"Differences from DPO: {'; '.join(told)}", "", caption, table)


def lambda_figure(estimates: pd.DataFrame, by_seed: pd.DataFrame) -> Picture:
    """Draw each single-signal arm's own metric against λ, with its seeds and with DPO.

    Parameters
    ----------
    estimates : DataFrame
        Of split "all".
    by_seed : DataFrame
        model, seed, metric, value.
    """
    looks = looks_of([BASELINE, *SINGLE])
    table = pd.concat([_curve(estimates, by_seed, variant, metric) for variant, metric in SINGLE.items()])

    def paint(figure: Figure) -> None:
        for axes, variant in zip(figure.subplots(1, len(SINGLE)), SINGLE, strict=True):
            _curve_panel(axes, table[table["variant"] == variant], variant, looks[variant])

    means = table[table["seed"] == ""].dropna(subset=["value"])
    told = [f"{row['model']} {number(row['value'])}" for row in means.to_dict("records")]
    caption = (
        "Each single-signal arm's own metric against λ. Line and band: mean and 95\u202f% interval over prompts and "
        "seeds; rings: each seed; straight across: DPO."
    )
    drawing = draw("lambda", 2.7, paint, simulated=False, width=WIDE)
    return Picture(drawing, f"Own metric by λ: {'; '.join(told)}", "", caption, table)


def words_figure(estimates: pd.DataFrame, models: list[str], people: float) -> Picture:
    """Draw the words per answer of every model beside people's mean (`people`, a line; NaN draws none)."""
    own = estimates[estimates["metric"] == "words"].set_index("model").reindex(models)
    looks = looks_of(list(models))
    ends = _ends(own, "value", "low", "high")
    table = own[["value", "low", "high"]].reset_index()

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xlabel("words per answer")
        draw_dots(axes, list(models), ends, [looks[model] for model in models], np.zeros(len(models), bool))
        _whole_names(axes, models)
        if np.isfinite(people):
            low, high = axes.get_xlim()
            axes.set_xlim(min(low, people - 0.5), max(high, people + 0.5))
            axes.axvline(people, color=INK, linewidth=0.9, linestyle="--")

    line = f" Dashed: people's answers to the same prompts, {number(people)} words." if np.isfinite(people) else ""
    drawing = draw("words", 1.0 + 0.21 * max(len(models), 3), paint, simulated=False)
    told = [f"{row['model']} {number(row['value'])}" for row in table.to_dict("records")]
    with_people = pd.concat([pd.DataFrame({"model": ["people"], "value": [people]}), table], ignore_index=True)
    return Picture(
        drawing, f"Words per answer: {'; '.join(told)}", "", f"Words per answer. {INTERVALS}{line}", with_people
    )


def _whole_names(axes: Axes, models: Sequence[str]) -> None:
    """Write names of arms in full: some differ in their last letters alone."""
    axes.set_yticks(range(len(models)), list(models))


def _curve(estimates: pd.DataFrame, by_seed: pd.DataFrame, variant: str, metric: str) -> pd.DataFrame:
    """Return variant, metric, model, lambda (NaN for DPO), seed ("" for the mean), value, low, high."""
    models = {BASELINE: np.nan, **{at_lambda(variant, factor): factor for factor in LAMBDAS}}
    parts = []
    for source in (estimates.assign(seed=""), by_seed[~by_seed["model"].eq(BASELINE)].assign(low=np.nan, high=np.nan)):
        own = source[(source["metric"] == metric) & source["model"].isin(models)]
        parts.append(own[["metric", "model", "seed", "value", "low", "high"]])
    table = pd.concat([part for part in parts if len(part)] or parts)
    return table.assign(variant=variant, **{"lambda": table["model"].map(models)})


def _curve_panel(axes: Axes, table: pd.DataFrame, variant: str, look: Look) -> None:
    axes.set_title(short(variant), size=9)
    means = table[(table["seed"] == "") & table["lambda"].notna()].sort_values("lambda")
    seeds = table[(table["seed"] != "") & table["lambda"].notna()]
    if not len(means):
        say(axes, "not run")
        return
    axes.set(xlabel="λ", ylabel=table["metric"].iloc[0], xticks=means["lambda"])
    x, y, low, high = floats(means, "lambda", "value", "low", "high").T
    axes.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0)
    axes.plot(x, y, color=look.colour, marker=look.marker, linewidth=1.7, markeredgecolor="white")
    axes.plot(seeds["lambda"] + 0.04, seeds["value"], "o", color="white", markeredgecolor=look.colour, markersize=3)
    base = table[table["lambda"].isna()]["value"].to_numpy(float)
    if len(base):
        axes.axhline(base[0], color=INK, linewidth=0.9, linestyle=(0, (6, 2)))
    values = np.concatenate([table["value"].to_numpy(float), base])
    bottom, top = frame(_ends(means, "value", "low", "high"))
    room = 0.04 * (top - bottom)
    axes.set_ylim(min(bottom, np.nanmin(values) - room), max(top, np.nanmax(values) + room))


def _ends(table: pd.DataFrame, *columns: str) -> np.ndarray:
    """Return value, low, high (n, 3); an end that is not known is the value."""
    ends = floats(table, *columns)
    return np.where(np.isfinite(ends), ends, ends[:, :1])
