"""Bad input gets one line that says what is wrong, where, and what to do; and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import crpo
from crpo.tables import KINDS, read_table
from malformed import (
    HEADER,
    RATINGS,
    READERS,
    RECIPE,
    RESPONSES,
    Case,
    Command,
    Files,
    Reader,
    assert_installed_command_refuses,
    assert_one_line,
    assert_refused,
    contents,
    lay_out,
    with_cell,
    without,
)  # fmt: skip


def faults(reader: Reader) -> dict[str, tuple[str | bytes | None, list[str]]]:
    """Return what may be wrong with any table, and what the message must hold."""
    header, line, *_ = reader.table.splitlines()
    found: dict[str, tuple[str | bytes | None, list[str]]] = {
        "is a folder": (None, ["is a folder", "Name a file"]),
        "is empty": ("", ["is empty", "Give a table"]),
        "has no rows": (f"{header}\n", ["has a header but no rows", "Give a table"]),
        "lacks a column": (
            without(reader.table, reader.required).replace(header, without(header, reader.required).strip()),
            ["row 1", f"column '{reader.required}' is missing", "Add it or rename one."],
        ),
        "has a column twice": (
            f"{header},{reader.required}\n{line},x\n",
            [f"column '{reader.required}' is there twice", "Rename or remove"],
        ),
        "is not UTF-8": (f"{header}\n{line}\n".encode() + b"caf\xe9\n", ["row 3", "0xe9", "Save the file as UTF-8."]),
        "has an open quote": (f'{header}\n{line}\n"{line}\n', ["row 3", "unbalanced quote"]),
        "has a row of another width": (f"{header}\n{line}\n{line},x\n", ["row 3", "cells where the header", "quotes"]),
    }
    if reader.number:
        table = with_cell(reader.table, reader.number, "high")
        found["has text for a number"] = (table, ["row 2", f"'{reader.number}'", "'high' is not a number", "Write"])
    return found


CASES = {
    f"{command}: a table that {name}": Case({**dict(reader.others), "table.csv": table}, reader.arguments,
                                            ["table.csv", *words])
    for command, reader in READERS.items()
    for name, (table, words) in faults(reader).items()
} | {
    f"{command}: a table that is not there": Case(dict(reader.others), reader.arguments,
                                                  ["table.csv does not exist", "Check the path."])
    for command, reader in READERS.items()
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_line_and_nothing_is_written(name: str, command: Command, tmp_path: Path) -> None:
    assert_refused(CASES[name], command, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["check: a table that has text for a number", "run responses: a table that lacks a column",
     "train: a table that is not there"],
)  # fmt: skip
def test_the_installed_command_does_the_same(name: str, tmp_path: Path) -> None:
    assert_installed_command_refuses(CASES[name], tmp_path)


def test_every_good_table_of_these_tests_is_read(tmp_path: Path) -> None:
    kinds = {"check": "responses", "rate": "ratings", "pair": "responses", "score": "answers", "weigh pairs": "pairs",
             "weigh signals": "signals", "sft": "sft", "train": "preferences", "generate": "prompts",
             "evaluate": "samples", "winrate": "votes", "run responses": "responses",
             "run ratings": "rated answers"}  # fmt: skip
    assert set(kinds) == set(READERS)
    assert set(kinds.values()) <= set(KINDS)
    for name, reader in READERS.items():
        lay_out({"table.csv": reader.table}, tmp_path)
        assert len(read_table(tmp_path / "table.csv", kinds[name])) == reader.table.count("\n") - 1


QUOTED = RESPONSES.replace("a tiny grave", '"a tiny\ngrave; or two, or three"')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("T07.csv", RESPONSES.replace(",", ";")),
        ("T08.csv", RESPONSES.replace(",", "\t")),
        ("T08.tsv", RESPONSES.replace(",", "\t")),
        ("T09.csv", "\ufeff" + RESPONSES),
        ("T10.csv", RESPONSES.encode("utf-16")),
        ("T16-return.csv", RESPONSES.replace("\n", "\r")),
        ("T16-both.csv", RESPONSES.replace("\n", "\r\n")),
        ("T17-lines.csv", RESPONSES.replace("\n", "\n\n")),
        ("T17-commas.csv", RESPONSES.replace("\n", ",,,\n") + ",,,,,,\n"),
    ],
)
def test_an_odd_but_whole_table_is_read_all_the_same(
    name: str, content: str | bytes, command: Command, tmp_path: Path
) -> None:
    lay_out({name: content, "plain.csv": RESPONSES}, tmp_path)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / name, "responses"), read_table(tmp_path / "plain.csv", "responses")
    )
    assert command(f"check {name}")[0] == 0


def test_a_cell_of_two_lines_stays_whole(tmp_path: Path) -> None:
    lay_out({"table.csv": QUOTED}, tmp_path)
    assert read_table(tmp_path / "table.csv", "responses")["response"][1] == "a tiny\ngrave; or two, or three"


def test_semicolons_in_answers_do_not_part_a_table_whose_lines_end_in_returns(tmp_path: Path) -> None:
    lay_out({"table.csv": RESPONSES.replace("a swing", ";" * 20).replace("\n", "\r")}, tmp_path)
    assert len(read_table(tmp_path / "table.csv", "responses")) == 4


def test_the_same_rating_given_twice_is_one_rating(command: Command) -> None:
    again = RATINGS + RATINGS.splitlines()[1] + "\n"
    code, output, _ = command("rate table.csv -o out.csv", {"table.csv": again})
    assert code == 0
    assert "ratings: 4" in output


WORDS = ["null", "None", "NA", "nan", "NULL", "true"]
WORD_ANSWERS = f"{HEADER}\n" + "".join(f"Uses,brick,{word},{20 + 3 * i}\n" for i, word in enumerate(WORDS))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_answers_that_look_like_missing_values_are_answers(ending: str, command: Command, tmp_path: Path) -> None:
    out = f"out.{ending}"
    assert command(f"pair table.csv -o {out} --min-gap 1", {"table.csv": WORD_ANSWERS})[0] == 0
    pairs = read_table(tmp_path / out, "pairs")
    assert {*pairs["chosen"], *pairs["rejected"]} == set(WORDS)


def test_such_answers_go_the_whole_way_through_a_run(command: Command, tmp_path: Path) -> None:
    recipe = RECIPE + "pair: {min_gap: 1}\n"
    code, _, error = command(
        "run recipe.yaml --out run --until pair", {"table.csv": WORD_ANSWERS, "recipe.yaml": recipe}
    )
    assert code == 0, error
    answers = read_table(tmp_path / "run" / "split" / "answers.csv", "identified answers")
    pairs = read_table(tmp_path / "run" / "pair" / "pairs.csv", "pairs")
    assert set(answers["response"]) == set(WORDS) - {"null"}  # the same answer as NULL, merged with it
    assert {*pairs["chosen"], *pairs["rejected"]} == set(answers["response"])


def test_such_answers_are_scored(command: Command, tmp_path: Path) -> None:
    code, output, _ = command("score table.csv -o out.csv", {"table.csv": WORD_ANSWERS})
    assert code == 0
    assert "answers without novelty: 0" in output
    assert read_table(tmp_path / "out.csv", "signals")["diversity_raw"].notna().all()


def test_the_only_answer_to_a_prompt_is_not_scored_and_counted(command: Command, tmp_path: Path) -> None:
    table = RESPONSES + "Uses,shoe,a boat,30\n"
    code, output, error = command("score table.csv -o out.csv", {"table.csv": table})
    assert code == 0
    assert "error" not in error
    assert "answers without novelty: 1" in output
    assert "answers without diversity: 1" in output
    scored = read_table(tmp_path / "out.csv", "signals")
    assert scored["diversity"].isna().tolist() == [False] * 4 + [True]


def test_a_prompt_with_one_answer_has_no_pair_and_disturbs_no_other(command: Command, tmp_path: Path) -> None:
    alone = "Uses,shoe,a boat,30\n"
    assert command("pair table.csv -o out.csv", {"table.csv": RESPONSES + alone})[0] == 0
    assert command("pair table.csv -o without.csv", {"table.csv": RESPONSES})[0] == 0
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "without.csv").read_text()


def test_a_step_that_fails_leaves_no_output_and_the_run_goes_on_from_there(command: Command, tmp_path: Path) -> None:
    code, _, error = command(
        "run recipe.yaml --out run --set pair.min_score=45", {"recipe.yaml": RECIPE, "table.csv": RESPONSES}
    )
    *progress, last = error.splitlines(keepends=True)
    assert code == 2
    assert_one_line(last, ["recipe.yaml", "no pair is left", "4 answers below pair.min_score 45", "Lower"])
    assert not any("error" in line for line in progress)
    assert (tmp_path / "run" / "split" / "done.json").is_file()
    assert not (tmp_path / "run" / "pair").exists()
    assert command("run recipe.yaml --out run --until pair")[0] == 0
    assert (tmp_path / "run" / "pair" / "done.json").is_file()
    code, _, error = command("report run")
    assert code == 2
    assert_one_line(error, ["the run in run is not finished", "crpo run"])


def test_a_damaged_run_json_is_said_before_anything_is_done(command: Command, tmp_path: Path) -> None:
    files: Files = {"recipe.yaml": RECIPE, "table.csv": RESPONSES, "run/run.json": '{"name": "te'}
    lay_out(files, tmp_path)
    before = contents(tmp_path)
    code, output, error = command("run recipe.yaml --out run")
    assert_one_line(error, ["run/run.json is damaged", "Delete it"])
    assert (code, output, contents(tmp_path)) == (2, "", before)


def test_the_version_is_told(command: Command) -> None:
    assert command("--version") == (0, f"{crpo.__version__}\n", "")


def test_a_bug_of_ours_is_one_line_too_and_its_traceback_is_kept(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crpo.stages.check.examine", lambda *_, **__: 1 / 0)
    code, _, error = command("check table.csv", {"table.csv": RESPONSES})
    assert_one_line(error, ["a bug in crpo (ZeroDivisionError)", "crpo-error.log"])
    assert code == 70
    assert "Traceback" in (tmp_path / "crpo-error.log").read_text()
