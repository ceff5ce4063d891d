"""The processes of one training: how many there are, which is the first, and what they tell each other.

Alone, every function does the obvious thing without torch. Functions that exchange something must be called by all
processes together.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TypeVar

T = TypeVar("T")


def is_first_process() -> bool:
    """Return whether this is the process that writes and prints; alone, it is."""
    return process_number() == 0


def process_number() -> int:
    """Return this process's number, from 0: of its process group, or as its launcher says."""
    return _group().get_rank() if _is_in_group() else int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Return how many processes train together; 1 before they are joined."""
    return _group().get_world_size() if _is_in_group() else 1


def threads_for(processes: int) -> int:
    """Return how many threads each of so many processes should have: its share of the cores we may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def join_processes() -> None:
    """Join the group a launcher has started, each process on its own device, where one has."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def leave_processes() -> None:
    """Leave the group, at the end: a process that does not may be aborted when it exits, its work done."""
    if _is_in_group():
        gc.collect()  # a wrapped model in a cycle keeps the group, and its threads, alive
        _group().destroy_process_group()


def from_first(value: T) -> T:
    """Return the first process's value in all of them."""
    return all_values(value)[0]


def all_values(value: T) -> list[T]:
    """Return the values of all processes, in their order."""
    if process_count() == 1:
        return [value]
    values: list = [None] * process_count()
    _group().all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Wait until every process is here."""
    all_values(None)


def _is_in_group() -> bool:
    return "torch.distributed" in sys.modules and _group().is_available() and _group().is_initialized()


def _group():  # noqa: ANN202
    import torch.distributed

    return torch.distributed
