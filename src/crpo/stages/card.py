"""The card of an exported data set: README.md with the header that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from crpo import __version__
from crpo.stages.export import Exported
from crpo.tables import read_table

UPSTREAM = ("split", "rate", "pair", "score")  # steps of a run that a table may come from
HUB_LICENCES = {"mit": "mit", "apache-2.0": "apache-2.0", "cc-by-4.0": "cc-by-4.0", "cc-by-sa-4.0": "cc-by-sa-4.0",
                "cc-by-nc-4.0": "cc-by-nc-4.0", "cc0-1.0": "cc0-1.0", "cc0": "cc0-1.0"}  # fmt: skip
GUARD = (
    "Texts that a spreadsheet could take for a formula have an apostrophe before them. Read text columns without "
    'guessing (pandas: `dtype=str, keep_default_na=False`): "null" and "NA" are answers.'
)


@dataclass(frozen=True)
class Source:
    """Where a table's answers come from; blank is unknown."""

    name: str
    licence: str = ""
    address: str = ""


def read_account(table: Path, given: Path | None = None) -> pd.DataFrame:
    """Return what was read, kept and left out on the way to a table: stage, what, count; empty where nobody wrote it.

    Parameters
    ----------
    table : path
        Beside it NAME.account.csv is looked for; in a run folder, the accounts of its step and the steps before.
    given : path, optional
        Read this one instead.
    """
    if given is not None:
        found = [given]
    else:
        found = [path for path in (table.with_name(f"{table.stem}.account.csv"),) if path.exists()] or _of_run(table)
    parts = [read_table(path, "account") for path in found]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=pd.Index(["stage", "what", "count"]))


def _of_run(table: Path) -> list[Path]:
    home = next((folder for folder in table.absolute().parents if (folder / "run.json").exists()), None)
    if home is None or not (table.parent / "done.json").exists():
        return []
    folders = dict.fromkeys([*(home / step for step in UPSTREAM), table.absolute().parent])
    return [folder / "account.csv" for folder in folders if (folder / "account.csv").exists()]


def render_card(
    title: str, kind: str, exported: Exported, sources: Sequence[Source], licence: str, account: pd.DataFrame,
    format: str,
) -> str:  # fmt: skip
    """Return the card: header for the hub, then sources and licences, what was done, counts and columns, for people."""
    header = yaml.safe_dump(_header(title, exported, sources, licence), sort_keys=False, allow_unicode=True)
    parts = [f"# {title}", f"{exported.rows:,} rows of the kind `{kind}`, written by crpo {__version__} (`crpo export "
             f"--format {format}`)."]  # fmt: skip
    parts += ["## Sources and licences", _sources(sources, licence)]
    parts += ["## What was done", account_table(account)]
    files = [f"- `{name}`" for name in exported.files]
    parts += ["## Files", "\n".join(files)]
    if format == "csv":
        parts += [GUARD]
    parts += ["## Columns", ", ".join(f"`{name}`" for name in exported.columns)]
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


def _header(title: str, exported: Exported, sources: Sequence[Source], licence: str) -> dict[str, object]:
    agreed = {source.licence for source in sources}
    stated = licence or (agreed.pop() if len(agreed) == 1 else "")
    header: dict[str, object] = {"pretty_name": title, **licence_fields(stated)}
    header["tags"] = ["creativity", "crpo", *(["preference", "dpo"] if "chosen" in exported.columns else [])]
    if exported.splits:
        files = [{"split": name, "path": file} for name, file in exported.splits.items()]
        header["configs"] = [{"config_name": "default", "data_files": files}]
    return header


def licence_fields(stated: str) -> dict[str, object]:
    """Return the licence as the hub's header has it; a blank one is unknown."""
    known = HUB_LICENCES.get(stated.lower(), "other" if stated else "unknown")
    return {"license": known, **({"license_name": stated} if known == "other" else {})}


def _sources(sources: Sequence[Source], licence: str) -> str:
    lines = [f"- {source.name}{f', {source.address}' if source.address else ''}: "
             f"{source.licence or 'licence not stated'}" for source in sources]  # fmt: skip
    lines = lines or ["Not stated by whoever made this. **Do not pass it on before you know.**"]
    return "\n".join([*lines, *([f"- this data set: {licence}"] if licence else [])])


def account_table(account: pd.DataFrame) -> str:
    """Return an account as a table in Markdown."""
    if account.empty:
        return "No account was kept with the table."
    columns = (account[name].tolist() for name in ("stage", "what", "count"))
    rows = [f"| {stage} | {_cell(what)} | {_number(count)} |" for stage, what, count in zip(*columns, strict=True)]
    return "\n".join(["| stage | what | count |", "|---|---|--:|", *rows])


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
