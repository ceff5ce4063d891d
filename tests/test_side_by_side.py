"""Steps of a run in several processes: what is done is the same, and nobody is left behind."""

from __future__ import annotations

import fcntl
import os
import pickle
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import toy_steps
from crpo import errors
from crpo.errors import CrpoError, InputError, RunInUseError, TooManyFailuresError
from crpo.plan import plan
from crpo.processes import threads_for
from crpo.recipe import read_recipe
from crpo.runs import execute
from crpo.stages.step import Step
from malformed import Command
from test_kills import crpo, newest, tables, wait_for
from test_study import KILLED, TINY
from toy_steps import ABOUT, LONG, be_alone, be_killed, fail, fail_oddly, lingering, meet, outlast, toy, write

ERRORS = [own for own in vars(errors).values() if isinstance(own, type) and issubclass(own, CrpoError)]
ONE_SAMPLE = "generate.grid=[{temperature: 1}]"  # without what models of others do not take


def diamond() -> list[Step]:
    return [
        toy("top", write, "a"), toy("left", write, "b", needs=("top",)), toy("right", write, "c", needs=("top",)),
        toy("bottom", write, "d", needs=("left", "right")), toy("beside", write, "e"),
    ]  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".workers"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_two_workers_do_what_one_does_in_an_order_that_serves_what_is_needed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    names = [step.name for step in diamond()]
    assert execute(diamond(), two, about=ABOUT, workers=2) == names
    assert execute(diamond(), one, about=ABOUT) == names
    assert (two / "bottom" / "text").read_text() == "abacd"
    assert contents(one) == contents(two)
    assert execute(diamond(), two, about=ABOUT) == execute(diamond(), one, about=ABOUT, workers=2) == []
    changed = [*diamond()[:2], toy("right", write, "x", needs=("top",)), *diamond()[3:]]
    assert execute(changed, one, about=ABOUT, workers=2) == ["right", "bottom"]
    assert (one / "bottom" / "text").read_text() == "abaxd"


def test_steps_are_done_at_the_same_time_each_with_its_share_of_the_cores_and_some_never_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    steps = [toy("here", meet, tmp_path, "here", "there"), toy("there", meet, tmp_path, "there", "here"),
             *(toy(f"alone/{number}", be_alone, tmp_path, apart="place") for number in range(3))]  # fmt: skip
    execute(steps, tmp_path / "run", about=ABOUT, workers=2)
    assert (tmp_path / "run" / "here" / "text").read_text() == str(threads_for(2))
    assert "OMP_NUM_THREADS" not in os.environ
    told = capfd.readouterr().err.splitlines()
    assert told[:2] == ["[1/5] here", "[2/5] there"]
    assert {line.split(":")[0].strip() for line in told if "done in" in line} == {step.name for step in steps}


def test_a_number_of_threads_that_the_user_gave_is_the_workers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (tmp_path / "there").touch()
    execute([toy("here", meet, tmp_path, "here", "there")], tmp_path / "run", about=ABOUT, workers=2)
    assert (tmp_path / "run" / "here" / "text").read_text() == "7"


def test_steps_of_one_file_or_budget_are_kept_apart() -> None:
    judge = "evaluate.metrics={words: words, judged: {use: llm_judge, generator: openai, records: judge.jsonl}}"
    apart = {step.name: step.apart for step in plan(read_recipe("demo", [judge])) if step.apart}
    assert set(apart.values()) == {"records"}
    assert {name.split("/")[0] for name in apart} == {"score", "evaluate"}
    paid = "generate.baselines={a: {use: openai, model: gpt-4o}, b: {use: openai, model: gpt-4o-mini}}"
    assert {step.name for step in plan(read_recipe("demo", [paid, ONE_SAMPLE])) if step.apart == "paid"} == {
        "generate/a", "generate/b",
    }  # fmt: skip


