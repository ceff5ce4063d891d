"""What a run will take, step by step and arm by arm, before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.arms import BASE, SFT, Arm, at
from crpo.plan.amounts import CHARACTERS_PER_TOKEN, Amounts, base_tokens, crpo_tokens, once_tokens, sft_tokens
from crpo.plan.costs import Cost, Device, reading_cost, sampling_cost, training_cost
from crpo.plan.shapes import Shape, policy_shape, shape_of
from crpo.stages.step import Step

ROW = 512  # tokens of a row in which surprise and rewards are computed, of which four are read at a time
SAMPLER_TOKENS = 16384  # that local sampling holds at a time (crpo.generators.hf)
COLUMNS = ["step", "done", "tokens", "memory_gb", "hours"]


def forecast(
    steps: Sequence[Step], arms: Sequence[Arm], to_do: Sequence[str], amounts: Amounts, device: Device
) -> pd.DataFrame:
    """Return what each step takes.

    Returns
    -------
    DataFrame
        step, done (whether the run folder has it), tokens (read and written by models), memory_gb, hours. NaN where
        no language model works (seconds to minutes), where a model's size is not known, and for NoveltyBench and the
        baselines, which are not estimated here.
    """
    costs = _costs(arms, amounts, device)
    rows = []
    for step in steps:
        cost = costs[step.name]() if step.name in costs else Cost()
        rows.append((step.name, step.name not in to_do, cost.tokens, cost.memory, cost.hours))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def runs_table(arms: Sequence[Arm], steps: pd.DataFrame) -> pd.DataFrame:
    """Return what each arm takes by itself: its training, samples and metrics; what arms share is in no row.

    Returns
    -------
    DataFrame
        model, variant, lambda, policy, seed, steps (names), done (whether all are), tokens, memory_gb, hours; a row per
        arm that has steps of its own among those asked for.
    """
    found = steps.set_index("step")
    rows = []
    for arm in arms:
        names = [name for name in (f"{stage}/{arm.folder}" for stage in OWN) if name in found.index]
        if not names:  # not asked for
            continue
        own = found.loc[names]
        rows.append((arm.model, arm.variant, arm.factor, arm.policy, arm.seed, names, bool(own["done"].all()),
                     own["tokens"].sum(), own["memory_gb"].max(), own["hours"].sum(skipna=False)))  # fmt: skip
    names = ["model", "variant", "lambda", "policy", "seed", "steps", "done", "tokens", "memory_gb", "hours"]
    return pd.DataFrame(rows, columns=pd.Index(names)).astype({"lambda": float})


OWN = ("train", "generate", "evaluate")


def _costs(arms: Sequence[Arm], amounts: Amounts, device: Device) -> Mapping[str, Callable[[], Cost]]:
    ruler, found = arms[0], {}
    per_epoch, per_group = crpo_tokens(amounts, ruler.recipe.train)
    found["score"] = partial(_scoring, ruler, amounts, device)
    for arm in arms:
        found[at(BASE, arm.origin)] = partial(_base, arm, amounts, device)
        found[at("generate", arm.folder)] = partial(_sampling, arm, amounts, device)
        found[at("evaluate", arm.folder)] = partial(_measuring, arm, ruler, amounts, device)
        if arm.trained or arm.variant == SFT:
            found[at("sft", arm.start)] = partial(_sft, arm, amounts, device)
            found[at("reference", arm.start)] = partial(_reference, arm, amounts, device)
        if arm.trained:
            found[at("train", arm.folder)] = partial(_train, arm, per_epoch, per_group, device)
    return found


def _base(arm: Arm, amounts: Amounts, device: Device) -> Cost:
    policy = arm.recipe.policy
    text = Path(policy.tiny.text).expanduser() if policy.tiny.text else None
    more = text.stat().st_size / CHARACTERS_PER_TOKEN * policy.tiny.text_epochs if text and text.exists() else 0.0
    tokens = base_tokens(amounts, policy.tiny.epochs) + more
    return training_cost(
        policy_shape(policy), None, "float32", tokens, policy.tiny.tokens_per_step, device, checkpointing=False
    )


def _sft(arm: Arm, amounts: Amounts, device: Device) -> Cost:
    section, policy = arm.recipe.sft, arm.recipe.policy
    groups = max(1, round(section.responses_per_step / (section.responses_per_prompt * section.accumulation)))
    at_once = groups * (amounts.prompt + section.responses_per_prompt * amounts.answer)
    return training_cost(
        policy_shape(policy), policy.lora, policy.dtype, section.epochs * sft_tokens(amounts, section), at_once, device,
        checkpointing=section.gradient_checkpointing,
    )  # fmt: skip


def _reference(arm: Arm, amounts: Amounts, device: Device) -> Cost:
    row, policy = arm.recipe.train.tokens_per_row, arm.recipe.policy
    tokens = once_tokens(amounts, len(amounts.answers), row)
    return reading_cost({"reference": policy_shape(policy)}, policy.dtype, tokens, 4 * row, device)


def _train(arm: Arm, per_epoch: float, per_group: float, device: Device) -> Cost:
    section, policy = arm.recipe.train, arm.recipe.policy
    groups = max(1, round(section.pairs_per_step / (section.pairs_per_prompt * section.accumulation)))
    return training_cost(
        policy_shape(policy), policy.lora, policy.dtype, section.epochs * per_epoch, groups * per_group, device,
        checkpointing=section.gradient_checkpointing,
    )  # fmt: skip


def _sampling(arm: Arm, amounts: Amounts, device: Device) -> Cost:
    section, policy = arm.recipe.generate, arm.recipe.policy
    samples = len(amounts.held_out) * sum(cell.samples for cell in section.grid)
    if not samples:
        return Cost(0.0)
    together = max(1.0, SAMPLER_TOKENS // (float(amounts.held_out.mean()) + section.max_new_tokens))
    batches = np.ceil(samples / together)
    in_batch = min(samples, together)
    lengths = np.minimum(amounts.answers, section.max_new_tokens)
    longest = float(np.quantile(lengths, in_batch / (in_batch + 1)))
    prompts, drawn = float(amounts.held_out.sum()), samples * float(lengths.mean())
    kept = min(SAMPLER_TOKENS, samples * (amounts.prompt + longest))
    return sampling_cost(
        policy_shape(policy), policy.dtype, prompts=prompts, drawn=drawn, steps=float(batches) * longest, kept=kept,
        device=device,
    )  # fmt: skip


def _scoring(ruler: Arm, amounts: Amounts, device: Device) -> Cost:
    section = ruler.recipe.score
    chosen = all(section.over_of(name) == "chosen" for name in section.signals)
    scored = np.unique(amounts.chosen) if chosen else np.arange(len(amounts.answers))
    return _read(ruler, ruler.recipe.score.signals, once_tokens(amounts, len(scored), ROW), device)


def _measuring(arm: Arm, ruler: Arm, amounts: Amounts, device: Device) -> Cost:
    each = sum(cell.samples for cell in arm.recipe.generate.grid)
    tokens = once_tokens(amounts, len(amounts.held_out) * each, ROW)
    return _read(ruler, ruler.recipe.evaluate.metrics, tokens, device)


def _read(ruler: Arm, specs: Mapping[str, object], tokens: float, device: Device) -> Cost:
    """Return the cost of surprise and of a reward model; embeddings, which take far less, are not counted."""
    recipe = ruler.recipe
    uses = {spec if isinstance(spec, str) else spec.get("use") for spec in specs.values()}  # type: ignore[attr-defined]
    shapes: dict[str, Shape | None] = {}
    if "surprise" in uses:
        named = recipe.models.surprise
        shapes["surprise"] = policy_shape(recipe.policy) if named == "base" else shape_of(named)
    if "quality" in uses and recipe.models.quality != "learned":
        shapes["quality"] = shape_of(recipe.models.quality)
    return reading_cost(shapes, recipe.policy.dtype, tokens, 4 * ROW, device) if shapes else Cost(0.0, 0.0, 0.0)
