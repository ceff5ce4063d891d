"""The run folder: what is done, what is stale, and who works in it.

run.json                 recipe, versions
split/answers.csv        a folder per step, complete or not there …
train/DPO/model/
train/DPO/done.json      … with the key of what it was made from, and the hash of what was made
report.html
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crpo.errors import InputError, RunInUseError, RunMismatchError, did_you_mean
from crpo.progress import say
from crpo.stages.step import Step
from crpo.tables import write_whole

FORMAT = 5  # raise it when a stage's code changes its results: everything is then redone


def execute(
    steps: Sequence[Step], folder: Path, *, about: Mapping[str, Any], until: str | None = None, opening: str = ""
) -> list[str]:
    """Do the steps that are not done, or whose settings or inputs have changed.

    Parameters
    ----------
    steps : sequence of Step
        Each after those it needs.
    folder : Path
        The run folder; made when missing.
    about : mapping
        What `run.json` says: name and recipe (they must belong to this folder), versions.
    until : str, optional
        Do only this step, all of this stage ("train") or of this part of a study ("seed-12"), and what they need.
    opening : str
        A line to say once the folder is ours.

    Returns
    -------
    list of str
        Names of the steps that were done now, of those asked for.

    Raises
    ------
    RunMismatchError
        When the folder belongs to a recipe of another name (exit code 4).
    RunInUseError
        When another process works in it (exit code 5).
    """
    with _only_us(folder):
        _claim(folder, about)
        if opening:
            say(opening)
        done, hashes = [], {}
        steps = needed_for(steps, until)
        for number, step in enumerate(steps, 1):
            inputs = {name: folder / name for name in step.needs}
            key = _key(step, hashes)
            found = _finished(folder / step.name, key)
            if found is None:
                say(f"[{number}/{len(steps)}] {step.name}")
                start = time.monotonic()
                found = _do(step, folder / step.name, inputs, key)
                say(f"  done in {time.monotonic() - start:.0f} s")
                done.append(step.name)
            hashes[step.name] = found
        return done


def stale(steps: Sequence[Step], folder: Path) -> list[str]:
    """Return the names of the steps that `execute` would do, as far as can be known before doing any."""
    hashes: dict[str, str] = {}
    names = []
    for step in steps:
        found = None
        if all(name in hashes for name in step.needs):
            found = _finished(folder / step.name, _key(step, hashes))
        if found is None:
            names.append(step.name)
        else:
            hashes[step.name] = found
    return names


def needed_for(steps: Sequence[Step], until: str | None) -> Sequence[Step]:
    """Return the steps that `until` needs, and itself: a step, all of a stage, or all of a study's seed, λ or policy.

    It stands for every step in whose name it is a whole part: "train", "train/CrPO-nov", "seed-12", "llama".
    """
    if until is None:
        return steps
    wanted = {step.name for step in steps if f"/{until}/" in f"/{step.name}/"}
    if not wanted:
        known = {name for step in steps for name in (step.name, *step.name.split("/"))}
        raise InputError(f"--until {until}: there is no such step", did_you_mean(until, known))
    for step in reversed(steps):
        if step.name in wanted:
            wanted.update(step.needs)
    return [step for step in steps if step.name in wanted]


@contextmanager
def _only_us(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror}", "Choose another folder with --out."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunInUseError(
                f"another process works in {folder}", "Wait for it, or choose another --out."
            ) from error
        yield


def _claim(folder: Path, about: Mapping[str, Any]) -> None:
    path = folder / "run.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before.get("name") != about["name"]:
            raise RunMismatchError(
                f"{folder} belongs to the recipe {before.get('name')!r}, this one is {about['name']!r}",
                "Choose another folder with --out.",
            )
    write_whole(json.dumps(about, indent=2, sort_keys=True, default=str).encode() + b"\n", path)


def _key(step: Step, hashes: Mapping[str, str]) -> str:
    content = {
        "format": FORMAT, "name": step.name, "settings": step.settings,
        "needs": {name: hashes[name] for name in step.needs}, "reads": [_hash_of(path) for path in step.reads],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _finished(folder: Path, key: str) -> str | None:
    """Return the hash of a step's output when it is there, whole, and made from the same things."""
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        known, found, sizes = done["key"], done["hash"], done["sizes"].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    whole = all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes)
    return found if whole and known == key else None


def _do(step: Step, folder: Path, inputs: Mapping[str, Path], key: str) -> str:
    # Work happens beside the old result. What a step left unfinished is kept for it only while its key is the same.
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
