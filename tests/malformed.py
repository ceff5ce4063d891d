"""Files that are wrong, or look it: small good tables, how to spoil them, and what the one error line must hold."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Files = dict[str, str | bytes | None]  # None is an empty folder
Command = Callable[..., tuple[int, str, str]]

RESPONSES = """task,item,response,creativity_score
Uses,brick,a door stop,20
Uses,brick,a tiny grave,32
Uses,rope,a swing,25
Uses,rope,a map of a river,41
"""
RATINGS = """response_id,task,item,response,rater,rating
a,Uses,brick,a door stop,r1,2
a,Uses,brick,a door stop,r2,1
b,Uses,rope,a swing,r1,4
b,Uses,rope,a swing,r2,5
"""
PAIRS = """pair_id,prompt_id,prompt,chosen,rejected,chosen_id,rejected_id,score_chosen,score_rejected,weight
1,p,Uses of a brick?,a tiny grave,a door stop,b,a,32,20,1.5
2,p,Uses of a brick?,a sundial,a door stop,c,a,38,20,0.5
"""
SIGNALS = "response_id,prompt_id,novelty_raw,novelty\nb,p,0.3,1\nc,p,0.1,0\n"
SFT = "prompt,response\nUses of a brick?,a tiny grave\n"
PROMPTS = "prompt_id,prompt\np,Uses of a brick?\nq,Uses of a rope?\n"
SAMPLES = "prompt_id,prompt,model,sample,response,status\np,Uses of a brick?,m,0,a door stop,ok\n"
VOTES = "model_a,model_b,winner,words_a,words_b\nm,n,a,3,4\nn,m,tie,5,6\n"
RECIPE = "name: test\ndata: {responses: table.csv, heldout_items: 0}\n"
RATED = "name: test\ndata: {ratings: table.csv, heldout_items: 0}\n"


@dataclass(frozen=True)
class Reader:
    """A command that reads `table.csv`: its arguments, that table when it is good, and the other files it needs."""

    arguments: str
    table: str
    required: str
    number: str | None = None
    others: tuple[tuple[str, str], ...] = ()


READERS = {
    "check": Reader("check table.csv --kind responses", RESPONSES, "creativity_score", "creativity_score"),
    "rate": Reader("rate table.csv -o out.csv", RATINGS, "rater", "rating"),
    "pair": Reader("pair table.csv -o out.csv --sft sft.csv", RESPONSES, "item", "creativity_score"),
    "score": Reader("score table.csv -o out.csv", RESPONSES, "response", "creativity_score"),
    "weigh pairs": Reader("weigh table.csv signals.csv -o out.csv --lambda novelty=1", PAIRS, "rejected", "weight",
                          (("signals.csv", SIGNALS),)),
    "weigh signals": Reader("weigh pairs.csv table.csv -o out.csv --lambda novelty=1", SIGNALS, "prompt_id", "novelty",
                            (("pairs.csv", PAIRS),)),
    "sft": Reader("sft table.csv --model some/model -o out", SFT, "response"),
    "train": Reader("train table.csv --model some/model -o out", PAIRS, "rejected", "weight"),
    "generate": Reader("generate table.csv --model some/model -o out.csv", PROMPTS, "prompt"),
    "evaluate": Reader("evaluate table.csv -o out.csv --use words", SAMPLES, "status", "sample"),
    "winrate": Reader("winrate table.csv -o out.csv --set draws=20", VOTES, "winner", "words_a"),
    "run responses": Reader("run recipe.yaml --out run", RESPONSES, "task", "creativity_score",
                            (("recipe.yaml", RECIPE),)),
    "run ratings": Reader("run recipe.yaml --out run", RATINGS, "response_id", "rating", (("recipe.yaml", RATED),)),
}  # fmt: skip


def without(table: str, column: str) -> str:
    rows = [line.split(",") for line in table.splitlines()]
    place = rows[0].index(column)
    return "\n".join(",".join(row[:place] + row[place + 1 :]) for row in rows) + "\n"


def with_cell(table: str, column: str, cell: str) -> str:
    """Return the table with another cell in its second line."""
    rows = [line.split(",") for line in table.splitlines()]
    rows[1][rows[0].index(column)] = cell
    return "\n".join(",".join(row) for row in rows) + "\n"


@dataclass(frozen=True)
class Case:
    """Files, arguments, and what the one line must hold."""

    files: Files
    arguments: str
    words: list[str]


def table_case(content: str | bytes, *words: str, name: str = "table.csv", kind: str = "responses") -> Case:
    return Case({name: content}, f"check {name} --kind {kind}", [name, *words])


def recipe_case(text: str, *words: str, options: str = "") -> Case:
    files: Files = {"recipe.yaml": text, "table.csv": RESPONSES}
    return Case(files, f"run recipe.yaml --out run {options}", list(words))


HEADER = RESPONSES.splitlines()[0]
JSON_ROW = '{"task": "Uses", "item": "brick", "response": "a door stop", "creativity_score": 20}\n'
PAIR_HEADER = "prompt,chosen,rejected,weight"


def lay_out(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def assert_one_line(error: str, words: list[str]) -> None:
    """The last line is the error, and no other line is; before it may stand what was said while reading."""
    *notes, last = error.splitlines(keepends=True)
    assert all(line.startswith("note: ") for line in notes), error
    assert last.startswith("error: ")
    assert last.endswith("\n")
    assert "Traceback" not in error
    assert "\x1b" not in error
    for word in words:
        assert word in last


def assert_refused(case: Case, command: Command, folder: Path, code: int = 2) -> None:
    """The command ends with one error line and that exit code, writes nothing, and takes less than 5 s of computing."""
    lay_out(case.files, folder)
    before, start = contents(folder), time.process_time()
    ended, output, error = command(case.arguments)
    assert_one_line(error, case.words)
    assert ended == code
    assert output == "" or case.arguments.startswith("check ")  # which lists everything that is wrong
    assert contents(folder) == before
    assert time.process_time() - start < 5


def assert_installed_command_refuses(case: Case, folder: Path) -> None:
    """The same in a process of its own."""
    lay_out(case.files, folder)
    before = contents(folder)
    call = [Path(sys.executable).with_name("crpo"), *case.arguments.split()]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert_one_line(done.stderr, case.words)
    assert done.returncode == 2
    assert done.stdout == "" or case.arguments.startswith("check ")
    assert contents(folder) == before
