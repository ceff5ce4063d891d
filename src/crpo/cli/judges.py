"""NoveltyBench: judges of equivalence beside people's judgements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crpo.cli.options import Json, check_output, spec_of, tell

WITHOUT_A_MODEL = ["exact", "words", "paragraphs"]


def judge(
    pairs: Annotated[Path, typer.Argument(help="Judged pairs: prompt, generation_0, generation_1, similar (1 or 0).")],
    judge: Annotated[
        list[str] | None, typer.Option(help="A judge; may be repeated. Default: exact, words, paragraphs.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Table to write.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of prompts for the fitted threshold.")] = 10,
    json: Json = False,
) -> None:
    """Compare judges with people: accuracy, F1 and AUC with intervals, and the threshold that suits each judge.

    Example: crpo noveltybench judge human_similarity_pairs.jsonl --judge words --judge paragraphs
    """
    from crpo.noveltybench.agreement import read_human_pairs
    from crpo.stages.judging import judge_table
    from crpo.tables import write_table

    if output is not None:
        check_output(output, pairs)
    specs = [spec_of(text, "--judge") for text in judge or WITHOUT_A_MODEL]
    table = judge_table(read_human_pairs(pairs), specs, folds)
    if output is not None:
        write_table(table, output)
    rows = table.to_dict("records")
    tell({row["judge"]: row if json else _told(row) for row in rows}, json)


def _told(row: dict[Any, Any]) -> str:
    measured = [_with_interval(row, name) for name in ("accuracy", "f1", "auc")]
    fitted = [_with_interval(row, f"fitted_{name}") for name in ("accuracy", "f1")]
    return (
        f"{', '.join(measured)} at {row['threshold']:g}; fitted threshold {row['fitted_threshold']:.3f}, "
        f"out of fold {', '.join(fitted)}"
    )


def _with_interval(row: dict[Any, Any], name: str) -> str:
    return f"{name.removeprefix('fitted_')} {row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
