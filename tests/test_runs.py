"""The run folder: nothing is done twice, nothing stale is kept, nobody works in it twice."""

from __future__ import annotations

import fcntl
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crpo.errors import InputError, RunInUseError, RunMismatchError
from crpo.runs import execute, stale
from crpo.stages.step import Folders, Step

ABOUT = {"name": "test", "recipe": {}}


def write(name: str, text: str, out: Path, inputs: Folders) -> None:
    before = "".join((folder / "text").read_text() for folder in inputs.values())
    (out / "text").write_text(before + text)


def steps(a: str = "a", b: str = "b", c: str = "c", **more: Any) -> list[Step]:
    return [
        Step("first", partial(write, "first", a), {"text": a}, **more),
        Step("second", partial(write, "second", b), {"text": b}, ("first",)),
        Step("other", partial(write, "other", c), {"text": c}),
    ]


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    assert execute(steps(), tmp_path, about=ABOUT) == ["first", "second", "other"]
    assert execute(steps(), tmp_path, about=ABOUT) == []
    assert (tmp_path / "second" / "text").read_text() == "ab"


def test_a_changed_setting_redoes_only_what_follows(tmp_path: Path) -> None:
    execute(steps(), tmp_path, about=ABOUT)
    assert stale(steps(a="x"), tmp_path) == ["first", "second"]
    assert execute(steps(a="x"), tmp_path, about=ABOUT) == ["first", "second"]
    assert (tmp_path / "second" / "text").read_text() == "xb"
    assert execute(steps(a="x", b="y"), tmp_path, about=ABOUT) == ["second"]


def test_a_step_whose_input_comes_out_the_same_is_not_redone(tmp_path: Path) -> None:
    execute(steps(), tmp_path, about=ABOUT)
    same = [Step("first", partial(write, "first", "a"), {"text": "a", "new setting": 1}), *steps()[1:]]
    assert execute(same, tmp_path, about=ABOUT) == ["first"]


def test_a_changed_input_file_redoes_what_reads_it(tmp_path: Path) -> None:
    source, folder = tmp_path / "data.csv", tmp_path / "run"
    source.write_text("1")
    execute(steps(reads=(source,)), folder, about=ABOUT)
    source.write_text("2")
    assert execute(steps(reads=(source,)), folder, about=ABOUT) == ["first"]  # its output is the same, so no second


def test_a_damaged_output_is_made_again(tmp_path: Path) -> None:
    execute(steps(), tmp_path, about=ABOUT)
    (tmp_path / "first" / "text").unlink()
    assert execute(steps(), tmp_path, about=ABOUT) == ["first"]


def test_a_step_that_fails_leaves_the_old_result_and_no_done_mark(tmp_path: Path) -> None:
    execute(steps(), tmp_path, about=ABOUT)

    def fail(out: Path, inputs: Folders) -> None:
        (out / "text").write_text("half")
        raise InputError("bad", "mend it")

    with pytest.raises(InputError):
        execute([Step("first", fail, {"text": "new"}), *steps()[1:]], tmp_path, about=ABOUT)
    assert (tmp_path / "first" / "text").read_text() == "a"
    assert execute(steps(), tmp_path, about=ABOUT) == []


def test_an_unfinished_step_finds_its_own_work_again(tmp_path: Path) -> None:
    def kill_once(out: Path, inputs: Folders) -> None:
        if not (out / "records").exists():
            (out / "records").write_text("kept")
            raise KeyboardInterrupt
        (out / "text").write_text((out / "records").read_text())

    with pytest.raises(KeyboardInterrupt):
        execute([Step("first", kill_once)], tmp_path, about=ABOUT)
    execute([Step("first", kill_once)], tmp_path, about=ABOUT)
    assert (tmp_path / "first" / "text").read_text() == "kept"


def test_until_does_only_what_is_needed(tmp_path: Path) -> None:
    assert execute(steps(), tmp_path, about=ABOUT, until="other") == ["other"]
    with pytest.raises(InputError, match="second"):
        execute(steps(), tmp_path, about=ABOUT, until="secnd")


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    execute(steps(), tmp_path, about=ABOUT)
    with pytest.raises(RunMismatchError, match=r"'test'.*'other'") as error:
        execute(steps(), tmp_path, about={"name": "other", "recipe": {}})
    assert error.value.exit_code == 4
    assert json.loads((tmp_path / "run.json").read_text())["name"] == "test"


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunInUseError) as error:
            execute(steps(), tmp_path, about=ABOUT)
    assert error.value.exit_code == 5
