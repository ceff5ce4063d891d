"""The card of an exported model: README.md with the header that the Hugging Face hub reads, from the run's tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crpo import __version__
from crpo.stages.card import account_table, licence_fields
from crpo.stages.model_facts import ModelFacts
from crpo.stages.model_limits import SIMULATION, is_simulated, limits
from crpo.stages.model_results import results, table

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
UNKNOWN = "Not known: the model does not lie in a run folder (`crpo run`), where this would be recorded."


@dataclass(frozen=True)
class Stated:
    """What only the user can say; blank is not said.

    Attributes
    ----------
    title : str
    licence : str
    base : str
        Hub id of the model that adapters belong to, or that was trained further.
    """

    title: str = ""
    licence: str = ""
    base: str = ""


def render_model_card(facts: ModelFacts, stated: Stated, *, merged: bool, notes: Sequence[str] = ()) -> str:
    """Return the card; every number in it comes from a table of the run folder.

    Parameters
    ----------
    facts : ModelFacts
    stated : Stated
    merged : bool
        Whether adapters have been merged into the weights that the card lies beside.
    notes : sequence of str
        What else the reader must know, a sentence each.
    """
    adapter = facts.is_adapter and not merged
    header = yaml.safe_dump(_header(facts, stated, adapter), sort_keys=False, allow_unicode=True)
    sections = {
        "": "\n\n".join([*([f"> **{SIMULATION}**"] if is_simulated(facts) else []), _what(facts, stated, adapter)]),
        "Data": account_table(facts.account) if facts.account is not None else UNKNOWN,
        "Weights of the pairs": _weights(facts),
        "Results": UNKNOWN if facts.arm is None else results(facts),
        "While it was trained": _training(facts),
        "Limits": "\n".join(f"- {sentence}" for sentence in [*limits(facts), *notes]),
        "Recipe": _recipe(facts),
        "Versions": _versions(facts),
    }
    parts = [f"# {stated.title or facts.name}"]
    parts += [f"## {name}\n\n{text}" if name else text for name, text in sections.items()]
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


def data_name(facts: ModelFacts) -> str:
    """Return what the answers are called: a hub id, or a file's name."""
    if facts.arm is None:
        return ""
    data = facts.arm.recipe.data
    if is_simulated(facts):
        return "crpo's bundled simulated corpus"
    given = str(data.responses or data.ratings)
    return given if HUB_ID.fullmatch(given) and not Path(given).exists() else Path(given).name


def _header(facts: ModelFacts, stated: Stated, adapter: bool) -> dict[str, Any]:
    base = stated.base or _base(facts)
    header: dict[str, Any] = {"base_model": base} if HUB_ID.fullmatch(base) else {}
    if header:
        header["base_model_relation"] = "adapter" if adapter else "finetune"
    header |= {"library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    header["tags"] = ["creativity", "crpo", *(["dpo"] if facts.arm is not None and facts.arm.trained else [])]
    header["tags"] += ["simulated-data"] if is_simulated(facts) else []
    if languages := [code for code, _ in facts.languages if re.fullmatch(r"[a-z]{2,3}", code)]:
        header["language"] = languages
    if HUB_ID.fullmatch(data_name(facts)):
        header["datasets"] = [data_name(facts)]
    header |= licence_fields(stated.licence) if stated.licence else {}
    return header | _model_index(facts, stated)


def _model_index(facts: ModelFacts, stated: Stated) -> dict[str, Any]:
    if facts.estimates is None:
        return {}
    own = facts.estimates.query("split == 'all' and model == @facts.name").dropna(subset=["value"])
    metrics = [
        {"type": metric, "name": metric, "value": value, "args": {} if low != low else {"low": low, "high": high}}
        for metric, value, low, high in own[["metric", "value", "low", "high"]].to_numpy().tolist()
    ]
    task = {"type": "text-generation", "name": "answers to held-out prompts"}
    data = {"type": data_name(facts), "name": data_name(facts)}
    results = [{"task": task, "dataset": data, "metrics": metrics}] if metrics else []
    return {"model-index": [{"name": stated.title or facts.name, "results": results}]} if results else {}


def _base(facts: ModelFacts) -> str:
    model = "" if facts.arm is None else facts.arm.recipe.policy.model
    return model if HUB_ID.fullmatch(model) and not Path(model).exists() else ""


def _what(facts: ModelFacts, stated: Stated, adapter: bool) -> str:
    kind = "LoRA adapters for" if adapter else "A"
    told = [f"{kind} language model, exported by crpo {__version__} (`crpo export --model`)."]
    base = stated.base or _base(facts)
    if facts.arm is None:
        return " ".join([*told, f"It goes back to `{base}`." if base else "What it was trained from is not known."])
    policy, arm = facts.arm.recipe.policy, facts.arm
    start = (
        "a small Llama made on the spot, from the answers alone"
        if policy.model == "tiny"
        else f"`{base or Path(policy.model).name}`"
    )
    told.append(f"It goes back to {start}.")
    if arm.trained:
        lambdas = ", ".join(f"{name} {value:g}" for name, value in arm.lambdas.items() if value > 0)
        weighed = f"each pair weighted by signals of its chosen answer (λ: {lambdas})" if lambdas else "all of weight 1"
        train = arm.recipe.train
        told.append(
            f"It was fine-tuned on people's best answers, and then trained on preference pairs, {weighed}: loss "
            f"`{train.loss}`, β = {train.beta:g}, seed {train.seed} (Creative Preference Optimization, "
            "[arXiv 2505.14442](https://arxiv.org/abs/2505.14442))."
        )
    elif arm.variant == "SFT":
        told.append("It was fine-tuned on people's best answers; no preference pair has touched it.")
    return " ".join(told)


def _weights(facts: ModelFacts) -> str:
    if facts.arm is None:
        return UNKNOWN
    if facts.weights is None:
        return "None: no pair has touched this model."
    rows = [(row.of, f"{row.zero_share:.1%}", f"{row.effective_sample_size:,.0f}", f"{row.pairs:,}")
            for row in facts.weights.itertuples()]  # fmt: skip
    return table(("of", "share that is zero", "effective sample size, in pairs", "pairs"), rows)


def _training(facts: ModelFacts) -> str:
    if facts.arm is None:
        return UNKNOWN
    if facts.warnings is None:
        return "No warning was noted."
    rows = [(f"{row.step:g}", row.kind, row.message) for row in facts.warnings.itertuples()]
    return table(("step", "warning", "what was found"), rows)


def _recipe(facts: ModelFacts) -> str:
    if facts.arm is None:
        return UNKNOWN
    content = _without_folders(facts.arm.recipe.model_dump(mode="json"))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"As resolved, every default written out; of files only the names.\n\n```yaml\n{text}```"


def _without_folders(value: Any) -> Any:
    """Return settings without the folders of the user's machine: they are nobody else's business."""
    if isinstance(value, Mapping):
        return {key: _without_folders(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_without_folders(own) for own in value]
    is_path = isinstance(value, str) and (value.startswith(("/", "~", ".")) or Path(value).exists())
    return Path(value).name if is_path else value


def _versions(facts: ModelFacts) -> str:
    if not facts.versions:
        return UNKNOWN
    return table(("package", "version"), sorted(facts.versions.items()))
