"""A run folder of the study with scores whose truth is known: the tables of a real run, and no model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crpo.arms import Arm, arms_of, arms_table
from crpo.recipe import Recipe
from crpo.stages.compare import compare, estimate
from crpo.stages.split import account
from crpo.stages.weights import spread
from crpo.tables import write_table

SEEDS = [42, 12, 92]
LAMBDAS = [0.5, 1, 1.5, 2]
SWEPT = ("CrPO-nov", "CrPO-div", "CrPO-sur", "CrPO-qua")
N, D, S, Q, L = ({name: 1.0} for name in ("novelty", "diversity", "surprise", "quality", "local_novelty"))
ARMS: dict[str, dict[str, float]] = {
    "DPO": {}, "CrPO-nov": N, "CrPO-div": D, "CrPO-sur": S, "CrPO-qua": Q, "CrPO-nov-qua": N | Q, "CrPO-div-qua": D | Q,
    "CrPO-sur-qua": S | Q, "CrPO-nov-div-sur": N | D | S, "CrPO-cre": N | D | S | Q,
    "CrPO-nov-div-sur-contrast": N | D | S, "CrPO-cre-contrast": N | D | S | Q, "CrPO-nov-div-sur-margin": N | D | S,
    "CrPO-cre-margin": N | D | S | Q, "Rec-loc": L, "Rec-all": L | D | S | Q, "Try-hard": N,
}  # fmt: skip
# Task, item, side: as in the plan, so that intervals have its degrees of freedom.
PROMPTS = [("Sentence Completion", f"sentence {k}", "unseen task") for k in range(11)] + [
    (task, f"{task} {k}", "unseen items") for task in ("Alternate Uses", "Consequences", "Instances") for k in range(2)
]


def recipe_of(arms: Mapping[str, Mapping[str, float]]) -> Recipe:
    swept = [name for name in SWEPT if name in arms]
    study: dict[str, Any] = {"seeds": SEEDS, "lambdas": LAMBDAS if len(arms) > 5 else [1.0]}
    signals = {name: name for name in ("novelty", "diversity", "surprise", "quality", "local_novelty")}
    content = {"name": "study", "data": {"responses": "answers.csv"}, "score": {"signals": signals}, "variants": arms,
               "study": {**study, "sweep": swept if len(arms) > 5 else []}, "evaluate": {"draws": 100}}  # fmt: skip
    return Recipe.model_validate(content)


def simulated_scores(
    effects: Mapping[tuple[str, str], float], metrics: Sequence[str], *, noise: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """Return scores of all arms: what the prompt has, what the seed has, an effect of the arm, and noise.

    Parameters
    ----------
    effects : mapping of (model, metric) to float
        Everything else is 0.
    noise : float
        Standard deviation of what arm, prompt and seed have together; prompts differ by 1, seeds by 0.3.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    table = arms_table(arms_of(recipe_of(ARMS)))[["model", "seed"]].astype({"seed": str})
    prompts = pd.DataFrame(PROMPTS, columns=["task", "item", "split"]).assign(prompt_id=[f"p{k}" for k in range(17)])
    parts = []
    for metric in metrics:
        rows = table.merge(prompts, how="cross").assign(metric=metric)
        by_prompt = dict(zip(prompts["prompt_id"], generator.normal(10, 1, len(prompts)), strict=True))
        shared = {str(name): generator.normal(0, 0.3) for name in SEEDS}
        effect = [effects.get((model, metric), 0.0) for model in rows["model"]]
        value = rows["prompt_id"].map(by_prompt) + rows["seed"].map(shared) + effect
        parts.append(rows.assign(value=value + generator.normal(0, noise, len(rows)), used=16, left_out=0))
    return pd.concat(parts, ignore_index=True)


def write_run(folder: Path, arms: Mapping[str, Mapping[str, float]], scores: pd.DataFrame) -> Path:
    """Write what a finished run of these arms would have that the results are made from."""
    recipe = recipe_of(arms)
    every = arms_of(recipe)
    folder.mkdir()
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    (folder / "run.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json")}, sort_keys=True))
    tables = {"scores": scores, "estimates": estimate(recipe.evaluate, scores), "arms": arms_table(every),
              "comparisons": compare(recipe.evaluate, scores, "DPO"),
              "noveltybench": _bench(["DPO", "CrPO-nov"])}  # fmt: skip
    for name, table in tables.items():
        write_table(table, folder / "report" / f"{name}.csv")
    (folder / "report" / "done.json").write_text("{}")
    for step, counts in {"split": {"rows read": 100}, "pair": {"pairs": 40, "SFT answers": 20}}.items():
        write_table(account(step, counts), folder / step / "account.csv")
    write_table(_people(), folder / "split" / "answers.csv")
    generator = np.random.Generator(np.random.PCG64(7))
    for arm in every:
        write_table(_samples(arm), folder / "generate" / arm.folder / "samples.csv")
        if arm.trained:
            _write_training(folder, arm, generator)
        elif arm.variant == "SFT":
            _write_weights(folder / "sft" / arm.start, generator)
    return folder


def _bench(models: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame({"model": models, "prompt_set": "curated", "distinct": 2.5, "distinct_low": 2.0})
    none = dict.fromkeys(("utility", "utility_low", "utility_high"), np.nan)
    return table.assign(distinct_high=3.0, **none, prompts=100, seeds=3, judge="paragraphs")


def _people() -> pd.DataFrame:
    sides = [(*prompt, f"p{k}") for k, prompt in enumerate(PROMPTS)] + [("Instances", "round", "train", "p99")]
    table = pd.DataFrame(sides, columns=["task", "item", "split", "prompt_id"])
    return table.assign(response_id=table["prompt_id"], response="person's answer of five words")


def _samples(arm: Arm) -> pd.DataFrame:
    rows = [(f"p{k}", "asked", arm.model, n, f"answer {n} to {item}", "ok", task, item)
            for k, (task, item, _) in enumerate(PROMPTS) for n in range(4)]  # fmt: skip
    names = ["prompt_id", "prompt", "model", "sample", "response", "status", "task", "item"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def _write_training(folder: Path, arm: Arm, generator: np.random.Generator) -> None:
    weights = {"pairs": 40, **spread(generator.uniform(0, 1, 40))}
    write_table(account(f"weigh {arm.weights}", weights), folder / "weigh" / arm.weights / "account.csv")
    history = pd.DataFrame([(1, "grad_norm", 0.5), (2, "grad_norm", 2.0), (2, "accuracy", 0.7)],
                           columns=["step", "name", "value"])  # fmt: skip
    write_table(history, folder / "train" / arm.folder / "history.csv")
    _write_weights(folder / "train" / arm.folder, generator)


def _write_weights(folder: Path, generator: np.random.Generator) -> None:
    from safetensors.numpy import save_file

    (folder / "model").mkdir(parents=True, exist_ok=True)
    save_file({"w": generator.normal(size=(3, 4)).astype(np.float32)}, folder / "model" / "model.safetensors")
