"""Commands on models: sft, train, evaluate. They need the train extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crpo.cli.launch import Launch, Strategy, launched
from crpo.cli.options import (
    Changes,
    DropInvalid,
    Folder,
    Json,
    Output,
    Tasks,
    check_components,
    check_folder,
    check_models,
    check_output,
    measuring_models,
    metrics_of,
    naming,
    section,
    tell,
    tell_dropped,
    with_interval,
    with_test,
)
from crpo.processes import is_first_process

if TYPE_CHECKING:
    import pandas as pd

    from crpo.recipe.sections import EvaluateSection, PolicySection
    from crpo.tables import Problem

Model = Annotated[str, typer.Option(help="Model to start from: hub id or folder.")]
Template = Annotated[str | None, typer.Option(help="own (the tokenizer's) or plain.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float64.")]
Lora = Annotated[int | None, typer.Option(help="Rank of LoRA adapters; without it every weight is trained.")]


def sft(
    answers: Annotated[Path, typer.Argument(help="SFT set: prompt, response.")],
    model: Model,
    output: Folder,
    chat_template: Template = None,
    dtype: Dtype = None,
    lora: Lora = None,
    launch: Launch = None,
    strategy: Strategy = "ddp",
    drop_invalid: DropInvalid = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Fine-tune a model on the best answers.

    Example: crpo sft sft.csv --model Qwen/Qwen3-0.6B -o models/sft --set epochs=1
    """
    from crpo.datasets import read_data
    from crpo.recipe.sections import SftSection
    from crpo.stages.train import train_sft
    from crpo.tables import write_table

    check_folder(output)
    settings, policy = section(SftSection, changes), _policy(model, chat_template, dtype, lora)
    dropped: list[Problem] | None = [] if drop_invalid else None
    table = read_data(answers, "sft", dropped)
    check_models(model)
    if launched(launch, strategy):
        return
    history = train_sft(settings, policy, model, table, output)
    if is_first_process():
        write_table(history, output / "history.csv")
    left_out = tell_dropped(dropped, output) if is_first_process() else {}
    tell({**left_out, "answers": len(table), "written": str(output)}, json)


