"""A panel that is killed while raters work loses nothing that it acknowledged."""

from __future__ import annotations

from pathlib import Path

from panel_kills import kill_often


def test_five_kills_with_eight_raters_lose_and_double_nothing(tmp_path: Path) -> None:
    found = kill_often(tmp_path / "study", kills=5)
    assert found["acknowledged"] > 20
    assert found["broken off"] > 0
    assert (found["lost"], found["changed"], found["doubled"]) == (0, 0, 0)
