"""The command `crpo generate`: samples from a model here or at a provider."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import (
    Changes,
    Json,
    Output,
    Tasks,
    check_file,
    check_models,
    check_output,
    section,
    spec_of,
    tell,
)
from crpo.errors import BudgetReachedError, InputError

if TYPE_CHECKING:
    from crpo.recipe.sections import GenerateSection

LOCAL = ("hf", "vllm")  # generators whose model is a folder or a hub id


def generate(
    prompts: Annotated[Path, typer.Argument(help="Prompts: prompt_id, prompt; other columns are carried along.")],
    output: Output,
    model: Annotated[str, typer.Option(help="Hub id or folder; for a provider its name of the model.")] = "",
    generator: Annotated[
        str | None,
        typer.Option(help="Who draws: hf (default), vllm, openai, …, module:Name, or {use: name, setting: value}."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in the table; its last part by default.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit of a hub model.")] = None,
    chat_template: Annotated[str | None, typer.Option(help="own (the tokenizer's) or plain.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float64.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be drawn, and what it costs.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Most US dollars for all samples of OUTPUT; then exit code 7.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Most tokens, input and output, for all samples of OUTPUT; then exit 7.")
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="YAML of prices of your own: model: {input: 2.5, output: 10}, per million tokens."),
    ] = None,
    tasks: Tasks = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Draw samples over the decoding grid (the paper's 4 x 4 by default); the same command again continues.

    Example: crpo generate prompts.csv --model models/crpo -o samples.csv --set max_new_tokens=64

    Example: crpo generate prompts.csv --model models/crpo -o samples.csv --set engine=ray --set workers=8

    Every sample is written to OUTPUT_STEM.records.jsonl as it arrives. The same command draws what is missing and asks
    again for what failed. With other settings it ends with exit code 4, beside another process with 5, with more failed
    samples than max_error_share with 6, at a cap with 7: OUTPUT then holds what there is, and the same command, at a
    cap with a higher one, continues.
    """
    from crpo.budget import Caps, read_prices
    from crpo.datasets import read_data
    from crpo.over_ray import need_ray
    from crpo.recipe.sections import GenerateSection, PolicySection
    from crpo.stages.generate import generate as generate_stage
    from crpo.stages.order import check_ready, foresee, plan_samples

    records, pace = output.with_suffix(".records.jsonl"), output.with_suffix(".pace.json")
    check_output(output, prompts)
    check_file(records, prompts)
    drawer = None if generator is None else spec_of(generator, "--generator")
    chosen = {"model": model or None, "revision": revision, "chat_template": chat_template, "dtype": dtype}
    given = {"max_cost": max_cost, "max_tokens": max_tokens, "prices": None if prices is None else str(prices)}
    given["generator"] = drawer
    settings, policy = section(GenerateSection, changes, **given), section(PolicySection, None, **chosen)
    if settings.baselines:
        raise InputError("baselines are of a whole run", "Name the one to draw from with --generator.")
    table = read_data(prompts, "prompts")
    spec = settings.generator
    _check_model(spec, model)
    order = plan_samples(settings, policy, model, table, generator=spec, tasks=tasks)
    price, caps = read_prices(settings.prices).get(order.model), Caps(settings.max_tokens, settings.max_cost)
    caps.check(order.model, price)
    if dry_run:
        facts, estimate = foresee(order, records, price, pace)
        numbers = {"estimated_cost": None if math.isnan(estimate.cost) else estimate.cost} if json else {}
        return tell({**facts, **estimate.facts(), **numbers}, json)
    if settings.engine == "ray":
        need_ray()
    check_ready(order.generator)
    label = name or Path(model).name or _name(spec)
    try:
        samples = generate_stage(settings, policy, model, label, table, records, None, spec, caps, pace, tasks)
    except BudgetReachedError as reached:
        _write_what_is_there(order, records, label, output)
        raise reached
    _finish(settings, samples, label, output, json)
    return None


def _finish(settings: GenerateSection, samples: Any, label: str, output: Path, json: bool) -> None:
    from crpo.progress import say
    from crpo.stages.generate import check_failures
    from crpo.tables import write_table

    write_table(samples, output)
    statuses = {str(status): int(count) for status, count in samples["status"].value_counts().items()}
    tell({"samples": len(samples), **statuses, "written": str(output)}, json)
    check_failures(settings, samples, label)
    if "error" in statuses:
        say(f"  {statuses['error']:,} samples failed; the same command again asks for them once more")


def _write_what_is_there(order: Any, records: Path, label: str, output: Path) -> None:
    from crpo.errors import TooManyFailuresError
    from crpo.progress import say
    from crpo.records import RecordStore
    from crpo.stages.generate import samples_of
    from crpo.tables import write_table

    with RecordStore(records, order.about) as store:
        try:
            samples = samples_of(order, store, label)
        except TooManyFailuresError:
            return
    write_table(samples, output)
    say(f"  {output} holds {len(samples):,} of {len(order.requests):,} samples")


def _name(spec: str | dict[str, Any]) -> str:
    return str(spec if isinstance(spec, str) else spec.get("use"))


def _check_model(spec: str | dict[str, Any], model: str) -> None:
    if _name(spec) not in LOCAL:
        return
    own = "" if isinstance(spec, str) else str(spec.get("model", ""))
    if not (model or own):
        raise InputError(f"--model is missing: generator {_name(spec)} needs one", "Give a hub id or folder.")
    check_models(own or model)
