"""What the report shows, gathered from the tables of a run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from crpo import __version__
from crpo.arms import BASE, SFT, Arm, at, distinct
from crpo.pairs import effective_sample_size
from crpo.recipe import Recipe
from crpo.recipe.sections import EvaluateSection
from crpo.report.content import ReportContent
from crpo.stages.departures import definitions
from crpo.stages.metrics_table import metrics_table
from crpo.stages.step import Folders
from crpo.stages.tokens import few, surprise_name
from crpo.tables import read_table

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "sentence-transformers",
    "scikit-learn",
)
INTERVAL = (
    "A value is the mean over prompts, then over tasks; its interval is a 95 % bootstrap interval over prompts, drawn "
    "within tasks and widened for the small number of prompts."
)
WITH_SEEDS = (
    " Models with several seeds: the value is the mean over seeds too, and the interval, by Student's t, speaks of new "
    "prompts and new seeds."
)


def present(
    recipe: Recipe, estimates: pd.DataFrame, differences: pd.DataFrame, inputs: Folders, arms: Sequence[Arm]
) -> ReportContent:
    """Gather what the report shows.

    Parameters
    ----------
    recipe : Recipe
    estimates, differences : DataFrame
        See `crpo.stages.compare`.
    inputs : mapping of step name to folder
        Every step of the run.
    arms : sequence of Arm
        In the order they are shown. Of several seeds, samples and training are shown of the first; estimates and
        differences are of all.
    """
    shown = distinct(arms, "model")
    weights = _weights(distinct([arm for arm in arms if arm.trained], "weights"), inputs)
    drawn = (*(arm.folder for arm in shown), *recipe.generate.baselines)
    samples = [read_table(inputs[f"generate/{folder}"] / "samples.csv", "samples") for folder in drawn]
    return ReportContent(
        title=recipe.report.title,
        recipe=f"{recipe.name}: {definitions(recipe)}",
        simulated=recipe.data.ratings == "bundled",
        settings=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        versions=versions(),
        headline=headline(arms, estimates, differences),
        estimates=estimates,
        metrics=metrics_table(recipe),
        samples=_shown(pd.concat(samples, ignore_index=True), recipe),
        weights=weights[["variant", "pair_id", "weight"]],
        signal_account=_weights_account(weights, inputs),
        training=_history(inputs, shown),
        raters=_optional(inputs, "rate", "raters.csv", "rater table"),
        quality_rater=_optional(inputs, "rater", "agreement.csv", "agreement"),
        account=_accounts(inputs),
        interval=how_computed(recipe.evaluate, several_seeds=len(shown) < len(arms)),
        token_surprise=_tokens(recipe, inputs),
    )


def how_computed(section: EvaluateSection, *, several_seeds: bool) -> str:
    """Say how values and intervals are computed, which samples count and what is done with outliers."""
    return INTERVAL + (WITH_SEEDS if several_seeds else "") + what_counts(section)


def what_counts(section: EvaluateSection) -> str:
    """Say which samples count and what is done with outliers; "" where all do and nothing is."""
    told = ""
    if section.top is not None:
        by, samples = section.top.by, section.top.samples
        told += f" Only the best {samples} samples of each prompt by {by} count, so {by} is high by selection."
    if section.outliers is not None:
        done = {"drop": "is left out", "winsorise": "is moved to that bound"}[section.outliers.rule]
        told += (
            f" A prompt's value more than {section.outliers.deviations:g} scaled median absolute deviations from the "
            f"median of its model and task {done}, and counted as an outlier."
        )
    return told


def headline(arms: Sequence[Arm], estimates: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    """Return sentences that say what the run shows: each variant against the baseline on what it was trained for."""
    sentences = []
    signals = {arm.model: arm.lambdas for arm in arms if arm.factor in (None, 1.0)}
    for row in differences[differences["split"] == "all"].to_dict("records"):
        lambdas = signals.get(row["model"], {})
        if len(lambdas) == 1 and row["metric"] in lambdas and np.isfinite(row["difference"]):
            clear = _verdict(row["low"], row["high"])
            interval = f" [{row['low']:+.3g}, {row['high']:+.3g}]" if np.isfinite(row["low"]) else ""
            sentences.append(
                f"{row['model']} against {row['baseline']} in {row['metric']}: {row['difference']:+.3g}"
                f"{interval} over {row['prompts']} held-out prompts, {clear}."
            )
    prompts = int(estimates["prompts"].max()) if len(estimates) else 0
    seeds = len({arm.seed for arm in arms if arm.trained})
    luck = "one training seed: differences between models may be luck of the seed." if seeds < 2 else f"{seeds} seeds."
    sentences.append(f"{prompts} held-out prompts, {luck}")
    return sentences


def _verdict(low: float, high: float) -> str:
    if not np.isfinite(low):
        return "too few prompts for an interval"
    return "clear of zero" if low > 0 or high < 0 else "the interval includes zero"


def versions() -> pd.DataFrame:
    """Return the versions of this package, Python and the libraries that numbers depend on."""
    rows = [("crpo", __version__), ("python", platform.python_version())]
    for name in PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
    return pd.DataFrame(rows, columns=["name", "version"])  # type: ignore[arg-type]


def _weights(arms: Sequence[Arm], inputs: Folders) -> pd.DataFrame:
    """Return the weighed pairs of every variant and λ, named as their models are but for the policy."""
    paths = {arm.name: inputs[at("weigh", arm.weights)] / "pairs.csv" for arm in arms}
    parts = [read_table(path, "pairs").assign(variant=name) for name, path in paths.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["variant", "pair_id", "weight"])  # type: ignore[arg-type]


def _optional(inputs: Folders, step: str, file: str, kind: str) -> pd.DataFrame | None:
    if step not in inputs:
        return None
    table = read_table(inputs[step] / file, kind)
    return table.assign(kept=table["kept"] == "True") if "kept" in table else table


def _tokens(recipe: Recipe, inputs: Folders) -> pd.DataFrame | None:
    path, name = inputs["score"] / "tokens.jsonl", surprise_name(recipe.score)
    if name is None or not path.exists():
        return None
    tokens, shown = read_table(path, "token surprise"), few(read_table(path.with_name("signals.csv"), "signals"), name)
    return tokens[tokens["response_id"].isin(shown)]


def _shown(samples: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Return the samples of a few prompts, drawn by seed, not picked."""
    prompts = np.array(sorted(samples["prompt_id"].unique()))
    drawn = np.random.Generator(np.random.PCG64(recipe.report.seed)).permutation(prompts)[: recipe.report.prompts]
    shown = samples[samples["prompt_id"].isin(drawn) & (samples["sample"] < recipe.report.samples)]
    return shown.assign(sample=shown["sample"].astype(int)).reset_index(drop=True)


