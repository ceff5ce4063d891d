"""Samples from a model: drawn, kept record by record, continued, and stopped at a cap."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crpo.budget import Caps, Price, Usage, add_to_pace, read_prices, usage_of
from crpo.components import Spec
from crpo.errors import BudgetReachedError, InputError, TooManyFailuresError
from crpo.generators import STATUSES
from crpo.over_ray import draw_over_ray, on_workers
from crpo.progress import say, track
from crpo.recipe.sections import GenerateSection, PolicySection
from crpo.records import RecordStore
from crpo.stages.order import Order, plan_samples

SAMPLE_COLUMNS = [
    "prompt_id", "prompt", "model", "sample", "response", "status", "finish_reason", "tokens", "temperature", "top_p",
    "top_k", "seed",
]  # fmt: skip
NO_CAPS = Caps()
USAGE_COLUMNS = ["attempts", "input_tokens", "output_tokens", "thinking_tokens"]


def generate(
    section: GenerateSection,
    policy: PolicySection,
    model: str,
    label: str,
    prompts: pd.DataFrame,
    records: Path,
    source: str | None = None,
    generator: Spec = "hf",
    caps: Caps = NO_CAPS,
    pace: Path | None = None,
    tasks: str | Path | None = None,
) -> pd.DataFrame:
    """Draw samples for every prompt over the decoding grid.

    Samples already in `records` are not drawn again, except those that failed (status "error"). Refused, empty,
    truncated and filtered ones are what the model does: drawing them again would keep only what suits.

    Parameters
    ----------
    section : GenerateSection
    policy : PolicySection
        For dtype, revision and chat template.
    model : str
        Hub id, folder, or a provider's name; "" for a generator without one.
    label : str
        The model's name in the table.
    prompts : DataFrame
        prompt_id, prompt, and columns to carry along such as task, item, split.
    records : Path
        JSONL file each sample is written to as it arrives (`RecordStore`).
    source : str, optional
        What the records are of, when the model's path is not its identity (in a run folder); the model by default.
    generator : str or mapping
        A name of `GENERATORS`, `module:Name`, or `{use: name, **settings}`; settings of the section and the policy are
        filled into its fields of the same names.
    caps : Caps
        Most tokens and dollars of all records of the file; prices are the package's and those of `section.prices`.
    pace : Path, optional
        File in which the time a sample takes is kept for later estimates (`crpo.budget.pace`).
    tasks : path, optional
        Task templates of one's own (`crpo.tasks`), for `lengths`.

    Returns
    -------
    DataFrame
        The samples table, ordered by prompt and sample: what could be drawn. Whether too much of it failed is for the
        caller to ask (`check_failures`), who writes it first.

    Raises
    ------
    BudgetReachedError
        When samples are missing because of a cap (exit code 7); everything drawn is in `records`.
    TooManyFailuresError
        When no sample is usable (exit code 6).
    RunMismatchError, RunInUseError, InputError
        As `RecordStore`.
    """
    order = plan_samples(section, policy, model, prompts, source, generator, tasks)
    price = read_prices(section.prices).get(order.model)
    caps.check(order.model, price)
    with RecordStore(records, order.about) as store:
        _tell_what_is_there(order, store, label)
        _draw(section, order, store, label, caps, price, pace)
        return samples_of(order, store, label)


def check_failures(section: GenerateSection, samples: pd.DataFrame, label: str) -> None:
    """Raise TooManyFailuresError (exit code 6) where more than `max_error_share` of the samples have status "error"."""
    failed = int((samples["status"] == "error").sum())
    if failed > section.max_error_share * len(samples):
        allowed = f"max_error_share {section.max_error_share:g}"
        raise TooManyFailuresError(f"{failed:,} of {len(samples):,} samples of {label} failed, more than {allowed}",
                                   "The same command again asks for these once more.")  # fmt: skip


def samples_of(order: Order, store: RecordStore, label: str) -> pd.DataFrame:
    """Return the table of the order's samples that have a record.

    Raises
    ------
    TooManyFailuresError
        When none is usable.
    """
    found = [record for request in order.requests if (record := store.get(request.key)) is not None]
    table = pd.DataFrame(found).assign(model=label).reindex(columns=[*SAMPLE_COLUMNS, *USAGE_COLUMNS])
    table[USAGE_COLUMNS] = table[USAGE_COLUMNS].astype("Int64")
    extra = [column for column in ("task", "item", "split", "language") if column in order.prompts]
    table = table.merge(order.prompts[["prompt_id", *extra]], on="prompt_id", how="inner")
    if not (table["status"] == "ok").any():
        counts = table["status"].value_counts().to_dict()
        fix = (
            "The same command again asks for them once more." if "error" in counts else "Raise generate.max_new_tokens."
        )
        raise TooManyFailuresError(f"no sample of {label} is usable: {counts}", fix)
    return table.sort_values(["prompt_id", "sample"]).reset_index(drop=True)


class _Had(Mapping[str, Any]):
    """The records that need not be drawn, those in the store that are no errors; once `spent`, every key is there.

    Later turns of a protocol quote the records of earlier ones.
    """

    def __init__(self, store: RecordStore) -> None:
        self.store, self.spent = store, False

    def __contains__(self, key: object) -> bool:
        return self.spent or key in self.store

    def __getitem__(self, key: str) -> dict[str, Any]:
        if key not in self.store:
            raise KeyError(key)
        return self.store[key]

    def __iter__(self) -> Iterator[str]:
        return iter([record["key"] for record in self.store.all() if record["key"] in self.store])

    def __len__(self) -> int:
        return len(list(iter(self)))


def _draw(
    section: GenerateSection, order: Order, store: RecordStore, label: str, caps: Caps, price: Price | None,
    pace: Path | None,
) -> None:  # fmt: skip
    had, usage, missing = _Had(store), usage_of(store.lines), len(order.missing(store))
    had.spent = caps.reached(usage, price) is not None
    if missing and not had.spent:
        before, start = usage.samples, time.monotonic()
        try:
            _draw_missing(section, order, store, label, caps, price, had, usage)
        finally:
            if pace is not None and usage.samples > before:
                add_to_pace(pace, usage.samples - before, time.monotonic() - start)
    reached, left = caps.reached(usage, price), len(order.missing(store))
    if reached and left:
        there = f"{len(order.requests) - left:,} of {len(order.requests):,} samples are in {store.path}"
        raise BudgetReachedError(f"{label}: {reached}; {there}", "The same with a higher cap continues.")


def _draw_missing(
    section: GenerateSection, order: Order, store: RecordStore, label: str, caps: Caps, price: Price | None, had: _Had,
    usage: Usage,
) -> None:  # fmt: skip
    drawn = _drawn(section, order, had)
    closing = contextlib.closing(drawn) if hasattr(drawn, "close") else contextlib.nullcontext()  # type: ignore[type-var]
    samples = {request.key for request in order.requests}
    with closing, track(f"samples of {label}", len(order.requests)) as advance:
        advance(len(order.requests) - len(order.missing(store)))
        for record in drawn:
            _check_status(record)
            usage.add(record)
            store.append(record)
            advance(int(record["key"] in samples), usage.told(price))  # earlier turns of a protocol are no samples
            had.spent = had.spent or caps.reached(usage, price) is not None
            if had.spent and not getattr(order.generator, "drains", False):
                break


def _drawn(section: GenerateSection, order: Order, had: _Had) -> Iterator[dict[str, Any]]:
    pairs = list(zip(order.prompts["prompt_id"], order.prompts["prompt"], strict=True))
    if section.engine == "local":
        return order.generator(pairs, seed=order.seed, had=had)
    return draw_over_ray(order.generator, pairs, seed=order.seed, had=had, **on_workers(section))


def _check_status(record: dict[str, Any]) -> None:
    if record.get("status") not in STATUSES:
        found = f"a sample of prompt {record.get('prompt_id')!r} has status {record.get('status')!r}"
        raise InputError(found, f"A generator's statuses are {', '.join(STATUSES)}.")


def _tell_what_is_there(order: Order, store: RecordStore, label: str) -> None:
    if store.cut:
        say(f"  {store.path}: a torn last line of {store.cut:,} bytes is cut off; its sample is drawn again")
    there = [record["status"] for request in order.requests if (record := store.get(request.key)) is not None]
    failed = there.count("error")
    if there:
        again = f"; {failed:,} failed and are asked for again" if failed else ""
        say(f"  {label}: {len(there) - failed:,} of {len(order.requests):,} samples are there{again}")
    kept = [
        f"{there.count(status):,} {status}" for status in STATUSES if status not in ("ok", "error") and status in there
    ]
    if kept:
        say(f"  {', '.join(kept)}: these stay, as they are what the model does; drawing them again would select")
