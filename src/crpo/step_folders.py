"""The folder of one step: whether it is done, from what, and how its work is done beside the old result."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from crpo.errors import InputError
from crpo.stages.step import Folders, Step
from crpo.tables import write_whole

FORMAT = 5  # raise it when a stage's code changes its results: everything is then redone


def key_of(step: Step, hashes: Mapping[str, str]) -> str:
    """Return what a step's result depends on as a hash; `hashes` are those of the outputs it needs, by name.

    Raises
    ------
    InputError
        When a file that it reads outside the run folder does not exist.
    """
    content = {
        "format": FORMAT, "name": step.name, "settings": step.settings,
        "needs": {name: hashes[name] for name in step.needs}, "reads": [_hash_of(path) for path in step.reads],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def finished(folder: Path, key: str) -> str | None:
    """Return the hash of a step's output when it is there, whole, and made from the same things."""
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        known, found, sizes = done["key"], done["hash"], done["sizes"].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    whole = all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes)
    return found if whole and known == key else None


def do_step(step: Step, folder: Path, inputs: Folders, key: str) -> str:
    """Do a step, put its output in the place of the old one, and return the output's hash.

    Work happens beside the old result. What a step left unfinished is kept for it only while its key is the same.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    if not (partial / "key").exists() or (partial / "key").read_text() != key:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "key").write_text(key)
    step.work(partial, inputs)
    (partial / "key").unlink()
    sizes = {str(path.relative_to(partial)): path.stat().st_size for path in _files(partial)}
    found = _hash_of(partial)
    write_whole(json.dumps({"key": key, "hash": found, "sizes": sizes}, indent=2).encode(), partial / "done.json")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return found


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "done.json")
    # TensorBoard's files hold clock times: the same training twice must not look like two.
    return sorted(path for path in found if "tensorboard" not in path.relative_to(folder).parts)


def _hash_of(path: Path) -> str:
    if not path.exists():
        raise InputError(f"{path} does not exist", "Check the path.")
    total = hashlib.sha256()
    for file in [path] if path.is_file() else _files(path):
        total.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b"")
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
