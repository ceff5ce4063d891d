"""Commands on tables: pair, score, weigh. The first and the last work without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import (
    Changes,
    DropInvalid,
    Json,
    Output,
    Tasks,
    check_beside,
    check_components,
    check_models,
    check_output,
    counts,
    measuring_models,
    names_of,
    naming,
    section,
    tell,
    tell_dropped,
)

if TYPE_CHECKING:
    from crpo.tables import Problem


def pair(
    responses: Annotated[Path, typer.Argument(help="Scored answers: task, item, response, creativity_score.")],
    output: Output,
    sft: Annotated[Path | None, typer.Option(help="Also write the SFT set here.")] = None,
    min_gap: Annotated[float | None, typer.Option(help="Least difference of a pair's scores.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Least score of an answer in a pair.")] = None,
    max_uses: Annotated[int | None, typer.Option(help="Most pairs an answer may be in.")] = None,
    order: Annotated[str | None, typer.Option(help="table (the official greedy order) or random (balanced).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random order.")] = None,
    agreement: Annotated[str | None, typer.Option(help="Raters must agree: any, partial or full.")] = None,
    max_theta_se: Annotated[float | None, typer.Option(help="Largest standard error of an answer's theta.")] = None,
    certainty: Annotated[
        float | None, typer.Option(help="Least probability that the chosen answer is better, as 0.9 (by theta_se).")
    ] = None,
    balance_lengths: Annotated[
        str | None, typer.Option(help="words or characters: chosen is the longer answer as often as not.")
    ] = None,
    expect: Annotated[str | None, typer.Option(help="paper: compare with the counts published for MuCE.")] = None,
    drop_invalid: DropInvalid = False,
    tasks: Tasks = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Build preference pairs from scored answers by MuCE's rules.

    Beside the pairs goes NAME.account.csv: what was kept and left out, for the card that `crpo export` writes.

    Example: crpo pair answers.csv -o pairs.csv --order random --seed 1

    Example: crpo pair muce.parquet -o pairs.csv --sft sft.csv --expect paper
    """
    from crpo.datasets import read_data
    from crpo.errors import InputError
    from crpo.recipe.sections import PairSection
    from crpo.stages.pair import pair as pair_stage
    from crpo.stages.split import identify
    from crpo.tables import write_table

    kept = output.with_name(f"{output.stem}.account.csv")
    check_output(output, responses)
    check_beside(kept, responses)
    if sft is not None:
        check_output(sft, responses, output, kept)
    if expect not in (None, "paper"):
        raise InputError(f"--expect {expect}: there are no such counts", "Write --expect paper.")
    settings = section(
        PairSection, changes, min_gap=min_gap, min_score=min_score, max_uses=max_uses, order=order, seed=seed,
        agreement=agreement, max_theta_se=max_theta_se, certainty=certainty, balance_lengths=balance_lengths,
    )  # fmt: skip
    dropped: list[Problem] | None = [] if drop_invalid else None
    table = read_data(responses, "responses", dropped)
    # The official greedy order is the file's own; a random one must not depend on it.
    ordered = identify(table, keep_order=settings.order == "table", tasks=tasks)
    with naming(responses):
        pairs, sft_set, account = pair_stage(settings, ordered)
        if sft is not None and sft_set.empty:
            raise InputError(f"no answer is for the SFT set (sft_min_score {settings.sft_min_score:g})",
                             "Lower it with --set sft_min_score=25, or leave out --sft.")  # fmt: skip
    write_table(pairs, output)
    write_table(account, kept)
    if sft is not None:
        write_table(sft_set, sft)
    compared = _beside_the_papers(pairs, sft_set) if expect else {}
    tell({**tell_dropped(dropped, output), **counts(account), **compared, "written": str(output)}, json)


def _beside_the_papers(pairs: Any, sft: Any) -> dict[str, str]:
    from crpo.stages.published import by_task, compare_with_paper

    return {
        f"paper, {row.task}": f"{row.pairs:,} pairs where it has {row.pairs_paper:,} ({row.pairs_difference:+,}), "
        f"{row.sft:,} SFT answers where it has {row.sft_paper:,} ({row.sft_difference:+,})"
        for row in compare_with_paper(by_task(pairs, sft)).itertuples()
    }


