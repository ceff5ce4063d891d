"""Generations killed at any instant, on a full disk, or beside others: nothing finished is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from generation_processes import LEDGER, RECORDS, SAMPLES, Generations, has_ended, kept_records, new_folder

ARGUMENTS = ("generate", "prompts.csv", "-o", "samples.csv", "--generator", "generation_processes:Slow")


@pytest.fixture(scope="module")
def generations() -> Iterator[Generations]:
    with Generations() as process:
        yield process


def ledger(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the samples asked for and those the store had answered for, each with the process that drew it."""
    rows = [line.split() for line in (folder / LEDGER).read_text().splitlines()] if (folder / LEDGER).exists() else []
    return [(k, pid) for what, k, pid in rows if what == "asked"], [(k, pid) for what, k, pid in rows if what == "kept"]


def kill_until_done(generations: Generations, folder: Path, chance: random.Random) -> int:
    """Run, kill at a random instant, and run again until a run ends by itself; return the number of kills."""
    kills, before = 0, {}
    while True:
        asked_before = len(ledger(folder)[0])
        process = generations.start(folder, *ARGUMENTS)
        at_work = chance.random() < 0.8  # one in five is killed as it starts
        while at_work and len(ledger(folder)[0]) == asked_before and not has_ended(process):
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.1))
        os.kill(process, signal.SIGKILL)  # a process that has ended is a zombie until it is waited for: no harm
        code = generations.end(process)
        asked, kept = ledger(folder)
        records = kept_records(folder)
        own = [key for key, _ in asked[asked_before:]]
        assert not set(own) & set(before), "a sample that was there is asked for again"
        assert set(kept) <= {(key, text.split()[-1]) for key, text in records.items()}, "a finished sample is lost"
        assert {key: records.get(key) for key in before} == before, "a finished sample has changed"
        assert len(records) >= len(before) + len(own) - 1, "more than the sample under way is lost"
        before = records
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, (folder / "log.txt").read_text()
        kills += 1


def kill_often(generations: Generations, folder: Path, least: int, chance: random.Random) -> tuple[int, int]:
    """Kill runs until there were so many kills; return how many, and how many runs were completed between them."""
    kills = runs = repeated = 0
    while kills < least:
        own = new_folder(folder / str(runs))
        killed = kill_until_done(generations, own, chance)
        table, asked = pd.read_csv(own / "samples.csv"), ledger(own)[0]
        assert len(table) == len(kept_records(own)) == SAMPLES
        assert Counter(table["prompt_id"]) == dict.fromkeys(table["prompt_id"], 16)
        assert (table["status"] == "ok").all()
        assert len(asked) <= SAMPLES + killed
        repeated += len(asked) - SAMPLES
        kills, runs = kills + killed, runs + 1
    print(f"{kills} kills in {runs} generations of {SAMPLES} samples: {repeated} samples under way asked for again")
    return kills, runs


def test_ten_kills_lose_and_double_nothing_and_every_restart_continues(
    generations: Generations, tmp_path: Path
) -> None:
    assert kill_often(generations, tmp_path, 10, random.Random(1))[0] >= 10


def test_a_disk_full_at_twenty_points_is_told_in_one_line_and_the_next_run_continues(
    generations: Generations, tmp_path: Path
) -> None:
    quick = (*ARGUMENTS[:-1], '{use: "generation_processes:Slow", seconds: 0.0}')
    whole = new_folder(tmp_path / "whole")
    assert generations.run(whole, *quick)[0] == 0
    size, chance = (whole / RECORDS).stat().st_size, random.Random(3)
    folder, kept = new_folder(tmp_path / "full"), 0
    for limit in sorted(chance.sample(range(size), 20)):
        code, said = generations.run(folder, *quick, file_size=limit)
        assert code == 2, said
        assert said.splitlines()[-1].startswith(
            "error: cannot write a record into samples.records.jsonl: File too large"
        )
        assert said.count("error:") == 1
        assert "Traceback" not in said
        assert "a torn last line" not in said
        assert len(kept_records(folder)) >= kept
        kept = len(kept_records(folder))
        assert f"the {kept} already there are whole" in said
    assert kept > SAMPLES // 2
    assert generations.run(folder, *quick)[0] == 0
    asked = Counter(key for key, _ in ledger(folder)[0])
    assert len(kept_records(folder)) == len(asked) == SAMPLES
    assert sum(asked.values()) <= SAMPLES + 20


def test_of_eight_runs_at_once_on_one_folder_one_works_and_no_record_is_corrupt(
    generations: Generations, tmp_path: Path
) -> None:
    folder = new_folder(tmp_path / "shared")
    processes = [generations.start(folder, *ARGUMENTS) for _ in range(8)]
    codes = Counter(generations.end(process) for process in processes)
    assert codes[0] + codes[5] == 8
    assert codes[0] >= 1
    assert codes[5] >= 1
    said = (folder / "log.txt").read_text()
    assert said.count("error: another process writes into samples.records.jsonl. Wait for it") == codes[5]
    asked = Counter(key for key, _ in ledger(folder)[0])
    assert set(asked.values()) == {1}
    assert len(kept_records(folder)) == len(asked) == SAMPLES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_asked_to_stop_keeps_what_it_has_and_the_same_command_continues(
    generations: Generations, tmp_path: Path, number: int
) -> None:
    folder = new_folder(tmp_path / "stopped")
    process = generations.start(folder, *ARGUMENTS)
    end = time.monotonic() + 30
    while len(ledger(folder)[1]) < 10:
        assert time.monotonic() < end
        time.sleep(0.002)
    os.kill(process, number)
    code = generations.end(process)
    assert code == (130 if number == signal.SIGINT else -signal.SIGTERM)
    if number == signal.SIGINT:
        assert (folder / "log.txt").read_text().endswith("error: interrupted. The same command again continues.\n")
    kept = kept_records(folder)
    assert 10 <= len(kept) < SAMPLES
    assert generations.run(folder, *ARGUMENTS)[0] == 0
    assert kept.items() <= kept_records(folder).items()
