"""The README's table of the study says what docs/results/values.csv says."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

TOP = Path(__file__).parent.parent
COLUMNS = {"novelty": "novelty", "diversity": "diversity", "surprise": "surprise", "quality": "quality",
           "people's score": "people_score", "words": "words"}  # fmt: skip
_CELL = re.compile(r"(\S+) \[(\S+), (\S+)\]")


def rows() -> list[list[str]]:
    lines = (TOP / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| model | novelty"))
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
    return table[: next(number for number, cells in enumerate(table) if len(cells) < 2)]


def test_every_cell_of_the_table_is_the_studys_number() -> None:
    head, _, *body = rows()
    assert head == ["model", *COLUMNS]
    assert len(body) > 5
    values = pd.read_csv(TOP / "docs" / "results" / "values.csv").query("split == 'all'").set_index(["model", "metric"])
    for model, *cells in body:
        for name, cell in zip(COLUMNS.values(), cells, strict=True):
            found = _CELL.fullmatch(cell.replace("−", "-"))
            assert found, cell
            for text, column in zip(found.groups(), ("value", "low", "high"), strict=True):
                digits = len(text.partition(".")[2])
                assert float(text) == pytest.approx(round(values.loc[(model, name), column], digits), abs=1e-9), cell
