"""What commands share: options, and how they tell what they did."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from crpo.errors import InputError
from crpo.recipe import S, apply_changes, check_section
from crpo.recipe.sections import EvaluateSection, ModelsSection

Json = Annotated[bool, typer.Option("--json", help="Print a summary for machines on standard output.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting of the recipe's section: key=value; may be repeated.")
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="Table to write: .csv, .tsv, .jsonl, .parquet, .xlsx, .sav.")
]
Scale = Annotated[str | None, typer.Option(help="Ends of the raters' scale, as 1-5 or 0:6.")]
MissingCodes = Annotated[str | None, typer.Option(help='Ratings that mean "not rated", as 0,99,NA.')]
Raters = Annotated[
    str | None, typer.Option(help="The columns of a wide table that are raters. With --design: how many, or names.")
]
DropInvalid = Annotated[
    bool, typer.Option("--drop-invalid", help="Leave wrong rows out, and list them in OUTPUT_STEM.dropped.csv.")
]
Tasks = Annotated[
    Path | None, typer.Option("--tasks", help="YAML file of task templates of your own: three lines a task.")
]
NEEDED_BY = {"surprise": "language_model", "quality": "quality_model", "statistical_rarity": "people"}
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write the model to.")]


def section(kind: type[S], changes: list[str] | None, /, **options: Any) -> S:
    """Return a recipe section from options that were given (None was not) and `--set` changes."""
    content = {key: value for key, value in options.items() if value is not None}
    apply_changes(content, changes or [])
    return check_section(kind, content, "command line")


def spec_of(text: str, option: str) -> str | dict[str, Any]:
    """Return a component's name, or the mapping that `{use: name, setting: value}` is."""
    import yaml

    if not text.lstrip().startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{option} {text!r} is not YAML", "Write {use: name, setting: value}.") from None


def check_output(path: Path, *others: Path) -> None:
    """Fail before any work when the table cannot be written, or would overwrite one of the command's other files."""
    from crpo.tables import check_ending

    check_ending(path)
    check_file(path, *others)


def check_file(path: Path, *others: Path) -> None:
    """Fail before any work when the file cannot be written, or would overwrite one of the command's other files."""
    if path.is_dir():
        raise InputError(f"output {path} is a folder", "Name a file.")
    if path.resolve() in [other.resolve() for other in others]:
        raise InputError(f"output {path} is also another file of this command", "Name a new file.")
    _check_place(path)


def check_beside(path: Path, source: Path) -> None:
    """Fail before any work when a file that is written beside the output would overwrite the input."""
    if path.resolve() == source.resolve():
        raise InputError(f"{path} would be overwritten", "Name another output with -o.")


def check_folder(path: Path) -> None:
    """Fail before any work when the folder cannot be made and written into."""
    if path.exists() and not path.is_dir():
        raise InputError(f"output {path} is a file", "Name a folder.")
    _check_place(path / "a file in it")


