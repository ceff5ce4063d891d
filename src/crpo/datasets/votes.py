"""Pairwise votes: ours, Chatbot Arena's words for the winner, and a column per question that holds the winner's name.

prompt_id,rater,dimension,model_a,model_b,winner
p1,anna,creativity,CrPO,DPO,a

creativity,language,options
CrPO,same,"DPO,CrPO"
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from crpo.errors import InputError
from crpo.tables import Problem, Reading

NAME = "pairwise votes"
MODELS = ("model_a", "model_b")
TIES = ("tie", "tie (bothbad)", "bothbad", "same", "equal", "draw", "both", "neither")  # in any case
ALONE = "all"  # the dimension of votes that name none


def matches(columns: Collection[str]) -> bool:
    """Return whether each row is a vote between two models, or several votes on the same two."""
    return {*MODELS, "winner"} <= set(columns) or "options" in columns


def convert(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Return a row per vote: model_a, model_b, winner ("a", "b", "tie"), dimension; wrong rows are noted.

    In the wide form `options` holds the two names with a comma between; the columns in which any cell is one of its
    row's names are the dimensions. A blank cell there is no vote.
    """
    table = frame if {*MODELS, "winner"} <= set(frame.columns) else _long(frame, reading)
    if "dimension" not in table:
        table = table.assign(dimension=ALONE)
    winners, wrong = [], set()
    for row, first, second, winner in zip(table.index, *_texts(table, (*MODELS, "winner")), strict=True):
        side = _side(first, second, winner)
        winners.append(side)
        if first == second:
            wrong.add(row)
            reading.problems.append(_problem(row, f"both models are {first!r}", "A vote is between two models."))
        elif side is None:
            wrong.add(row)
            fix = f"Write {first}, {second} or tie; or a, b or tie, where there are columns model_a and model_b."
            reading.problems.append(_problem(row, f"the winner {winner!r} is neither of {first}, {second}", fix))
    return table.assign(winner=winners).loc[~table.index.isin(wrong)]


def _long(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Return the wide form with a row per filled cell of a dimension, indexed by "row 5 (creativity)"."""
    options = {row: [part.strip() for part in str(cell or "").split(",")] for row, cell in frame["options"].items()}
    for row, names in options.items():
        if len(names) != 2 or not all(names):
            fix = 'Write the two names with a comma between, as "DPO,CrPO".'
            reading.problems.append(Problem(row, "options", f"{', '.join(names)!r} is not two names", fix))  # type: ignore[arg-type]
    frame = frame[[len(names) == 2 and all(names) for names in options.values()]]
    names = [options[row] for row in frame.index]
    dimensions = [column for column in frame if column != "options" and _names_a_winner(frame[column], names)]
    reading.notes.append(f"{NAME}, a column per dimension: {', '.join(map(str, dimensions)) or 'none'}")
    others = [column for column in frame if column not in (*dimensions, "options")]
    parts = []
    for dimension in dimensions:
        part = frame[others].assign(
            dimension=str(dimension), model_a=[first for first, _ in names], model_b=[second for _, second in names],
            winner=[str(cell if cell is not None else "").strip() for cell in frame[dimension]],
        )  # fmt: skip
        part.index = pd.Index([f"{row} ({dimension})" for row in frame.index])
        parts.append(part[part["winner"] != ""])
    if not parts:
        if len(frame):
            fix = "Give a column per question with the winner's name."
            raise InputError(f"{reading.path}: no column names one of the two models in 'options'", fix)
        return frame.reindex(columns=[*MODELS, "winner", "dimension"])
    return pd.concat(parts)


def _names_a_winner(cells: Iterable[object], names: Iterable[list[str]]) -> bool:
    return any(isinstance(cell, str) and cell.strip() in two for cell, two in zip(cells, names, strict=True))


def _side(first: str, second: str, winner: str) -> str | None:
    if winner.casefold() in TIES:
        return "tie"
    return {"a": "a", "b": "b", "model_a": "a", "model_b": "b", first: "a", second: "b"}.get(winner)


def _texts(table: pd.DataFrame, columns: Iterable[str]) -> list[list[str]]:
    return [["" if cell is None else str(cell).strip() for cell in table[column]] for column in columns]


def _problem(row: object, found: str, fix: str) -> Problem:
    return Problem(row, "winner", found, fix)  # type: ignore[arg-type]
