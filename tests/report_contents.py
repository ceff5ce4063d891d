"""Contents of reports made up from a seed: scores are drawn, the rest is computed from them by our own stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from crpo.recipe.sections import EvaluateSection
from crpo.report.columns import COLUMNS
from crpo.report.content import ReportContent
from crpo.report.selection import main_models
from crpo.stages.breakdown import by_seed, by_task
from crpo.stages.collapse import signs_of_collapse
from crpo.stages.compare import compare, estimate
from crpo.stages.front import pareto_front

VARIANTS = {
    "DPO": (),
    "CrPO-nov": ("novelty",),
    "CrPO-div": ("diversity",),
    "CrPO-sur": ("surprise",),
    "CrPO-qua": ("quality",),
    "CrPO-nov-div-sur": ("novelty", "diversity", "surprise"),
    "CrPO-cre": ("novelty", "diversity", "surprise", "quality"),
}
# Middle, what one more unit of λ adds, spread between prompts, between seeds; surprise is drawn as a logarithm.
METRICS = {
    "novelty": (0.06, 0.012, 0.012, 0.002),
    "diversity": (0.35, 0.05, 0.05, 0.008),
    "surprise": (4.2, 0.45, 0.4, 0.06),
    "quality": (30.0, 1.5, 2.5, 0.5),
    "set_contribution": (1.1, 0.1, 0.2, 0.03),
    "words": (55.0, 2.0, 9.0, 1.5),
}
TASKS = ("Alternate Uses", "Consequences", "Stories", "Real-Life Creative Problem Solving", "Metaphors")


def arms(
    lambdas: tuple[float, ...] = (1.0,), seeds: tuple[int, ...] = (42,), variants: Iterable[str] = tuple(VARIANTS)
) -> pd.DataFrame:
    """Return a study's arms as `crpo.arms` names them."""
    rows = [(name, name, np.nan, "", seed) for name in ("base", "SFT") for seed in seeds]
    for variant in variants:
        for size in lambdas if VARIANTS[variant] else (np.nan,):
            label = variant if size in (1.0,) or np.isnan(size) else f"{variant} λ={size:g}"
            rows += [(label, variant, size, "", seed) for seed in seeds]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS["arms"]))


def scores(table: pd.DataFrame, prompts: int = 12, tasks: int = 4, seed: int = 0) -> pd.DataFrame:
    """Return the scores table of the arms: trained signals rise with λ and cost a little quality."""
    random = np.random.default_rng(seed)
    names = [(TASKS[i % tasks], f"p{i:02}") for i in range(prompts)]
    parts = []
    for metric, (middle, slope, between, luck) in METRICS.items():
        of_prompt = random.normal(0, between, prompts)
        for arm in table.to_dict("records"):
            trained = VARIANTS.get(arm["variant"], ())
            size = 0.0 if np.isnan(arm["lambda"]) else arm["lambda"]
            effect = {"base": -1.5, "SFT": 0.8 if metric != "quality" else -4}.get(arm["variant"], 0.0)
            effect += size * (metric in trained) - 0.4 * size * (metric == "quality" and metric not in trained)
            values = (
                middle + slope * effect + of_prompt + random.normal(0, luck) + random.normal(0, between / 3, prompts)
            )
            values = np.exp(values) if metric == "surprise" else values
            about = [(arm["model"], arm["seed"], task, prompt, "all", metric) for task, prompt in names]
            parts += [(*key, value, 16, 0) for key, value in zip(about, values, strict=True)]
    columns = ["model", "seed", "task", "prompt_id", "split", "metric", "value", "used", "left_out"]
    return pd.DataFrame(parts, columns=pd.Index(columns))


def samples(table: pd.DataFrame, prompts: int = 4, each: int = 6, seed: int = 0) -> pd.DataFrame:
    """Return sampled answers: words drawn from a list; one model of the table gives one answer nearly always."""
    random = np.random.default_rng(seed)
    words = ["moss", "lantern", "orbit", "velvet", "kettle", "harbour", "whisper", "marble", "thunder", "paper"]
    rows = []
    for arm in table.to_dict("records"):
        for p in range(prompts):
            for k in range(each):
                dull = arm["variant"] == "CrPO-sur" and k
                text = "a kettle" if dull else " ".join(random.choice(words, 9))
                rows.append((f"p{p:02}", TASKS[p % 4], "rope", f"What could one do with thing {p}?", arm["model"],
                             arm["seed"], k, text, "ok"))  # fmt: skip
    columns = ["prompt_id", "task", "item", "prompt", "model", "seed", "sample", "response", "status"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def bench(models: list[str], *, rewards: bool = True, seed: int = 0) -> pd.DataFrame:
    """Return NoveltyBench results of both prompt sets."""
    random = np.random.default_rng(seed)
    rows = []
    for prompt_set, prompts, half in (("curated", 100, 0.3), ("wildchat", 1000, 0.1)):
        for place, model in enumerate(models):
            distinct = 4 + 3.5 * np.tanh(place / 3) + random.normal(0, 0.3)
            utility = 3.5 + 0.15 * distinct + random.normal(0, 0.2) if rewards else np.nan
            rows.append((model, prompt_set, distinct, distinct - half, distinct + half, utility, utility - half / 2,
                         utility + half / 2, prompts, "deberta", "Skywork" if rewards else ""))  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS["bench"]))


