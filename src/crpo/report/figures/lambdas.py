"""Each metric against λ, with seeds: the paper's Figure 3."""

from __future__ import annotations

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crpo.report.captions import basis, listed, titled
from crpo.report.drawing import INK, OTHERS, Picture, draw, short
from crpo.report.files import file_names
from crpo.report.looks import Look, looks_of
from crpo.report.views import count, floats, number, unique, where

from .points import CUT, frame, is_cut

REFERENCES = (("DPO", (0, (6, 2))), ("SFT", (0, (1, 1.5))), ("base", (0, (4, 1, 1, 1))))
COLUMNS = 4


def lambda_curves(
    estimates: pd.DataFrame,
    arms: pd.DataFrame,
    by_seed: pd.DataFrame,
    metrics: list[str],
    models: list[str],
    *,
    simulated: bool,
) -> dict[str, list[tuple[str, Picture]]]:
    """Draw each metric against λ, for every base model: a line per variant that has several λ.

    Parameters
    ----------
    estimates : DataFrame
        Of one split.
    arms, by_seed : DataFrame
        As in `ReportContent`.
    metrics : list of str
        In the order of their figures.
    models : list of str
        The main models, whose looks the variants have here too.
    simulated : bool

    Returns
    -------
    dict of str to list of (str, Picture)
        Metrics with their figures, by the name of the base model.
    """
    own = arms.drop_duplicates(["model", "variant", "lambda", "policy"]).fillna({"policy": ""})
    labels = looks_of(models)
    found = {}
    for policy in unique(own, "policy"):
        table = _table(estimates, where(own, "policy", policy), by_seed)
        looks = {row["variant"]: labels[row["model"]] for row in where(own, "policy", policy).to_dict("records")
                 if row["model"] in labels}  # fmt: skip
        prefix = "lambda" if own["policy"].nunique() == 1 else file_names("lambda", [policy])[0]
        there = [metric for metric in metrics if not where(table, "metric", metric).empty] if len(table) else []
        names = file_names(prefix, there)
        found[policy] = [
            (metric, _picture(name, metric, where(table, "metric", metric), looks, policy, simulated))
            for name, metric in zip(names, there, strict=True)
        ]
    return {policy: pictures for policy, pictures in found.items() if pictures}


def _table(estimates: pd.DataFrame, arms: pd.DataFrame, by_seed: pd.DataFrame) -> pd.DataFrame:
    """Return the arms that a figure shows, a row for the mean (seed blank) and one for each seed."""
    swept = arms.groupby("variant")["lambda"].transform("nunique") > 1
    reference = arms["lambda"].isna() & arms["variant"].isin([name for name, _ in REFERENCES])
    shown = arms.loc[(swept | reference).to_numpy(dtype=bool), ["model", "variant", "lambda"]]
    if not swept.any():
        return pd.DataFrame()
    columns = ["metric", "value", "low", "high", "prompts", "tasks", "samples_used", "seeds"]
    means = shown.merge(estimates[["model", *columns]], on="model").assign(seed=np.nan)
    seeds = shown.merge(by_seed, on="model")
    parts = [part for part in (means, seeds) if len(part)]
    names = ["model", "variant", "lambda", "seed", *columns]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame()


def _picture(
    name: str, metric: str, table: pd.DataFrame, looks: dict[str, Look], policy: str, simulated: bool
) -> Picture:
    lines = table[table["lambda"].notna()]
    variants = unique(lines, "variant")
    means = lines[lines["seed"].isna() & lines["value"].notna()]
    ends = floats(means, "value", "low", "high")
    ends = np.where(np.isfinite(ends), ends, ends[:, :1])
    rows = ceil(len(variants) / COLUMNS)
    columns = ceil(len(variants) / rows)

    def paint(figure: Figure) -> None:
        figure.suptitle(short(f"{titled(metric)} against λ", 60), x=0.005, ha="left", size=10.5, weight="bold")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel, variant in zip(panels, variants, strict=False):
            panel.set_title(short(variant), size=9, weight="normal")
            _references(panel, table[table["lambda"].isna() & table["seed"].isna()])
            _behind(panel, means[means["variant"] != variant])
            _line(panel, where(lines, "variant", variant), looks[variant])
            panel.set_xticks(sorted(set(floats(lines, "lambda"))))
        for panel in panels[len(variants) :]:
            panel.set_visible(False)
        for panel in panels[(rows - 1) * columns : len(variants)]:
            panel.set_xlabel("λ")
        if len(ends):
            panels[0].set_ylim(*_limits(ends, table))
        handles = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=3, frameon=False,
                          fontsize=8.5, handlelength=3)  # fmt: skip

    told = [f"{row['variant']} {number(row['value'])} at λ {row['lambda']:g}" for row in means.to_dict("records")]
    seeds = lines["seed"].nunique()
    caption = listed(
        f"{titled(metric)} against λ{f' for {policy}' if policy else ''}; {basis(means)}.",
        "A panel per variant: the line",
        "is its mean, the band the 95\u202f% interval,",
        f"the small rings are its {count(seeds)} seeds," if seeds else "",
        "in grey are the other variants; straight across, models without λ.",
        CUT.replace("bar", "band") if len(ends) and is_cut(ends) else "",
    )
    drawing = draw(name, 0.75 + 1.75 * rows, paint, simulated=simulated, width=2.3 * max(columns, 2))
    return Picture(drawing, f"{metric} against λ: {'; '.join(told)}.", "", caption, table, wide=columns > 2)


def _limits(ends: np.ndarray, table: pd.DataFrame) -> tuple[float, float]:
    """Return a frame that holds the lines, their seeds and the reference lines."""
    low, high = frame(ends)
    values = floats(table, "value")
    values = values[np.isfinite(values)]
    room = 0.04 * (high - low)
    return min(low, float(values.min()) - room), max(high, float(values.max()) + room)


def _references(axes: Axes, rows: pd.DataFrame) -> None:
    dashes = dict(REFERENCES)
    for row in rows.to_dict("records"):
        if np.isfinite(row["value"]):
            axes.axhline(row["value"], color=INK, linewidth=0.9, linestyle=dashes[row["variant"]], label=row["variant"])


def _behind(axes: Axes, means: pd.DataFrame) -> None:
    for _, own in means.groupby("variant", sort=False):
        axes.plot(*floats(own, "lambda", "value").T, color=OTHERS, linewidth=0.9, zorder=1)


def _line(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    means, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    x, y, low, high = floats(means, "lambda", "value", "low", "high").T
    axes.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0)
    axes.plot(x, y, color=look.colour, marker=look.marker, markersize=6.5, linewidth=1.7, markeredgecolor="white",
              markeredgewidth=0.5, zorder=3)  # fmt: skip
    beside = floats(seeds, "lambda") + 0.035 * np.ptp(x)  # or the marks would hide each other
    axes.plot(beside, floats(seeds, "value"), "o", color="white", markeredgecolor=look.colour, markeredgewidth=0.8,
              markersize=2.8, linestyle="none", zorder=4)  # fmt: skip