def score(
    responses: Annotated[Path, typer.Argument(help="Answers: task, item, response (creativity_score is not needed).")],
    output: Output,
    use: Annotated[str, typer.Option(help="Signals, separated by commas.")] = "novelty,diversity",
    embedder: Annotated[str | None, typer.Option(help="minilm, character_ngrams, a hub id, or a folder.")] = None,
    language_model: Annotated[str, typer.Option(help="For surprise: hub id or folder.")] = "",
    quality_model: Annotated[str, typer.Option(help="For quality: a learned rater's .npz, hub id or folder.")] = "",
    scale: Annotated[str | None, typer.Option(help="minmax (the paper's), log_minmax or rank.")] = None,
    drop_invalid: DropInvalid = False,
    tasks: Tasks = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Score answers with creativity signals, raw and scaled to [0, 1] within each prompt.

    With surprise, NAME.tokens.jsonl has it token by token, for a few answers or (--set surprise_detail=all) for all.

    Example: crpo score answers.csv -o signals.csv --use local_novelty,surprise --set scale.surprise=log_minmax
    """
    from crpo.datasets import read_data
    from crpo.recipe.sections import ScoreSection
    from crpo.stages.signals import score as score_stage
    from crpo.stages.split import identify
    from crpo.stages.tokens import token_surprise
    from crpo.tables import write_table

    check_output(output, responses)
    beside = output.with_name(f"{output.stem}.tokens.jsonl")
    check_beside(beside, responses)
    settings = section(ScoreSection, changes, signals=names_of(use), scale=scale)
    models = measuring_models(embedder, language_model, quality_model)
    check_models(*models.values())
    check_components(settings.signals.values(), (), models)
    dropped: list[Problem] | None = [] if drop_invalid else None
    answers = identify(read_data(responses, "answers", dropped), keep_order=True, tasks=tasks)
    table, account = score_stage(settings, answers, None, models)
    tokens = token_surprise(settings, answers, table, models)
    write_table(table, output)
    if tokens is not None:
        write_table(tokens, beside)
    written = str(output) if tokens is None else f"{output}, {beside}"
    tell({**tell_dropped(dropped, output), **counts(account), "written": written}, json)


def weigh(
    pairs: Annotated[Path, typer.Argument(help="Pairs, as `crpo pair` writes them.")],
    signals: Annotated[Path, typer.Argument(help="Signals, as `crpo score` writes them.")],
    output: Output,
    lambdas: Annotated[list[str], typer.Option("--lambda", help="signal=value; may be repeated.")],
    combine: Annotated[str | None, typer.Option(help="sum (paper), contrast (official code), product or none.")] = None,
    mean_weight: Annotated[float | None, typer.Option(help="Rescale the weights to this mean.")] = None,
    gate: Annotated[
        str | None, typer.Option(help="signal=share, as quality=0.15: pairs weigh 0 whose chosen answer is that low.")
    ] = None,
    drop_invalid: DropInvalid = False,
    json: Json = False,
) -> None:
    """Weigh pairs by the signals of their answers.

    Example: crpo weigh pairs.csv signals.csv -o weighted.csv --lambda novelty=1 --lambda quality=1
    """
    from crpo.datasets import read_data
    from crpo.errors import InputError
    from crpo.recipe.sections import GateSection, WeighSection
    from crpo.stages.signals import weigh as weigh_stage
    from crpo.tables import read_table, write_table

    check_output(output, pairs, signals)
    values = dict(_signal_number("--lambda", text, "novelty=1") for text in lambdas)
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise InputError(f"--lambda {name}={value:g}: λ must be a finite number ≥ 0", "Write --lambda novelty=1.")
    floor = None
    if gate is not None:
        signal, quantile = _signal_number("--gate", gate, "quality=0.15")
        floor = section(GateSection, None, signal=signal, quantile=quantile)
    settings = section(WeighSection, None, combine=combine, mean_weight=mean_weight, gate=floor)
    dropped: list[Problem] | None = [] if drop_invalid else None
    paired, scored = read_data(pairs, "pairs", dropped), read_table(signals, "signals")
    with naming(pairs, signals):
        table, account = weigh_stage(settings, values, paired, scored)
    write_table(table, output)
    tell({**tell_dropped(dropped, output), **counts(account), "written": str(output)}, json)


def _signal_number(option: str, text: str, example: str) -> tuple[str, float]:
    from crpo.errors import InputError

    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(f"{option} {text!r} is not signal=number", f"Write {option} {example}.") from None
