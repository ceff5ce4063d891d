"""The command that fits a rater on people's scores: learn-rater. It needs the train extra, for the embeddings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crpo.cli.options import (
    Json,
    Tasks,
    check_beside,
    check_file,
    check_models,
    measuring_models,
    naming,
    tell,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd


def learn_rater(
    answers: Annotated[Path, typer.Argument(help="Rated answers: task, item, response, and the target.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The rater's file: .npz.")],
    target: Annotated[str, typer.Option(help="Column of people's numbers, more being better.")] = "creativity_score",
    embedder: Annotated[str | None, typer.Option(help="minilm, character_ngrams, a hub id, or a folder.")] = None,
    tasks: Tasks = None,
    json: Json = False,
) -> None:
    """Fit a rater (ridge regression on embeddings) on people's scores, for the signals quality and originality.

    NAME.agreement.csv says, per task, how well it orders answers to prompts it did not see.

    Example: crpo learn-rater answers.csv -o rater.npz

    Example: crpo learn-rater rated.csv -o originality.npz --target originality
    """
    from crpo.errors import InputError
    from crpo.stages.rater import learn_rater as learn_rater_stage
    from crpo.stages.split import identify
    from crpo.tables import write_table

    if output.suffix != ".npz":
        raise InputError(f"output {output} is no .npz", "Name it rater.npz, say.")
    check_file(output, answers)
    agreement_file = output.with_name(f"{output.stem}.agreement.csv")
    check_beside(agreement_file, answers)
    name = measuring_models(embedder, "", "")["embedder"]
    check_models(name)
    table = _rated(answers, target)
    with naming(answers):
        rater, agreement = learn_rater_stage(identify(table, tasks=tasks), name, target)
    rater.save(output)
    write_table(agreement, agreement_file)
    shown = agreement.rename(columns={"correlation": "value"})
    facts = {f"correlation, {row.task}": with_interval(row) for row in shown.itertuples()}
    left = int(table[target].isna().sum())
    tell({"answers": len(table) - left, f"answers without {target}": left, "prompts": len(rater.prompts), **facts,
          "written": f"{output}, {agreement_file}"}, json)  # fmt: skip


def _rated(path: Path, target: str) -> pd.DataFrame:
    """Return the answers with the target as a column of numbers."""
    from crpo.datasets import load_data
    from crpo.datasets.forms import in_form
    from crpo.tables import Reading, check_table, kind_for
    from crpo.tables.kinds import ANY

    reading = Reading(path)
    frame = in_form(load_data(reading), "answers", None)
    kind = kind_for(frame, "answers")
    wanted = dataclasses.replace(kind, required=(*kind.required, target), numbers={**kind.numbers, target: ANY})
    return reading.settle(check_table(frame, wanted, reading), None)
