"""Benchmarks that need a machine we may not have run at toy size, so that they will run there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_at_toy_size() -> None:
    call = [sys.executable, str(BENCHMARKS / "gpu_training.py"), "--size", "tiny", "--pairs", "128", "--groups", "8"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^(ours, groups of 8|TRL, batches of 8): ([\d.]+) s, ([\d,]+) real tokens", done.stdout, re.M)
    assert [label for label, _, _ in found] == ["ours, groups of 8", "TRL, batches of 8"]
    assert all(float(seconds) > 0 and int(tokens.replace(",", "")) > 0 for _, seconds, tokens in found)


def test_the_8b_model_is_refused_without_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    call = [sys.executable, str(BENCHMARKS / "gpu_training.py")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "needs an NVIDIA GPU" in done.stderr


def test_the_benchmark_of_tables_runs_at_toy_size_and_finds_what_is_wrong() -> None:
    call = [sys.executable, str(BENCHMARKS / "tables.py"), "--rows", "2000", "--formats", "csv,jsonl"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^(csv|jsonl): 2,000 rows, .* 4 wrong rows found, .*: ([\d.]+) CPU s", done.stdout, re.M)
    assert [ending for ending, _ in found] == ["csv", "jsonl"]
    assert all(float(seconds) < 10 for _, seconds in found)


def test_the_benchmark_of_pairs_runs_at_toy_size_and_every_way_gives_the_same() -> None:
    call = [sys.executable, str(BENCHMARKS / "pairs.py"), "--answers", "600", "--prompts", "5", "--one-prompt", "200"]
    done = subprocess.run([*call, "--repetitions", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("same pairs: True") == 2
    assert len(re.findall(r"over (?:rows|lists): [\d.]+ s, [\d.]+ times ours", done.stdout)) == 4
    shares = re.findall(r"([\d.]+) to ([\d.]+) of the most pairs possible", done.stdout)
    assert len(shares) == 3
    assert all(0.5 < float(low) <= float(high) <= 1 for low, high in shares)


@pytest.mark.slow
def test_the_benchmark_of_generation_runs_at_toy_size() -> None:
    sizes = ["--prompts", "3", "--samples", "4", "--tokens", "6", "--hidden", "32", "--layers", "1", "--rounds", "1"]
    call = [sys.executable, str(BENCHMARKS / "generation.py"), *sizes]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(re.findall(r"^generate, a call for each \w+: [\d.]+ s, [\d.]+ times ours", done.stdout, re.M)) == 4
    assert "float32: 0 of 12 samples differ" in done.stdout
    assert len(re.findall(r"where the time of ours goes: .*picking tokens \d+%", done.stdout)) == 2


def test_the_benchmark_of_records_runs_at_toy_size_and_keeps_the_promise() -> None:
    call = [sys.executable, str(BENCHMARKS / "records.py"), "--records", "3000", "--repetitions", "1"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"^store: ([\d,]+) records/s \(3,000 records", done.stdout, re.M)
    assert found is not None
    assert int(found[1].replace(",", "")) >= 5_000
    assert re.search(r"^opened again: [\d,]+ records/s, 3,000 found$", done.stdout, re.M)
    assert done.stdout.count("the store does") == 3


def test_the_benchmark_of_coverage_runs_at_toy_size() -> None:
    call = [sys.executable, str(BENCHMARKS / "coverage.py"), "--times", "2"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.count(" %") >= 3]
    assert len(rows) == 16 + 6 + 6
    assert all(0 <= float(share) <= 100 for row in rows for share in re.findall(r"([\d.]+) %", row))
