"""Records survive a kill in the middle of a write."""

from __future__ import annotations

from pathlib import Path

import pytest

from crpo.errors import InputError, RunMismatchError
from crpo.records import RecordStore


def test_records_are_found_again_and_the_first_of_a_key_counts(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "r.jsonl", {"model": "m"})
    store.append({"key": "a", "text": "ö \u2028 \ud83d\ude00"})
    store.append({"key": "a", "text": "again"})
    store.append({"key": "b", "text": "two"})
    again = RecordStore(tmp_path / "r.jsonl", {"model": "m"})
    assert len(again) == 2
    assert again["a"]["text"].startswith("ö")
    assert "b" in again


def test_records_of_another_model_are_refused(tmp_path: Path) -> None:
    RecordStore(tmp_path / "r.jsonl", {"model": "m"})
    with pytest.raises(RunMismatchError, match="holds records of model 'm', this is 'n'") as error:
        RecordStore(tmp_path / "r.jsonl", {"model": "n"})
    assert error.value.exit_code == 4


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RecordStore(path, {"model": "m"}).append({"key": "a"})
    path.write_bytes(path.read_bytes() + b"nonsense\n" + b'{"key": "b"}\n')
    with pytest.raises(InputError, match="row 3 is damaged"):
        RecordStore(path, {"model": "m"})


def test_a_torn_last_line_is_cut_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    store = RecordStore(path, {"model": "m"})
    for number in range(5):
        store.append({"key": str(number)})
    whole = path.read_bytes()
    for cut in range(1, 12):
        path.write_bytes(whole[:-cut])
        again = RecordStore(path, {"model": "m"})
        assert len(again) == 4
        again.append({"key": "new"})
        assert "new" in RecordStore(path, {"model": "m"})