def train(
    pairs: Annotated[Path, typer.Argument(help="Pairs: prompt, chosen, rejected; weight is 1 where there is none.")],
    model: Model,
    output: Folder,
    chat_template: Template = None,
    dtype: Dtype = None,
    lora: Lora = None,
    launch: Launch = None,
    strategy: Strategy = "ddp",
    drop_invalid: DropInvalid = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Train a model on weighted preference pairs: CrPO, or DPO where every weight is 1.

    Example: crpo train weighted.csv --model models/sft -o models/crpo --set beta=0.1
    """
    from crpo.datasets import read_data
    from crpo.recipe.sections import TrainSection
    from crpo.stages.train import train_crpo
    from crpo.tables import write_table

    check_folder(output)
    settings, policy = section(TrainSection, changes), _policy(model, chat_template, dtype, lora)
    dropped: list[Problem] | None = [] if drop_invalid else None
    table = read_data(pairs, "preferences", dropped)
    check_models(model)
    if launched(launch, strategy):
        return
    history = train_crpo(settings, policy, model, table, output, output.name)
    if is_first_process():
        write_table(history, output / "history.csv")
    left_out = tell_dropped(dropped, output) if is_first_process() else {}
    tell({**left_out, "pairs": len(table), "weighted": "weight" in table, "written": str(output)}, json)


def evaluate(
    samples: Annotated[Path, typer.Argument(help="Samples, as `crpo generate` writes them.")],
    output: Output,
    use: Annotated[
        str | None, typer.Option(help="Metrics, separated by commas; by default a run's whose models are given.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="minilm, character_ngrams, a hub id, or a folder.")] = None,
    language_model: Annotated[str, typer.Option(help="For surprise: hub id or folder.")] = "",
    quality_model: Annotated[str, typer.Option(help="For quality: a learned rater's .npz, hub id or folder.")] = "",
    people: Annotated[
        Path | None, typer.Option(help="People's answers to the same prompts: task, item, response.")
    ] = None,
    tasks: Tasks = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only the best samples of each prompt: how many.")] = None,
    by: Annotated[str | None, typer.Option(help="What is best: a column of numbers, or a signal (quality).")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model the others are compared with; by default DPO, SFT, base, or the first.")
    ] = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Measure samples: scores per prompt, and per model with bootstrap intervals in NAME.estimates.csv.

    Example: crpo evaluate samples.csv -o scores.csv --use diversity,vendi,words

    Example: crpo evaluate samples.csv -o scores.csv --use statistical_rarity,human_distance --people answers.csv

    Example: crpo evaluate samples.csv -o scores.csv --top 4 --by quality --baseline DPO --set outliers.rule=drop

    With two models or more, NAME.comparisons.csv has each against the baseline, prompt by prompt: difference, interval,
    p, p after Holm's correction, effect size.
    """
    import pandas as pd

    from crpo.errors import InputError
    from crpo.metrics.people import people_answers
    from crpo.recipe.sections import EvaluateSection
    from crpo.stages.compare import baselines_of, compare, estimate
    from crpo.stages.evaluate import evaluate as evaluate_stage
    from crpo.stages.evaluate_input import apart, asked_of
    from crpo.tables import read_table, write_table

    check_output(output, samples)
    if by is not None and top is None:
        raise InputError(f"--by {by} without --top", "Say how many samples of each prompt, as --top 4.")
    chosen = {"samples": top, "by": by} if by else {"samples": top}
    models = measuring_models(embedder, language_model, quality_model)
    check_models(*models.values())
    models |= {"people": str(people or ""), "tasks": str(tasks or "")}
    settings = section(EvaluateSection, changes, metrics=metrics_of(use, models), top=chosen if top else None)
    check_components((), settings.metrics.values(), models)
    table = read_table(samples, "samples")
    people_answers(models["people"], table)
    if not (table["status"] == "ok").any():
        found = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
        raise InputError(f"{samples}, column 'status': no sample is ok ({found})", "Write ok for those that count.")
    baselines = baselines_of(baseline, sorted(set(table["model"])))
    with naming(samples):
        populations = apart(table)
        asked = asked_of([own for _, own in populations], settings)
    parts = [evaluate_stage(settings, own, models, seed, asked) for seed, own in populations]
    scores = pd.concat(parts, ignore_index=True)
    estimates = estimate(settings, scores)
    write_table(scores, output)
    write_table(estimates, output.with_name(f"{output.stem}.estimates.csv"))
    shown = estimates[estimates["split"] == "all"]
    facts = {f"{row.model} {row.metric}": with_interval(row) for row in shown.itertuples()}
    if scores["model"].nunique() > 1:
        comparisons = compare(settings, scores, baselines)
        write_table(comparisons, output.with_name(f"{output.stem}.comparisons.csv"))
        shown = comparisons[comparisons["split"] == "all"]
        facts |= {f"{row.model} − {row.baseline} {row.metric}": with_test(row) for row in shown.itertuples()}
    tell({**facts, **_chosen_facts(settings, estimates), "written": str(output)}, json)


def _chosen_facts(settings: EvaluateSection, estimates: pd.DataFrame) -> dict[str, str]:
    """Return which samples count, and how many values an outlier rule touched, where such a choice was made."""
    facts = {}
    if settings.top is not None:
        facts["samples that count"] = f"the best {settings.top.samples} of each prompt by {settings.top.by}"
    if settings.outliers is not None:
        count = int(estimates.loc[estimates["split"] == "all", "outliers"].sum())
        facts["outliers"] = f"{count} ({settings.outliers.rule})"
    return facts


def _policy(model: str, chat_template: str | None, dtype: str | None, lora: int | None) -> PolicySection:
    from crpo.recipe.sections import PolicySection

    adapters = None if lora is None else {"r": lora, "alpha": 2 * lora}
    return section(PolicySection, None, model=model, chat_template=chat_template, dtype=dtype, lora=adapters)
