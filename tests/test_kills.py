"""Trainings killed at any instant, or asked to stop: what is continued ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from checkpoint_trainings import STEPS, Trainings, model_and_chat, preferences, result
from crpo.training.interruption import SAME
from crpo.training.manifests import SAVING, checkpoints_in, damage, step_of

KINDS = ("crpo", "sft", "lora")
Uninterrupted = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def trainings() -> Iterator[Trainings]:
    with Trainings() as process:
        yield process


@pytest.fixture(scope="module")
def uninterrupted(trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """Return a function that trains a kind without any checkpoint, once."""
    folder, known = tmp_path_factory.mktemp("uninterrupted"), {}

    def of(kind: str) -> dict[str, Any]:
        if kind not in known:
            known[kind] = trainings.run(folder / kind, kind=kind, save_strategy="no")
        return known[kind]

    return of


def wait_for(condition: Callable[[], object], process: int, seconds: float = 60) -> None:
    """Wait until something is so, or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and Path(f"/proc/{process}").exists():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.0005)


def newest(folder: Path) -> int:
    return max(map(step_of, checkpoints_in(folder)), default=0)


def kill(process: int, folder: Path, chance: random.Random, at_a_save: bool) -> bool:
    """Kill a training, at the earliest after its first checkpoint; return whether it was writing one just then."""
    step = chance.randint(1, STEPS - 6)
    wait_for(lambda: newest(folder) >= step, process)
    time.sleep(chance.uniform(0, 0.05))  # some steps, and a save of about 25 ms
    try:
        while at_a_save and Path(f"/proc/{process}").exists():
            wait_for((folder / SAVING).exists, process)
            time.sleep(chance.uniform(0, 0.025))
            os.kill(process, signal.SIGSTOP)
            wait_for(lambda: stands_still(process), process)
            if (folder / SAVING).exists():
                break
            os.kill(process, signal.SIGCONT)  # the save was over: the next one
        os.kill(process, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return (folder / SAVING).exists()


def stands_still(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "TZ"


def killed_and_continued(
    trainings: Trainings, uninterrupted: Uninterrupted, folder: Path, number: int
) -> tuple[int, bool]:
    """Kill one training and continue it to its end; return the step it went on after, and whether a save was hit."""
    chance = random.Random(number)
    order = {"kind": KINDS[number % 3], "save_total_limit": 1 + number // 3 % 2, "save_steps": 2 + number // 6 % 2}
    code, attempt, own, in_a_save = 0, 0, folder, False
    while code == 0:  # a training that ends before the kill is none
        attempt += 1
        own = folder / f"{number}-{attempt}"
        in_a_save = kill(trainings.start(own, **order), own / "checkpoints", chance, at_a_save=number % 2 == 0)
        code = trainings.end()
    assert code == -signal.SIGKILL
    expected = uninterrupted(order["kind"])
    found = trainings.run(own, **{**order, "save_steps": 20}, resume=True)
    log = (own / "log.txt").read_text()
    assert f"continues after step {found['resumed_step']}," in log
    assert found["resumed_step"] > 0, log
    assert found["steps"] == list(range(found["resumed_step"] + 1, STEPS + 1))
    assert found["weights"] == expected["weights"]
    assert found["history"] == expected["history"]
    return found["resumed_step"], in_a_save


def test_ten_kills_leave_no_trace(trainings: Trainings, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    found = [killed_and_continued(trainings, uninterrupted, tmp_path, number) for number in range(10)]
    assert sum(in_a_save for _, in_a_save in found) >= 5


@pytest.mark.slow
def test_fifty_kills_leave_no_trace(trainings: Trainings, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    found = [killed_and_continued(trainings, uninterrupted, tmp_path, number) for number in range(100, 150)]
    saves = sum(in_a_save for _, in_a_save in found)
    print(f"50 kills, {saves} of them in a save, continued after steps {sorted(step for step, _ in found)}")
    assert saves >= 25


def test_a_training_killed_again_and_again_still_ends_the_same(
    trainings: Trainings, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    chance, checkpoints, kills = random.Random(5), tmp_path / "checkpoints", 0
    order = {"kind": "sft", "save_steps": 2, "save_total_limit": 1}
    while True:
        process = trainings.start(tmp_path, **order, resume=True)
        before = newest(checkpoints)
        wait_for(lambda before=before: newest(checkpoints) > before + 4, process)
        time.sleep(chance.uniform(0, 0.05))
        if Path(f"/proc/{process}").exists():
            os.kill(process, signal.SIGKILL)
        if trainings.end() == 0:
            break
        kills += 1
    steps = [int(step) for step in re.findall(r"continues after step (\d+)", (tmp_path / "log.txt").read_text())]
    assert kills >= 3
    assert len(steps) == kills
    assert steps == sorted(set(steps))
    assert result(tmp_path)["weights"] == uninterrupted("sft")["weights"]
    assert result(tmp_path)["history"] == uninterrupted("sft")["history"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_it_comes_in_and_ends_with_130(
    trainings: Trainings, uninterrupted: Uninterrupted, tmp_path: Path, number: int
) -> None:
    order = {"kind": "crpo", "save_strategy": "no", "checkpoint_minutes": 60}  # the clock never asks for one
    process = trainings.start(tmp_path, **order, pause=[13, 0.5])
    wait_for((tmp_path / "paused").exists, process)
    os.kill(process, number)
    assert trainings.end() == 130
    assert [step_of(path) for path in checkpoints_in(tmp_path / "checkpoints")] == [13]
    assert damage(tmp_path / "checkpoints" / "checkpoint-13") is None
    assert "stopped after step 13" in (tmp_path / "log.txt").read_text()
    found, expected = trainings.run(tmp_path, **order, resume=True), uninterrupted("crpo")
    assert found["steps"] == list(range(14, STEPS + 1))
    assert (found["weights"], found["history"]) == (expected["weights"], expected["history"])


def test_a_signal_during_the_last_step_is_obeyed_and_nothing_is_trained_twice(
    trainings: Trainings, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    order = {"kind": "sft", "save_strategy": "no", "checkpoint_minutes": 60}
    process = trainings.start(tmp_path, **order, pause=[STEPS, 0.5])
    wait_for((tmp_path / "paused").exists, process)
    os.kill(process, signal.SIGTERM)
    assert trainings.end() == 130
    found, expected = trainings.run(tmp_path, **order, resume=True), uninterrupted("sft")
    assert (found["resumed_step"], found["steps"]) == (STEPS, [])
    assert (found["weights"], found["history"]) == (expected["weights"], expected["history"])


def test_a_second_signal_stops_at_once(trainings: Trainings, tmp_path: Path) -> None:
    process = trainings.start(tmp_path, kind="crpo", pause=[13, 30], save_steps=5)
    wait_for((tmp_path / "paused").exists, process)
    start = time.monotonic()
    os.kill(process, signal.SIGTERM)
    wait_for(lambda: "a second signal stops at once" in (tmp_path / "log.txt").read_text(), process)
    os.kill(process, signal.SIGTERM)  # at once again: the same one, passed on by a launcher
    time.sleep(SAME + 0.2)
    assert Path(f"/proc/{process}").exists()
    os.kill(process, signal.SIGTERM)
    assert trainings.end() == 130
    assert time.monotonic() - start < 10
    assert [step_of(path) for path in checkpoints_in(tmp_path / "checkpoints")] == [10, 5]


def crpo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the real command in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", "from crpo.cli import main; main()", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def tables(folder: Path) -> dict[str, bytes]:
    kinds = ("*.csv", "*.jsonl", "*.safetensors", "done.json")
    return {str(path.relative_to(folder)): path.read_bytes() for kind in kinds for path in folder.rglob(kind)}


RECIPE = {
    "name": "test",
    "data": {"ratings": "bundled", "heldout_tasks": ["Instances"], "heldout_items": 1, "limit": 400},
    "pair": {"order": "random", "max_per_prompt": 12},
    "models": {"quality": "learned"},
    "score": {"signals": {"surprise": "surprise"}},
    "policy": {"tiny": {"hidden_size": 32, "layers": 1, "heads": 2, "vocabulary": 600, "epochs": 1}},
    "sft": {"epochs": 1, "tokens_per_row": 256},
    "train": {
        "epochs": 30, "learning_rate": 1e-3, "tokens_per_row": 256, "pairs_per_step": 8, "checkpoint_minutes": 1e-4,
    },
    "variants": {"DPO": {}, "CrPO-sur": {"surprise": 1}},
    "generate": {"grid": [{"temperature": 0.8, "samples": 2}], "max_new_tokens": 40},
    "evaluate": {"metrics": {"words": "words"}, "draws": 50},
}  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_inside_its_trainings_ends_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("whole", "killed"):  # two folders, as the report shows the command: it has to be the same
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    arguments = ("run", "recipe.yaml", "--out", "run")
    whole = crpo(tmp_path / "whole", *arguments)
    said = []
    for variant, number, code in (("DPO", signal.SIGKILL, -9), ("CrPO-sur", signal.SIGTERM, 130)):
        run = crpo(tmp_path / "killed", *arguments)
        checkpoints = tmp_path / "killed" / "run" / "train" / f".{variant}.partial" / "model" / "crpo-checkpoints"
        wait_for(lambda: newest(checkpoints) or run.poll() is not None, run.pid, seconds=300)  # noqa: B023
        os.kill(run.pid, number)
        said.append(run.communicate()[1])
        assert run.returncode == code, said[-1]
        assert newest(checkpoints) > 0
    assert said[1].endswith("error: interrupted. The same command again continues.\n")
    last = crpo(tmp_path / "killed", *arguments)
    said.append(last.communicate()[1])
    assert (whole.communicate() and whole.returncode, last.returncode) == (0, 0), said[-1]
    for text in said[1:]:
        assert re.findall(r"continues after step ([1-9]\d*),", text), text
    assert not [path for path in (tmp_path / "killed").rglob("*") if "checkpoint" in path.name]
    assert tables(tmp_path / "killed" / "run") == tables(tmp_path / "whole" / "run")


@pytest.mark.slow
def test_two_processes_stop_at_the_same_step_and_go_on_together(tmp_path: Path) -> None:
    model, chat = model_and_chat()
    model.save_pretrained(tmp_path / "start")
    chat.tokenizer.save_pretrained(tmp_path / "start")
    pd.DataFrame(preferences()).to_csv(tmp_path / "pairs.csv", index=False)
    settings = {"epochs": 40, "learning_rate": 1e-3, "pairs_per_step": 8, "pairs_per_prompt": 2, "tokens_per_row": 64,
                "checkpoint_minutes": 1e-4}  # fmt: skip
    words = ["train", "pairs.csv", "--model", "start", "--launch", "2"]
    words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    whole = crpo(tmp_path, *words, "-o", "whole")
    said = whole.communicate()[1]
    assert whole.returncode == 0, said
    stopped = crpo(tmp_path, *words, "-o", "out")
    wait_for(lambda: newest(tmp_path / "out" / "crpo-checkpoints") or stopped.poll() is not None, stopped.pid)
    os.kill(stopped.pid, signal.SIGTERM)
    said = stopped.communicate()[1]
    assert stopped.returncode == 130, said
    assert said.count("stopped after step") == 1
    assert said.endswith("error: interrupted. The same command again continues.\n")
    again = crpo(tmp_path, *words, "-o", "out")
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert re.search(r"continues after step [1-9]", said)
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")
