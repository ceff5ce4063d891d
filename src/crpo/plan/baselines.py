"""Baselines of a run: models of others, drawn from and measured beside its own, and never trained.

What was paid for stays: the records of a baseline that costs money are in paid/ of the run folder, a file for each
baseline and each of its settings, and nothing deletes them. A step that is done again asks only for what is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from crpo.arms import Arm
from crpo.budget import Caps, read_prices, usage_of
from crpo.components import Spec
from crpo.generators import Generator
from crpo.plan.data import data_source
from crpo.plan.inputs import NO_RESULT, answers_step, drawer_files, local, read_answers
from crpo.plan.measuring import evaluate_step, held_out
from crpo.recipe import Recipe, check_section
from crpo.recipe.sections import GenerateSection
from crpo.records import read_records
from crpo.records.settings import plain, settings_hash
from crpo.stages.evaluate_input import check_sizes
from crpo.stages.generate import check_failures, generate
from crpo.stages.order import Order, check_ready, foresee, generator_of, identity, name_of, plan_samples
from crpo.stages.step import Folders, Step
from crpo.tables import read_table, write_table

PAID = "paid"


@dataclass(frozen=True)
class Baseline:
    """A model of `generate.baselines`.

    Attributes
    ----------
    name : str
        Its label in tables, and its place in the names of steps.
    section : GenerateSection
        The recipe's, with a grid of its own where the baseline has one.
    spec : str or mapping
        What draws, without the grid.
    drawer : Generator
    """

    name: str
    section: GenerateSection
    spec: Spec
    drawer: Generator

    @property
    def step(self) -> str:
        """The step that draws its samples."""
        return f"generate/{self.name}"

    @property
    def model(self) -> str:
        """Its model, as prices name it."""
        return getattr(self.drawer, "model", name_of(self.spec))

    @property
    def paid(self) -> bool:
        """Whether its samples cost money, as far as is known."""
        return getattr(self.drawer, "paid", True)


def baselines_of(recipe: Recipe) -> list[Baseline]:
    """Return the baselines of a run; a setting that a model does not take is an InputError here."""
    return [_baseline(recipe, name, spec) for name, spec in recipe.generate.baselines.items()]


def baseline_steps(recipe: Recipe, ruler: Arm) -> list[Step]:
    """Return the steps from baselines to their scores; each baseline is there once, whatever the study."""
    steps = []
    for baseline in baselines_of(recipe):
        steps.append(_generate_step(recipe, baseline))
        steps.append(evaluate_step(recipe, baseline.name, recipe.train.seed, ruler))
    return steps


def check_baselines(recipe: Recipe, to_do: Collection[str] | None = None) -> None:
    """Raise what would stop a baseline: no key, no library, a cap without a price, another number of samples.

    Of all baselines, or of those whose step is among `to_do`.
    """
    prices, sizes = read_prices(recipe.generate.prices), {"a model of the run": _samples(recipe.generate)}
    check_sizes({**sizes, **{own.name: _samples(own.section) for own in baselines_of(recipe)}}, recipe.evaluate)
    for baseline in baselines_of(recipe):
        if to_do is None or baseline.step in to_do:
            check_ready(baseline.drawer)
            if baseline.paid:
                _caps(recipe).check(baseline.model, prices.get(baseline.model))


def foresee_baselines(
    recipe: Recipe, steps: Sequence[Step], to_do: Collection[str], folder: Path
) -> list[dict[str, Any]]:
    """Return what the samples of each baseline that are not there will use and cost; nothing is drawn.

    Prompts are those of the run folder or, where they are not there yet, of the data file; without it, nothing is told.
    """
    own = [baseline for baseline in baselines_of(recipe) if baseline.step in to_do]
    prompts = _prompts(recipe, steps, to_do, folder) if own else None
    if prompts is None:
        return []
    prices, found = read_prices(recipe.generate.prices), []
    for baseline in own:
        order = _order(recipe, baseline, prompts)
        facts, estimate = foresee(order, _records(folder, baseline, order), prices.get(baseline.model))
        found.append({"baseline": baseline.name, "model": baseline.model, **facts, **estimate.facts()})
    return found


def _samples(section: GenerateSection) -> int:
    return sum(cell.samples for cell in section.grid)


def _baseline(recipe: Recipe, name: str, spec: Spec) -> Baseline:
    section = recipe.generate
    if not isinstance(spec, str) and "grid" in spec:
        where = f"generate.baselines.{name}"
        section = section.model_copy(
            update={"grid": check_section(GenerateSection, {"grid": spec["grid"]}, where).grid}
        )
        spec = {key: value for key, value in spec.items() if key != "grid"}
    return Baseline(name, section, spec, generator_of(section, recipe.policy, "", spec))


def _generate_step(recipe: Recipe, baseline: Baseline) -> Step:
    drawer = identity(baseline.spec, baseline.drawer, baseline.model)
    settings = {"generate": baseline.section.model_dump(exclude={*NO_RESULT, "generator"}), "generator": drawer}
    tasks = local(recipe.data.tasks or "") if baseline.section.lengths else ()
    reads = (*drawer_files(drawer), *tasks)
    apart = PAID if baseline.paid else ""  # each counts what the others have used
    return Step(baseline.step, partial(_generate, recipe, baseline), settings, (answers_step(recipe),), reads, apart)


def _generate(recipe: Recipe, baseline: Baseline, out: Path, inputs: Folders) -> None:
    prompts = held_out(read_answers(inputs[answers_step(recipe)]))
    folder = out.parent.parent
    records = _records(folder, baseline, _order(recipe, baseline, prompts)) if baseline.paid else out / "records.jsonl"
    caps = _caps(recipe, folder, records) if baseline.paid else Caps()
    samples = generate(
        baseline.section, recipe.policy, "", baseline.name, prompts, records, generator=baseline.spec, caps=caps,
        tasks=recipe.data.tasks,
    )  # fmt: skip
    write_table(samples, out / "samples.csv")
    check_failures(baseline.section, samples, baseline.name)


def _order(recipe: Recipe, baseline: Baseline, prompts: pd.DataFrame) -> Order:
    return plan_samples(baseline.section, recipe.policy, "", prompts, generator=baseline.spec, tasks=recipe.data.tasks)


def _records(folder: Path, baseline: Baseline, order: Order) -> Path:
    return folder / PAID / f"{baseline.name}-{settings_hash(plain(order.about))}.jsonl"


def _caps(recipe: Recipe, folder: Path | None = None, records: Path | None = None) -> Caps:
    """Return the run's caps, and what was used in the files of paid records other than `records`."""
    section, tokens, cost = recipe.generate, 0, 0.0
    prices = read_prices(section.prices)
    for path in sorted((folder / PAID).glob("*.jsonl")) if folder else ():
        if path != records:
            about, lines = read_records(path)
            model, usage = str(about.get("model", about["generator"])), usage_of(lines)
            if section.max_cost is not None:
                Caps(max_cost=section.max_cost).check(model, prices.get(model))
                cost += usage.cost(prices[model])
            tokens += usage.tokens
    return Caps(section.max_tokens, section.max_cost, tokens, cost)


def _prompts(recipe: Recipe, steps: Sequence[Step], to_do: Collection[str], folder: Path) -> pd.DataFrame | None:
    if answers_step(recipe) not in to_do:
        return held_out(read_answers(folder / answers_step(recipe)))
    if not data_source(recipe).exists():
        return None
    with TemporaryDirectory() as scratch:
        steps[0].work(Path(scratch), {})
        kind = "rated answers" if recipe.data.ratings else "identified answers"
        return held_out(read_table(Path(scratch) / "answers.csv", kind))