def _check_place(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: {folder} is no folder one may write into", "Choose another place.")


@contextmanager
def naming(*files: Path) -> Iterator[None]:
    """Put the files' names before the error of a stage, which does not know them."""
    try:
        yield
    except InputError as error:
        if any(str(file) in error.problem for file in files):
            raise
        raise InputError(f"{' and '.join(map(str, files))}: {error.problem}", error.fix) from error


def names_of(use: str) -> dict[str, str]:
    """Return the signals or metrics that `--use` names."""
    names = [name.strip() for name in use.split(",") if name.strip()]
    if not names:
        raise InputError("--use names nothing", "Write --use novelty,diversity.")
    return {name: name for name in names}


def metrics_of(use: str | None, models: Mapping[str, str]) -> dict[str, Any]:
    """Return the metrics that `--use` names, by the names a run has for them; without it those a run measures.

    Of a run's those are left out that need what was not given: a language model, a quality model, people's answers.
    """
    defaults = EvaluateSection().metrics
    if use is not None:
        return {name: defaults.get(name, name) for name in names_of(use)}
    return {name: spec for name, spec in defaults.items() if models.get(NEEDED_BY.get(name, ""), "given")}


def check_models(*names: str) -> None:
    """Fail before any work when a model folder, or a learned rater's file, is not there."""
    from crpo.embeddings.named import find_embedder
    from crpo.models import find_model

    for name in names:
        path = Path(name).expanduser()
        if path.suffix == ".npz" and not path.is_file():
            raise InputError(f"learned rater {name} does not exist", "Check the path.")
        if path.is_file() or name in ("", "tiny", "minilm", "base", "learned"):
            continue
        if "@" in name and not path.exists():  # an embedder's revision; no other model's name has one
            find_embedder(name)
            continue
        if len(path.parts) > 1 and path.parent.is_dir() and not path.exists():
            raise InputError(f"model folder {name} does not exist", "Check the path, or give a hub id.")
        find_model(name)


def check_components(signals: Iterable[Any], metrics: Iterable[Any], models: Mapping[str, str]) -> None:
    """Fail before any work when a signal or metric is unknown, or its settings are wrong."""
    from crpo.components import build, with_models
    from crpo.metrics import build_metric
    from crpo.signals import SIGNALS

    for spec in signals:
        build(with_models(spec, SIGNALS, models), SIGNALS, "signal")
    for spec in metrics:
        build_metric(spec, models)


def tell(summary: dict[str, Any], as_json: bool) -> None:
    """Print what was done: a line per fact, or JSON."""
    if as_json:
        print(json.dumps(summary, default=str))
    else:
        for what, value in summary.items():
            print(f"{what}: {value:,}" if type(value) is int else f"{what}: {value}")


def tell_dropped(dropped: Sequence[Any] | None, output: Path) -> dict[str, Any]:
    """Write what was left out beside the output, and return that as facts to tell; none where nothing could be."""
    from crpo.tables import write_dropped

    if dropped is None:
        return {}
    path = write_dropped(sorted(dropped, key=lambda problem: (isinstance(problem.row, str), problem.row)), output)
    count = len({problem.row for problem in dropped})
    return {"rows dropped": f"{count:,} (listed in {path})" if path else 0}


def with_interval(row: Any) -> str:
    """Return a row of the estimates in words; NaN is not scored, and an interval may be unknown."""
    value, low, high = float(row.value), float(row.low), float(row.high)
    if value != value:
        return "not scored"
    return f"{value:.3g}" if low != low else f"{value:.3g} [{low:.3g}, {high:.3g}]"


def with_test(row: Any) -> str:
    """Return a row of the comparisons in words."""
    if row.difference != row.difference:
        return "not scored"
    found = f"{row.difference:+.3g}"
    if row.low == row.low:
        found += f" [{row.low:+.3g}, {row.high:+.3g}]"
    return found if row.p != row.p else f"{found}, p {row.p:.2g}, {row.p_holm:.2g} after Holm"


def counts(account: Any) -> dict[str, float]:
    """Return a stage's account as facts to tell."""
    return {str(what): int(count) if count == count // 1 else float(count)
            for what, count in zip(account["what"], account["count"], strict=True)}  # fmt: skip


def measuring_models(embedder: str | None, language_model: str, quality_model: str) -> dict[str, str]:
    """Return the models that signals and metrics measure with, by the names of their fields."""
    named = embedder or ModelsSection().embedder
    return {"embedder": named, "language_model": language_model, "quality_model": quality_model}


def rating_options(scale: str | None, missing_codes: str | None, raters: str | None) -> dict[str, Any]:
    """Return how a table of ratings is to be read."""
    codes = [_number_or_text(code) for code in names_in(missing_codes)]
    return {"scale": _ends(scale), "missing_codes": codes, "raters": names_in(raters)}


def names_in(text: str | None) -> list[str]:
    """Return the names in "anna,ben"."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _number_or_text(code: str) -> float | str:
    try:
        return float(code)
    except ValueError:
        return code


def _ends(text: str | None) -> tuple[float, float] | None:
    """Return low and high of "1-5" or, where a minus sign would confuse, "-2:2"."""
    if text is None:
        return None
    low, _, high = text.partition(":") if ":" in text else text.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        raise InputError(f"--scale {text!r} is not two numbers", "Write 1-5, or -2:2.") from None
