"""What is to be drawn, and what that will cost, before anything is."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from crpo.budget import Estimate, Price, Usage, estimate_tokens, seconds_per_sample, usage_of
from crpo.components import Spec, build, with_models
from crpo.errors import InputError
from crpo.generators import GENERATORS, Decoding, Generator, Request, requests_for
from crpo.models import fingerprint
from crpo.recipe.sections import GenerateSection, PolicySection
from crpo.records import RecordStore
from crpo.tasks import read_tasks, with_length


@dataclass(frozen=True)
class Order:
    """What is to be drawn: prompts with their samples' requests, by whom, and what its records are of."""

    prompts: pd.DataFrame
    requests: list[Request]
    generator: Generator
    about: dict[str, Any]
    model: str
    seed: int

    @property
    def max_new_tokens(self) -> int | None:
        """Most tokens of one reply; None where the generator does not say."""
        return getattr(self.generator, "max_new_tokens", None)

    def missing(self, store: RecordStore | None) -> list[Request]:
        """Return the requests that have no record yet, or failed."""
        return [request for request in self.requests if store is None or request.key not in store]


def plan_samples(
    section: GenerateSection, policy: PolicySection, model: str, prompts: pd.DataFrame, source: str | None = None,
    generator: Spec = "hf", tasks: str | Path | None = None,
) -> Order:  # fmt: skip
    """Return what `generate` will draw; parameters as there.

    Raises
    ------
    InputError
        For a generator that is not known, lacks a setting, or has no `grid`, and for `lengths` without tasks.
    """
    prompts = prompts.drop_duplicates("prompt_id").sort_values("prompt_id").reset_index(drop=True)
    prompts = _with_lengths(prompts, tasks) if section.lengths else prompts
    drawer = generator_of(section, policy, model, generator)
    pairs = zip(prompts["prompt_id"], prompts["prompt"], strict=True)
    requests = [request for pair in pairs for request in requests_for(*pair, cast("Any", drawer).grid, section.seed)]
    about = {**identity(generator, drawer, source), "lengths": section.lengths, "seed": section.seed}
    named = getattr(drawer, "model", name_of(generator))
    return Order(prompts, requests, drawer, about, named, section.seed)


def generator_of(section: GenerateSection, policy: PolicySection, model: str, generator: Spec) -> Generator:
    """Return the generator, the section's and the policy's settings filled into its fields; raises as `plan_samples`.

    What a model does not take is refused here, before anything is asked.
    """
    grid = tuple(Decoding(**cell.model_dump()) for cell in section.grid)
    name = name_of(generator)
    if not isinstance(generator, str) and "grid" in generator:
        raise InputError(f"generator {name!r} has a grid of its own", "Write the grid as --set grid=[…].")
    offered = {
        "model": model, "grid": grid, "max_new_tokens": section.max_new_tokens, "chat_template": policy.chat_template,
        "dtype": policy.dtype, "revision": policy.revision if model == policy.model else None,
    }  # fmt: skip
    drawer = build(with_models(generator, GENERATORS, {k: v for k, v in offered.items() if v not in ("", None)}),  # type: ignore[dict-item]
                   GENERATORS, "generator")  # fmt: skip
    if not dataclasses.is_dataclass(drawer) or getattr(drawer, "grid", None) != grid:
        raise InputError(
            f"generator {name!r} is no dataclass with a field grid", "Give it one, as crpo.generators.hf has."
        )
    return cast("Generator", drawer)


def check_ready(generator: Generator) -> None:
    """Raise what would stop the generator's first sample, a missing key say, where it can tell; nothing is asked."""
    getattr(generator, "ready", lambda: None)()


def name_of(generator: Spec) -> str:
    """Return what a generator is called in a recipe or on the command line."""
    return str(generator if isinstance(generator, str) else generator.get("use"))


def identity(generator: Spec, drawer: Any, source: str | None = None) -> dict[str, Any]:
    """Return what tells a generator's samples from those of another: name and settings, without those of no effect.

    Settings of no effect are the fields its repr leaves out; the same of a generator inside another (`InTurns`), whose
    settings stand under `over`. The model is its `fingerprint`, or `source`.
    """
    shown = {field.name for field in dataclasses.fields(drawer) if field.repr}
    fields = {name: value for name, value in dataclasses.asdict(drawer).items() if name in shown}
    if fields.get("model"):
        fields["model"] = source or fingerprint(fields["model"])
    if hasattr(drawer, "replying"):
        over = identity(fields.pop("generator"), drawer.replying, source)
        fields["over"] = {name: value for name, value in over.items() if name not in fields or fields[name] != value}
    return {"generator": name_of(generator), **fields}


def foresee(
    order: Order, records: Path, price: Price | None, pace: Path | None = None
) -> tuple[dict[str, Any], Estimate]:
    """Return how many samples there are and are missing, and what the missing ones will use; nothing is drawn.

    Raises
    ------
    RunMismatchError, RunInUseError, InputError
        As `RecordStore`, when there are records already.
    """
    if not records.exists():
        return _forecast(order, None, price, math.nan)
    with RecordStore(records, order.about) as store:
        return _forecast(order, store, price, math.nan if pace is None else seconds_per_sample(pace))


def _forecast(
    order: Order, store: RecordStore | None, price: Price | None, seconds: float
) -> tuple[dict[str, Any], Estimate]:
    missing = order.missing(store)
    failed = sum(store is not None and store.get(request.key) is not None for request in missing)
    usage = Usage() if store is None else usage_of(store.lines)
    facts = {"samples": len(order.requests), "already there": len(order.requests) - len(missing),
             "to draw": len(missing), "of them failed before": failed, "used so far": usage.told(price)}  # fmt: skip
    prompts, quoted = [request.prompt for request in missing], 0
    if hasattr(order.generator, "will_ask"):
        records = [] if store is None else store.all()
        prompts, quoted = cast("Any", order.generator).will_ask(missing, records)
    return facts, estimate_tokens(prompts, usage, order.max_new_tokens, price, seconds, quoted)


def _with_lengths(prompts: pd.DataFrame, own: str | Path | None) -> pd.DataFrame:
    if "task" not in prompts:
        raise InputError("generate.lengths needs the prompts' tasks, and there is no column 'task'", "Add it.")
    tasks, asked = read_tasks(own), zip(prompts["prompt"], prompts["task"], strict=True)
    return prompts.assign(prompt=[with_length(prompt, task, tasks) for prompt, task in asked])