def test_an_error_is_that_of_one_process_and_what_runs_beside_it_is_finished(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing, place = toy("failing", fail, InputError("row 3 is  bad", "Mend it."), tmp_path), tmp_path / "run"
    slow = toy("slow", outlast, tmp_path, place / ".failing.partial" / "text")
    steps = [failing, slow, *(toy(f"later/{number}", write, "x") for number in range(2))]
    with pytest.raises(InputError) as error:
        execute(steps, place, about=ABOUT, workers=2)
    assert (str(error.value), error.value.exit_code) == ("row 3 is bad. Mend it.", 2)
    assert (error.value.problem, error.value.fix) == ("row 3 is bad", "Mend it.")
    assert (place / "slow" / "text").read_text() == "whole"
    assert "slow: done in" in capfd.readouterr().err
    assert not (place / "failing").exists()
    assert not (place / "later").exists()
    with pytest.raises(InputError):
        execute(steps, place, about=ABOUT)
    assert execute(steps[1:], place, about=ABOUT) == ["later/0", "later/1"]


def test_two_errors_are_both_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "begun").touch()
    steps = [toy(name, fail, ValueError(f"{name} went wrong"), tmp_path) for name in ("left", "right")]
    with pytest.raises(ValueError, match="went wrong") as error:
        execute(steps, tmp_path / "run", about=ABOUT, workers=2)
    other = "right" if "left" in str(error.value) else "left"
    assert f"another step has failed, too: {other} went wrong" in capfd.readouterr().err
    assert "toy_steps.py" in error.value.__notes__[0]  # where in the worker it was raised


def test_an_error_that_cannot_be_sent_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="OddError: so and so"):
        execute([toy("odd", fail_oddly)], tmp_path / "run", about=ABOUT, workers=2)


def test_a_worker_that_the_system_ends_is_a_line_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(TooManyFailuresError, match=r"did killed was ended from outside \(SIGKILL\).*memory"):
        execute([toy("killed", be_killed), *diamond()], tmp_path / "run", about=ABOUT, workers=2)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_keeps_its_words_and_its_code_between_processes(kind: type[CrpoError]) -> None:
    error = kind("a  problem", "Mend it.")
    error.exit_code += 100
    error.add_note("where")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, "a problem. Mend it.", vars(error))


@pytest.mark.parametrize("name", ["demo", "small", "paper-llama", "lambda-sweep"])
def test_every_step_of_the_shipped_recipes_can_be_sent(name: str) -> None:
    more = "generate.baselines={other: {use: openai, model: gpt-4o}}"
    for step in plan(read_recipe(name, [more, ONE_SAMPLE])):
        again = pickle.loads(pickle.dumps(step))
        assert (again.name, again.settings, again.needs) == (step.name, step.settings, step.needs)


def run_toys(place: Path, workers: int, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, toy_steps.__file__, str(place), str(workers)]
    return subprocess.Popen(command, text=True, **{"stderr": subprocess.PIPE, **options})


def workers_of(place: Path, run: subprocess.Popen[str]) -> list[int]:
    """Wait until both steps linger, and return the numbers of the processes that do them."""
    files = [place / f".{name}.partial.process" for name in ("left", "right")]
    wait_for(lambda: all(file.exists() and file.read_text() for file in files), run.pid, seconds=LONG)
    found = [int(file.read_text()) for file in files]
    assert len({*found, run.pid}) == 3
    return found


def check_that_it_goes_on(place: Path) -> None:
    execute(lingering(place), place / "run", about=ABOUT)
    assert (place / "run" / "both" / "text").read_text() == "kept by .left.partialkept by .right.partial!"


