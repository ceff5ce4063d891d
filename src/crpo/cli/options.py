"""What commands share: options, and how they tell what they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crpo.recipe import ModelsSection, S, apply_changes, check_section

Json = Annotated[bool, typer.Option("--json", help="Print a summary for machines on standard output.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting of the recipe's section: key=value; may be repeated.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Table to write: .csv, .tsv, .jsonl or .parquet.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write the model to.")]


def section(kind: type[S], changes: list[str] | None, **options: Any) -> S:
    """Return a recipe section from options that were given (None was not) and `--set` changes."""
    content = {key: value for key, value in options.items() if value is not None}
    apply_changes(content, changes or [])
    return check_section(kind, content, "command line")


def check_output(path: Path) -> None:
    """Fail before any work when the output cannot be written."""
    from crpo.errors import InputError, did_you_mean
    from crpo.tables import SUFFIXES

    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"output {path} has an unknown file ending", did_you_mean(path.suffix, SUFFIXES))
    if path.is_dir():
        raise InputError(f"output {path} is a folder", "Name a file.")


def tell(summary: dict[str, Any], as_json: bool) -> None:
    """Print what was done: a line per fact, or JSON."""
    if as_json:
        print(json.dumps(summary, default=str))
    else:
        for what, value in summary.items():
            print(f"{what}: {value:,}" if isinstance(value, int) else f"{what}: {value}")


def counts(account: Any) -> dict[str, int]:
    """Return a stage's account as facts to tell."""
    return {str(what): int(count) for what, count in zip(account["what"], account["count"], strict=True)}


def measuring_models(embedder: str | None, language_model: str, quality_model: str) -> dict[str, str]:
    """Return the models that signals and metrics measure with, by the names of their fields."""
    named = embedder or ModelsSection().embedder
    return {"embedder": named, "language_model": language_model, "quality_model": quality_model}
