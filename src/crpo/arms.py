"""The arms of a study: policy × variant × λ × seed, each a recipe of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from crpo.recipe import Recipe
from crpo.recipe.sections import PolicySection, StudySection

BASE, SFT = "base", "SFT"
UNTRAINED = (BASE, SFT)  # models that no pair has touched; they stand beside the variants


@dataclass(frozen=True)
class Arm:
    """One model of a run, with the recipe that makes it alone.

    Attributes
    ----------
    variant : str
        "base", "SFT" or a name of `recipe.variants`.
    factor : float or None
        What multiplies every λ of the variant; None where it has no signals (base, SFT, plain DPO).
    policy : str
        A name of `study.policies`; "" where the recipe has one policy.
    seed : int
        The study's seed, or `train.seed` where this model does not depend on any of the study's.
    name : str
        The variant, with "λ=0.5" where the factor is not 1.
    model : str
        Its label in tables: its name, after "POLICY: " where there are several. The seed is not in it.
    folder : str
        Its place in the names of steps: "CrPO-nov" or "llama/CrPO-nov/lambda-0.5/seed-12".
    origin, start, weights : str
        The same of what it shares with other arms: its policy ("" or "llama"), its SFT model ("" or "llama/seed-12"),
        its weighted pairs ("CrPO-nov/lambda-0.5").
    lambdas : mapping of str to float
        λ of each signal, multiplied.
    recipe : Recipe
        Without a study: the arm's policy, what the study changes for its variant, and the seed where the study puts it.
    """

    variant: str
    factor: float | None
    policy: str
    seed: int
    name: str
    model: str
    folder: str
    origin: str
    start: str
    weights: str
    lambdas: Mapping[str, float] = field(hash=False)
    recipe: Recipe = field(repr=False, hash=False)

    @property
    def trained(self) -> bool:
        """Return whether it is trained on pairs."""
        return self.variant not in UNTRAINED


def arms_of(recipe: Recipe) -> list[Arm]:
    """Return the arms of a run, in the order tables show them: by policy, then variant, λ and seed.

    A recipe without a study has one arm for base, SFT and each variant, and their folders are their names.
    """
    return [
        _arm(recipe, variant, factor, policy, seed)
        for policy in policies_of(recipe)
        for variant in (*UNTRAINED, *recipe.variants)
        for factor in _factors(recipe, variant)
        for seed in _seeds(recipe.study, variant) or [None]
    ]


def policies_of(recipe: Recipe) -> dict[str, PolicySection]:
    """Return the policies by name; one policy has the name ""."""
    return dict(recipe.study.policies) or {"": recipe.policy}


def models_of(recipe: Recipe) -> list[str]:
    """Return the labels of the models a run compares, each once."""
    return list(dict.fromkeys(arm.model for arm in arms_of(recipe)))


def arms_table(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return the arms as a table: model, variant, lambda (blank where there are no signals), policy, seed."""
    rows = [(arm.model, arm.variant, arm.factor, arm.policy, arm.seed) for arm in arms]
    table = pd.DataFrame(rows, columns=pd.Index(["model", "variant", "lambda", "policy", "seed"]))
    return table.astype({"lambda": float})


def distinct(arms: Iterable[Arm], what: str) -> list[Arm]:
    """Return the first arm of each different `origin`, `start`, `weights` or `model`."""
    found: dict[str, Arm] = {}
    for arm in arms:
        found.setdefault(getattr(arm, what), arm)
    return list(found.values())


def at(stage: str, place: str) -> str:
    """Return a step's name: its stage, and the place below it if it has one."""
    return f"{stage}/{place}" if place else stage


def _factors(recipe: Recipe, variant: str) -> Sequence[float | None]:
    if recipe.sweeps(variant):
        return recipe.study.lambdas
    return [1.0 if any(value > 0 for value in recipe.variants.get(variant, {}).values()) else None]


def _seeds(study: StudySection, variant: str) -> list[int]:
    """Return the study's seeds that a variant depends on; none where it is the same for all of them."""
    touched = {BASE: {"generate"}, SFT: {"sft", "generate"}}.get(variant, {"sft", "train", "generate"})
    return study.seeds if touched & set(study.reseed) else []


def _arm(recipe: Recipe, variant: str, factor: float | None, policy: str, seed: int | None) -> Arm:
    study = recipe.study
    by_factor = f"lambda-{factor:g}" if factor is not None and study.lambdas != [1.0] else ""
    by_seed = "" if seed is None else f"seed-{seed}"
    name = variant if factor in (None, 1.0) else f"{variant} λ={factor:g}"
    return Arm(
        variant=variant, factor=factor, policy=policy, seed=recipe.train.seed if seed is None else seed,
        name=name,
        model=f"{policy}: {name}" if len(study.policies) > 1 else name,
        folder=_place(policy, variant, by_factor, by_seed),
        origin=policy,
        start=_place(policy, by_seed if "sft" in study.reseed and variant != BASE else ""),
        weights=_place(variant, by_factor),
        lambdas={signal: value * (factor or 1.0) for signal, value in recipe.variants.get(variant, {}).items()},
        recipe=_own_recipe(recipe.of_variant(variant), policy, seed),
    )  # fmt: skip


def _place(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _own_recipe(recipe: Recipe, policy: str, seed: int | None) -> Recipe:
    reseeded = {} if seed is None else {
        name: getattr(recipe, name).model_copy(update={"seed": seed}) for name in recipe.study.reseed
    }  # fmt: skip
    return recipe.model_copy(update={**reseeded, "policy": policies_of(recipe)[policy], "study": StudySection()})
