"""Generations from a server killed at any instant: what was paid for is kept, and nothing is asked for twice."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crpo.generators.capabilities import capabilities_of
from fault_server import Asked, Handler, Server, body_of, fault_server
from generation_processes import Generations, has_ended, kept_records, new_folder

SAMPLES = 4 * 16
CONCURRENCY = 4
MOST_KILLS = 12  # of one generation; the next run of it is left to its end


@dataclass
class Answers:
    """What the server does for every request: answers in a moment, and notes which sample got which answer."""

    given: list[tuple[int, str]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def pop(self, _: int) -> Any:
        return self.play

    def play(self, handler: Handler, asked: Asked) -> None:
        with self.lock:
            text = f"answer {len(self.given)}"
            self.given.append((asked.body["seed"], text))
        time.sleep(random.uniform(0, 0.005))
        handler.send(200, json.dumps(body_of(asked, [text])).encode())
        handler.close_connection = True  # else its thread waits for a process that was killed


@pytest.fixture(scope="module")
def generations() -> Iterator[Generations]:
    with Generations() as process:
        yield process


@pytest.fixture
def server() -> Iterator[Server]:
    with fault_server() as server:
        server.script = Answers()  # type: ignore[assignment]
        yield server


def seed_of(key: str, server: Server) -> int:
    """Return the seed that a request for a sample carries, by which the server knows it."""
    bits = capabilities_of("openai", server.address.removeprefix("http://"), "m").seed_bits
    return int(key[-12:], 16) % 2**bits


def kill_until_done(generations: Generations, server: Server, folder: Path, chance: random.Random) -> int:
    """Run, kill at a random instant, and run again, so often; return the number of kills once a run has ended."""
    spec = {"use": "openai", "model": "m", "base_url": server.url("openai"), "seeded": True, "concurrency": CONCURRENCY}
    call = ("generate", "prompts.csv", "-o", "samples.csv", "--generator", json.dumps(spec))
    kills, before = 0, {}
    while True:
        asked_before = len(server.asked)
        process = generations.start(folder, *call)
        at_work = chance.random() < 0.8  # one in five is killed as it starts
        while at_work and len(server.asked) == asked_before and not has_ended(process):
            time.sleep(0.001)
        if kills < MOST_KILLS:
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(process, signal.SIGKILL)
        code = generations.end(process)
        while server.running:
            time.sleep(0.001)
        own, records = [asked.body["seed"] for asked in server.asked[asked_before:]], kept_records(folder)
        assert not set(own) & {seed_of(key, server) for key in before}, "a sample that was there is asked for again"
        assert {key: records.get(key) for key in before} == before, "a finished sample is lost or has changed"
        assert len(own) - (len(records) - len(before)) <= CONCURRENCY, "more than what was under way is lost"
        before = records
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, (folder / "log.txt").read_text()
        kills += 1


def kill_often(generations: Generations, server: Server, folder: Path, least: int, chance: random.Random) -> int:
    kills = runs = repeated = 0
    while kills < least:
        own, asked_before = new_folder(folder / str(runs), SAMPLES), len(server.asked)
        killed = kill_until_done(generations, server, own, chance)
        asked, records = len(server.asked) - asked_before, kept_records(own)
        table, given = pd.read_csv(own / "samples.csv"), set(server.script.given)  # type: ignore[attr-defined]
        assert len(table) == len(records) == SAMPLES
        assert (table["status"] == "ok").all()
        assert {(seed_of(key, server), text) for key, text in records.items()} <= given, "an answer of another sample"
        assert asked <= SAMPLES + killed * CONCURRENCY
        repeated += asked - SAMPLES
        kills, runs = kills + killed, runs + 1
    print(f"{kills} kills in {runs} generations of {SAMPLES} samples: {repeated} samples under way asked for again")
    return kills


def test_ten_kills_of_a_run_against_a_server_lose_and_double_nothing(
    generations: Generations, server: Server, tmp_path: Path
) -> None:
    assert kill_often(generations, server, tmp_path, 10, random.Random(1)) >= 10


@pytest.mark.slow
def test_two_hundred_kills_of_runs_against_a_server_lose_and_double_nothing(
    generations: Generations, server: Server, tmp_path: Path
) -> None:
    assert kill_often(generations, server, tmp_path, 200, random.Random(2)) >= 200
