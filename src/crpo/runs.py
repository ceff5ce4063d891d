"""The run folder: what is done, what is stale, and who works in it.

run.json                 recipe, versions
split/answers.csv        a folder per step, complete or not there …
train/DPO/model/
train/DPO/done.json      … with the key of what it was made from, and the hash of what was made
report.html
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crpo.errors import InputError, RunInUseError, RunMismatchError, did_you_mean
from crpo.progress import say
from crpo.side_by_side import Alone, Workers, workers_for
from crpo.stages.step import Step
from crpo.step_folders import finished, key_of
from crpo.tables import write_whole
from crpo.worker import Task


def execute(
    steps: Sequence[Step], folder: Path, *, about: Mapping[str, Any], until: str | None = None, opening: str = "",
    workers: int = 1,
) -> list[str]:  # fmt: skip
    """Do the steps that are not done, or whose settings or inputs have changed.

    With several workers each step is begun as soon as those it needs are done and one of the workers is free. What is
    done and why is the same: a run may be begun with one number of workers and go on with another. The number of
    threads of each may change the last digits of results; `OMP_NUM_THREADS` makes it the same.

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
    workers : int
        How many processes do steps side by side, each with its share of the cores; 1 is this process alone. A step's
        work must be picklable for more, and a script that calls this needs `if __name__ == "__main__"`.

    Returns
    -------
    list of str
        Names of the steps that were done now, of those asked for, in their order.

    Raises
    ------
    RunMismatchError
        When the folder belongs to a recipe of another name (exit code 4).
    RunInUseError
        When another process works in it (exit code 5).
    Exception
        What a step raises; those that are being done beside it are finished first.
    """
    with _only_us(folder):
        _claim(folder, about)
        if opening:
            say(opening)
        steps = needed_for(steps, until)
        with workers_for(folder, workers) as crew:
            done = _do_all(steps, folder, crew)
        return [step.name for step in steps if step.name in done]


def stale(steps: Sequence[Step], folder: Path) -> list[str]:
    """Return the names of the steps that `execute` would do, as far as can be known before doing any."""
    hashes: dict[str, str] = {}
    names = []
    for step in steps:
        found = None
        if all(name in hashes for name in step.needs):
            found = finished(folder / step.name, key_of(step, hashes))
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


def _do_all(steps: Sequence[Step], folder: Path, crew: Alone | Workers) -> set[str]:
    """Do what is not done, and return its names."""
    hashes: dict[str, str] = {}
    done = set()
    _begin_what_can_be(steps, folder, crew, hashes)
    while crew.running:
        task, found = crew.next_done()
        crew.tell_done(task)
        hashes[task.step.name] = found
        done.add(task.step.name)
        _begin_what_can_be(steps, folder, crew, hashes)
    assert len(hashes) == len(steps), "a step stands before one that it needs"
    return done


def _begin_what_can_be(steps: Sequence[Step], folder: Path, crew: Alone | Workers, hashes: dict[str, str]) -> None:
    """Begin steps, in their order, as long as there is room; add the hashes of those that are found done."""
    for number, step in enumerate(steps, 1):
        if not crew.has_room:
            return
        if step.name in hashes or not _can_begin(step, crew, hashes):
            continue
        key = key_of(step, hashes)
        found = finished(folder / step.name, key)
        if found is None:
            say(f"[{number}/{len(steps)}] {step.name}")
            crew.begin(Task(step, folder / step.name, {name: folder / name for name in step.needs}, key))
        else:
            hashes[step.name] = found


def _can_begin(step: Step, crew: Alone | Workers, hashes: Mapping[str, str]) -> bool:
    running = [task.step for task in crew.running]
    beside = any(step.name == other.name or (step.apart and step.apart == other.apart) for other in running)
    return not beside and all(name in hashes for name in step.needs)