def test_a_killed_run_leaves_no_worker_and_goes_on(tmp_path: Path) -> None:
    run = run_toys(tmp_path, 2, stderr=subprocess.DEVNULL)
    workers = workers_of(tmp_path, run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    check_that_it_goes_on(tmp_path)  # at once: it waits for the workers
    assert not [process for process in workers if lives(process)]


def test_a_run_waits_for_workers_of_an_earlier_one_that_still_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crpo.worker.PATIENCE", 0.2)
    with (tmp_path / ".workers").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(RunInUseError, match="earlier run") as error:
            execute(diamond(), tmp_path, about=ABOUT)
    assert error.value.exit_code == 5
    assert execute(diamond(), tmp_path, about=ABOUT)


def lives(process: int) -> bool:
    """Return whether a process still does something: one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, True)])
def test_an_interrupted_run_ends_in_silence_and_goes_on(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    run = run_toys(tmp_path, 2, start_new_session=True)
    workers = workers_of(tmp_path, run)
    (os.killpg if to_all else os.kill)(run.pid, number)  # as a terminal does, or as `kill` does
    told = run.communicate(timeout=LONG)[1]
    assert run.returncode == 130, told
    assert told == "[1/3] left\n[2/3] right\n"
    assert not [process for process in workers if lives(process)]
    check_that_it_goes_on(tmp_path)


def test_an_interruption_while_workers_are_being_started_is_silent_too(tmp_path: Path) -> None:
    run = run_toys(tmp_path, 2, start_new_session=True)
    assert run.stderr is not None
    assert run.stderr.readline() == "[1/3] left\n"
    time.sleep(0.2)  # seconds; a worker is importing what it needs
    os.killpg(run.pid, signal.SIGINT)
    told = run.communicate(timeout=LONG)[1]
    assert (run.returncode, told) in [(130, ""), (130, "[2/3] right\n")], told


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("workers", [1, 2])
def test_on_a_terminal_one_process_shows_bars_and_several_do_not(
    tmp_path: Path, terminal: tuple[int, int], workers: int
) -> None:
    run = run_toys(tmp_path, workers, stderr=terminal[1], start_new_session=True)
    wait_for((tmp_path / ".left.partial.process").exists, run.pid)
    time.sleep(0.5)
    os.killpg(run.pid, signal.SIGINT)
    run.wait(timeout=LONG)
    shown = os.read(terminal[0], 1 << 16).decode()
    assert "left" in shown
    assert ("\x1b" in shown) == (workers == 1), shown


def test_a_number_of_workers_that_cannot_be_is_one_line(command: Command) -> None:
    code, _, told = command("run demo --workers 0")
    assert (code, told.count("\n")) == (2, 1), told
    assert "--workers" in told


@pytest.mark.slow
def test_a_study_with_two_workers_killed_and_stopped_ends_with_the_bytes_of_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    one = crpo(tmp_path / "one", "run", "recipe.yaml", "--out", "run")
    folder = tmp_path / "two" / "run"
    for variant, number, code in (("DPO", signal.SIGKILL, -9), ("CrPO-rare", signal.SIGTERM, 130)):
        run = crpo(tmp_path / "two", "run", "recipe.yaml", "--out", "run", "--workers", "2")
        checkpoints = folder / "train" / variant / ".seed-42.partial" / "model" / "crpo-checkpoints"
        wait_for(lambda: newest(checkpoints) or run.poll() is not None, run.pid, seconds=1800)  # noqa: B023
        os.kill(run.pid, number)
        told = run.communicate()[1]
        assert run.returncode == code, told
        assert newest(checkpoints) > 0
    assert told.endswith("error: interrupted. The same command again continues.\n")
    assert "Traceback" not in told
    last = crpo(tmp_path / "two", "run", "recipe.yaml", "--out", "run", "--workers", "2")
    told = last.communicate()[1]
    assert (one.communicate() and one.returncode, last.returncode) == (0, 0), told
    assert "continues after step" in told
    alone, together = tables(tmp_path / "one" / "run"), tables(folder)
    del alone["report/done.json"], together["report/done.json"]  # the page shows the command
    assert alone == together
    assert len([name for name in alone if name.endswith("model.safetensors")]) == 7


STUDY = {
    **KILLED,
    "policy": {"tiny": {**TINY, "epochs": 1}},
    "train": {"learning_rate": 1e-3, "tokens_per_row": 256, "pairs_per_step": 8, "epochs": 4,
              "checkpoint_minutes": 1e-4},
    "evaluate": {"metrics": {"words": "words", "diversity": "diversity", "surprise": "surprise"}, "draws": 50},
    "study": {"seeds": [12, 42]},
}  # fmt: skip
