"""What a run was made from: hashes of data and models, the commit of the code, the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd

from crpo import __version__
from crpo.stages.step import Folders

SOURCE = Path(__file__).resolve().parents[1]
DIGITS = 16  # of a SHA-256; enough to tell any two files apart


def provenance(recipe: str, source: Path, inputs: Folders) -> pd.DataFrame:
    """Say what a run was made from.

    Parameters
    ----------
    recipe : str
        The resolved recipe.
    source : Path
        The file or folder of people's answers.
    inputs : mapping of step name to folder
        Steps of the run; of each the hash of all it made.

    Returns
    -------
    DataFrame
        what ("code", "command", "recipe", "data", "made by"), name, value. Hashes are the first 16 digits of a SHA-256.
    """
    rows = [("code", "crpo", __version__), ("code", "commit", commit())]
    rows += [("command", "crpo", command)] if (command := _command(inputs)) else []
    rows += [("recipe", "resolved, below", _short(recipe.encode("utf-8", "surrogatepass")))]
    rows += [("data", source.name, hash_of(source))]
    rows += [("made by", name, _made(folder)) for name, folder in inputs.items()]
    return pd.DataFrame(rows, columns=pd.Index(["what", "name", "value"]))


def commit() -> str:
    """Return the commit of this package's code, with "changed since" where files differ from it, or "not known"."""
    root = SOURCE.parent.parent
    if (root / ".git").exists():
        try:
            head = _git(root, "rev-parse", "HEAD")
            return f"{head} (changed since)" if _git(root, "status", "--porcelain", "--", "src") else head
        except (OSError, subprocess.SubprocessError):
            return "not known"
    try:
        origin = json.loads(distribution("crpo").read_text("direct_url.json") or "{}")
        return str(origin["vcs_info"]["commit_id"])
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return "not known"


def hash_of(path: Path) -> str:
    """Return the hash of a file, or of a folder's files with their names; "not found" where there is none."""
    if not path.exists():
        return "not found"
    if path.is_file():
        return _digest(path).hex()[:DIGITS]
    total = hashlib.sha256()
    for file in sorted(part for part in path.rglob("*") if part.is_file()):
        total.update(file.relative_to(path).as_posix().encode() + _digest(file))
    return total.hexdigest()[:DIGITS]


def _digest(path: Path) -> bytes:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    return done.stdout.strip()


def _made(folder: Path) -> str:
    try:
        return str(json.loads((folder / "done.json").read_text(encoding="utf-8"))["hash"])[:DIGITS]
    except (OSError, ValueError, KeyError):
        return "not known"


def _command(inputs: Folders) -> str:
    """Return the command in the run's `run.json`, or ""."""
    for name, folder in inputs.items():
        path = folder.parents[name.count("/")] / "run.json"
        try:
            return str(json.loads(path.read_text(encoding="utf-8")).get("command", ""))
        except (OSError, ValueError, AttributeError):
            return ""
    return ""


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