def _weights_account(weights: pd.DataFrame, inputs: Folders) -> pd.DataFrame:
    rows = []
    total = len(read_table(inputs["pair"] / "pairs.csv", "pairs"))
    for name in dict.fromkeys(weights["variant"]):
        own = weights.loc[weights["variant"] == name, "weight"].to_numpy(float)
        zero = float((own == 0).mean()) if len(own) else np.nan
        middle = float(np.median(own)) if len(own) else np.nan
        rows.append((name, len(own), zero, effective_sample_size(own), own.mean(), middle, total - len(own)))
    names = ["variant", "pairs", "zero_share", "effective_sample_size", "mean_weight", "median_weight", "unscored"]
    return pd.DataFrame(rows, columns=names)  # type: ignore[arg-type]


def _history(inputs: Folders, arms: Sequence[Arm]) -> pd.DataFrame:
    parts = []
    for arm in arms:
        made = {BASE: at("base", arm.origin), SFT: at("sft", arm.start)}
        step = made.get(arm.variant, at("train", arm.folder))
        if step in inputs and (inputs[step] / "history.csv").exists():
            history = read_table(inputs[step] / "history.csv", "history")
            parts.append(history.assign(model=arm.model, stage=step.split("/")[0]))
    names = ["loss", "loss_unweighted", "accuracy", "margin"]
    table = pd.concat(parts, ignore_index=True)
    return table[table["name"].isin(names)].reset_index(drop=True)


def _accounts(inputs: Folders) -> pd.DataFrame:
    paths = [folder / "account.csv" for folder in inputs.values()]
    return pd.concat([_account(path) for path in paths if path.exists()], ignore_index=True)


def _account(path: Path) -> pd.DataFrame:
    return read_table(path, "account")
