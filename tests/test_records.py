"""Records survive a kill in the middle of a write."""

from __future__ import annotations

from pathlib import Path

from crpo.records import RecordStore


def test_records_are_found_again_and_the_first_of_a_key_counts(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "r.jsonl")
    store.append({"key": "a", "text": "ö \u2028 \ud83d\ude00"})
    store.append({"key": "a", "text": "again"})
    store.append({"key": "b", "text": "two"})
    again = RecordStore(tmp_path / "r.jsonl")
    assert len(again) == 2
    assert again["a"]["text"].startswith("ö")
    assert "b" in again


def test_a_torn_last_line_is_cut_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    store = RecordStore(path)
    for number in range(5):
        store.append({"key": str(number)})
    whole = path.read_bytes()
    for cut in range(1, 12):
        path.write_bytes(whole[:-cut])
        again = RecordStore(path)
        assert len(again) >= 4 if cut < 12 else True
        again.append({"key": "new"})
        assert "new" in RecordStore(path)