def win_rates(models: list[str], against: list[str], votes: int = 48, seed: int = 0) -> pd.DataFrame:
    """Return people's votes on two dimensions, with Wilson's intervals."""
    random = np.random.default_rng(seed)
    rows = []
    for dimension in ("creativity", "quality"):
        for i, model in enumerate(models):
            for j, other in enumerate(against):
                wins = int(random.binomial(votes - 4, np.clip(0.45 + 0.04 * i + 0.1 * j, 0.1, 0.95)))
                rate = (wins + 2) / votes
                middle = (rate + 1.92 / votes) / (1 + 3.84 / votes)
                half = 1.96 * np.sqrt(rate * (1 - rate) / votes + 0.96 / votes**2) / (1 + 3.84 / votes)
                rows.append((dimension, model, other, wins, 4, votes - 4 - wins, rate, middle - half, middle + half))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS["win_rates"]))


def study(
    lambdas: tuple[float, ...] = (1.0,),
    seeds: tuple[int, ...] = (42,),
    variants: Iterable[str] = tuple(VARIANTS),
    metrics: Iterable[str] = tuple(METRICS),
) -> ReportContent:
    """Return the content of a study's report, with everything a report can show but raters."""
    table = arms(lambdas, seeds, variants)
    own, section = scores(table), EvaluateSection(draws=200)
    own = own[own["metric"].isin(list(metrics))].reset_index(drop=True)
    answers = samples(table)
    models = list(dict.fromkeys(table["model"]))
    one_each = by_seed(own)
    main = main_models(models, table)
    benched = bench(main)
    trained = [name for name in models if name not in ("base", "SFT")]
    random = np.random.default_rng(1)
    weights = [(name, f"pair{j}", float(random.gamma(2, 0.4))) for name in trained for j in range(60)]
    account = [(name, 60, 0.0, 48.0, 0.8, 0.7, 0) for name in trained]
    training = [(name, "train", s, metric, 1 / (1 + s) + random.normal(0, 0.02))
                for name in trained for s in range(40) for metric in ("loss", "accuracy", "margin")]  # fmt: skip
    return ReportContent(
        title="A study", recipe="paper", simulated=False, settings="seed: 1\n",
        versions=pd.DataFrame([("crpo", "0.1.0")], columns=pd.Index(COLUMNS["versions"])),
        headline=["CrPO-nov is more novel than DPO."],
        estimates=estimate(section, own),
        metrics=pd.DataFrame([(m, f"What {m} means.", "unit", m in ("novelty", "diversity", "surprise", "quality"))
                              for m in metrics], columns=pd.Index(COLUMNS["metrics"])),
        samples=answers, arms=table, by_seed=one_each,
        weights=pd.DataFrame(weights, columns=pd.Index(COLUMNS["weights"])),
        signal_account=pd.DataFrame(account, columns=pd.Index(COLUMNS["signal_account"])),
        training=pd.DataFrame(training, columns=pd.Index(COLUMNS["training"])),
        raters=None, quality_rater=None,
        account=pd.DataFrame([("pair", "answers", 10)], columns=pd.Index(COLUMNS["account"])),
        interval="A value is the mean over prompts, then over tasks.",
        by_task=by_task(section, own[own["model"].isin(main)]),
        comparisons=compare(section, own, "DPO", _trained_on(table)),
        front=pareto_front(section, own, main),
        bench=benched, win_rates=win_rates(main[2:], ["DPO", "SFT", "base", "a baseline over an API"]),
        collapse=signs_of_collapse(answers, table, one_each, benched),
        provenance=pd.DataFrame([("code", "commit", "0123abc")], columns=pd.Index(COLUMNS["provenance"])),
    )  # fmt: skip


def _trained_on(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return {arm["model"]: VARIANTS.get(arm["variant"], ()) for arm in table.to_dict("records")}


def with_model_renamed(content: ReportContent, old: str, new: str) -> ReportContent:
    """Return the content with another name for one model, in every table."""
    tables = {}
    for name in COLUMNS:
        table = getattr(content, name)
        if table is not None:
            own = [c for c in ("model", "variant", "baseline", "against", "reference", "beaten_by") if c in table]
            tables[name] = table.replace({column: {old: new} for column in own})
    return replace(content, **tables)
