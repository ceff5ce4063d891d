"""Generation and scoring over the machines of a Ray cluster, by prompt, with the results of one process.

Plain tasks of Ray, not Ray Data: that hands on whole blocks of rows and repeats a block of which one row failed, while
here every record is wanted as it arrives and none may be drawn twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crpo.errors import InputError, TooManyFailuresError, needs_extra
from crpo.generators import Generator
from crpo.grouped import group_codes
from crpo.recipe.sections import EngineSection
from crpo.signals import Signal

AHEAD = 2  # records a worker may draw before those are taken, so that a killed run loses no more of each
SECONDS_BETWEEN_LOOKS = 0.1  # how often a worker asks whether the run is over


def draw_over_ray(
    generator: Generator, prompts: Sequence[tuple[str, str]], *, seed: int, had: Mapping[str, Any], workers: int,
    cpus: float = 1, gpus: float = 0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Draw samples as `generator(prompts, seed=seed, had=had)` does, each worker for a share of the prompts.

    Seeds belong to the records, so the samples are the same however many workers there are (as far as they are the same
    in other batches: see `HuggingFace`). Their order is that of arrival. Each worker calls the generator once, and so
    loads a model once.

    Parameters
    ----------
    generator : Generator
        Sent to the workers, so it must be picklable, as a dataclass of plain values is. Folders it names must be the
        same on all machines; keys of interfaces are looked up in the environment of the workers.
    prompts, seed
        See `Generator`.
    had : mapping
        Records that are there already, by key; those of earlier turns are quoted from here (`InTurns`). It is sent to
        the workers at the start: what comes in later is not seen there. But once it says yes to every key, also to "",
        the workers know within a moment, and a generator that `drains` ends well.
    workers : int
        Shares of the prompts; those that do not fit the cluster at a time wait.
    cpus, gpus : float
        Cores and GPUs each worker holds.

    Yields
    ------
    dict
        A record per sample. When this is closed, the workers are stopped.

    Raises
    ------
    InputError
        When no machine of the cluster has so many cores or GPUs.
    Exception
        What the generator raises in a worker.
    TooManyFailuresError
        When a worker is lost, with its machine say; what has arrived stays.
    MissingExtraError
        Without the ray extra.
    """
    shares = [list(prompts[worker::workers]) for worker in range(workers)]
    ray = _connected()
    draw = _remote(ray, _draw, cpus, gpus, num_returns="streaming", _generator_backpressure_num_objects=AHEAD)
    over = ray.remote(num_cpus=0)(_Over).remote()
    there = ray.put(dict(had))
    streams = [draw.remote(generator, share, seed, there, over) for share in shares if share]
    try:
        for record in _arriving(ray, streams):
            yield record
            if "" in had:
                over.say.remote()
    finally:
        for stream in streams:
            ray.cancel(stream, force=True)
        ray.kill(over)


def score_over_ray(
    signal: Signal, responses: pd.DataFrame, *, workers: int, cpus: float = 1, gpus: float = 0
) -> np.ndarray:
    """Return a signal's values (n,) of answers, each worker scoring those to its share of the prompts.

    A prompt's values do not depend on other prompts (`check_signal`), so they are those of one process. Parameters and
    errors as for `draw_over_ray`.
    """
    codes, _ = group_codes(responses["prompt_id"])
    shares = [np.flatnonzero(codes % workers == worker) for worker in range(workers)]
    values = np.full(len(responses), np.nan)
    ray = _connected()
    remote = _remote(ray, _score, cpus, gpus)
    rows_of = {remote.remote(signal, responses.iloc[rows]): rows for rows in shares if len(rows)}
    for task, rows in rows_of.items():
        values[rows] = _gotten(ray, task)
    return values


def on_workers(section: EngineSection) -> dict[str, Any]:
    """Return how a section's work is shared out: the arguments of the functions above."""
    return {"workers": section.workers, "cpus": section.worker_cpus, "gpus": section.worker_gpus}


def need_ray() -> Any:
    """Return the library; MissingExtraError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
    try:
        import ray  # type: ignore[import-not-found]
    except ImportError as error:
        raise needs_extra("engine: ray", "ray") from error
    return ray


class _Over:
    """Where the workers look whether the run is over."""

    def __init__(self) -> None:
        self._said = False

    def say(self) -> None:
        self._said = True

    def said(self) -> bool:
        return self._said


class _Had(Mapping[str, Any]):
    """The records there were at the start; every key once the run is over."""

    def __init__(self, records: Mapping[str, Any], over: Any) -> None:
        self._records, self._over, self._is_over, self._looked = records, over, False, time.monotonic()

    def __contains__(self, key: object) -> bool:
        if not self._is_over and time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._is_over, self._looked = need_ray().get(self._over.said.remote()), time.monotonic()
        return self._is_over or key in self._records

    def __getitem__(self, key: str) -> Any:
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def _draw(
    generator: Generator, prompts: Sequence[tuple[str, str]], seed: int, had: Mapping[str, Any], over: Any
) -> Iterator[dict[str, Any]]:
    yield from generator(prompts, seed=seed, had=_Had(had, over))


def _score(signal: Signal, responses: pd.DataFrame) -> np.ndarray:
    return np.array(signal(responses.reset_index(drop=True)), dtype=float)


def _remote(ray: Any, function: Any, cpus: float, gpus: float, **options: Any) -> Any:
    """Return a function that runs in workers; it is not repeated by itself, as it may have been paid for."""
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        raise InputError(f"no machine of the Ray cluster has {cpus:g} cores and {gpus:g} GPUs",
                         "Lower worker_cpus or worker_gpus.")  # fmt: skip
    return ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, **options)(function)


def _arriving(ray: Any, streams: list[Any]) -> Iterator[dict[str, Any]]:
    going = list(streams)
    while going:
        (stream,), _ = ray.wait(going, num_returns=1)
        going.remove(stream)  # to the end of the queue, so that no worker waits for another
        try:
            reference = next(stream)
        except StopIteration:
            continue
        going.append(stream)
        yield _gotten(ray, reference)


def _gotten(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        found = f"a worker of the Ray cluster was lost ({type(error).__name__})"
        raise TooManyFailuresError(found, "The same command again continues.") from error


def _connected() -> Any:
    """Return ray, connected to the cluster there is (`RAY_ADDRESS`), or to one made here, until this process ends."""
    ray = need_ray()
    if not ray.is_initialized():
        ray.init(configure_logging=False, log_to_driver=False)
    return ray
