"""The command that hands on a table or a model: export. It works without torch, but for merging."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crpo.cli.model_export import export_model
from crpo.cli.options import DropInvalid, Json, check_folder, naming, tell, tell_dropped
from crpo.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from crpo.stages.card import Source
    from crpo.tables import Problem

CARD = "README.md"


def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the files and their card to.")],
    table: Annotated[Path | None, typer.Argument(help="A table of any kind, or what `crpo check` takes.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Instead of a table: a model's folder, or RUN/ARM of a run folder.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="With --model: merge LoRA adapters into their base.")] = False,
    base: Annotated[str, typer.Option(help="With --model: hub id of the model it was trained from.")] = "",
    format: Annotated[str, typer.Option(help="trl, csv (for people), parquet or hub (as trl, and pushed).")] = "trl",
    kind: Annotated[str | None, typer.Option(help="responses, pairs, …; by default told by the columns.")] = None,
    title: Annotated[str, typer.Option(help="Title of the card.")] = "",
    source: Annotated[
        list[str] | None, typer.Option(help='Where the answers come from: a name of `crpo fetch`, or "NAME, LICENCE".')
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the export, as MIT.")] = "",
    account: Annotated[
        Path | None, typer.Option(help="What was kept and left out; by default looked for beside.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="With --format hub: OWNER/NAME to push to, made private.")] = None,
    drop_invalid: DropInvalid = False,
    json: Json = False,
) -> None:
    """Write a table or a model in a form others use, with a card that says where it comes from and what was left out.

    Example: crpo export pairs.csv --format trl -o export --source ocsai

    Example: crpo export --model runs/mine/CrPO-div --merge -o export --licence apache-2.0
    """
    if model is not None or table is None:
        _check_model_options(table, model, [kind, source, account, repo])
        export_model(Path(str(model)), output, merge=merge, title=title, licence=licence, base=base, as_json=json)
        return
    if merge or base:
        raise InputError("--merge and --base are for models", "Name one with --model FOLDER.")
    from crpo.stages.card import read_account, render_card
    from crpo.stages.export import FORMATS
    from crpo.stages.export import export as export_table
    from crpo.stages.pushing import push
    from crpo.tables import write_whole

    if format not in FORMATS:
        raise InputError(f"--format {format}: there is no such format", did_you_mean(format, FORMATS))
    if (format == "hub") != (repo is not None):
        raise InputError("--format hub and --repo belong together", "Give both, as --format hub --repo me/my-pairs.")
    check_folder(output)
    dropped: list[Problem] | None = [] if drop_invalid else None
    rows, found = _read(table, kind, dropped, imitated=format in ("trl", "hub"))
    sources = [_source(text) for text in source or []]
    told = read_account(table, account)
    with naming(table):
        files = export_table(rows, format)
    _check_free(output, {CARD, *files.files})
    name = title or table.stem
    card = render_card(name, found, files, sources, licence, told, format)
    for path, content in files.files.items():
        write_whole(content, output / path)
    write_whole(card.encode(), output / CARD)
    if repo is not None:
        push(output, repo)
    unknown = (
        {} if sources or licence else {"note": "no --source was named: the card says that the licence is not known"}
    )
    summary = {"kind": found, "rows": files.rows, **tell_dropped(dropped, output), **unknown}
    tell({**summary, "written": ", ".join(str(output / path) for path in [*files.files, CARD])}, json)


def _check_model_options(table: Path | None, model: Path | None, of_tables: list[object]) -> None:
    if model is None:
        raise InputError("nothing to export", "Name a table, or a model with --model FOLDER.")
    if table is not None or any(given is not None for given in of_tables):
        raise InputError("--model goes with --merge, --base, --title and --licence alone", "Leave the others out.")


def _read(table: Path, kind: str | None, dropped: list[Problem] | None, *, imitated: bool):  # noqa: ANN202
    from crpo.datasets import as_kind, load_data, tell_notes
    from crpo.stages.check import guess_kind
    from crpo.tables import KINDS, Reading

    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind}: there is no such table", did_you_mean(kind, KINDS))
    reading = Reading(table)
    frame = load_data(reading)
    kind = kind or guess_kind(list(map(str, frame.columns)))
    if imitated and kind in ("answers", "responses"):
        kind = "sft"
    rows = as_kind(frame, kind, reading)
    tell_notes(reading)
    return reading.settle(rows, dropped), kind


def _source(text: str) -> Source:
    from crpo.datasets.catalog import catalog
    from crpo.stages.card import Source

    entry = catalog().get(text)
    if entry is not None:
        return Source(entry.title, entry.licence, entry.source)
    name, _, licence = text.partition(",")
    return Source(name.strip(), licence.strip())


def _check_free(output: Path, names: set[str]) -> None:
    """Refuse a folder that holds anything but an earlier export of the same form: what is in it would be mixed up."""
    others = sorted(path.name for path in output.iterdir() if path.name not in names) if output.exists() else []
    if others:
        raise InputError(f"{output} is not empty ({', '.join(others[:3])})", "Name a new folder.")
