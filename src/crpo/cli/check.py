"""The command that looks before anything is done: check. It works without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import Json, MissingCodes, Raters, Scale, rating_options, tell
from crpo.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from crpo.tables import Problem

MOST_LISTED = 10  # rows a person is told of for each thing wrong; --json and --all tell every one


def check(
    file: Annotated[Path, typer.Argument(help="A recipe (.yaml), a table, a folder of Parquet files, or a hub id.")],
    kind: Annotated[
        str | None, typer.Option(help="responses, ratings, pairs, samples, …; by default told by the columns.")
    ] = None,
    scale: Scale = None,
    missing_codes: MissingCodes = None,
    raters: Raters = None,
    against: Annotated[
        Path | None, typer.Option(help="Another table: also count the answers that are in both.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every row, however many.")] = False,
    json: Json = False,
) -> None:
    """Say what is in a table or recipe, and everything wrong with it, each with its row.

    Example: crpo check answers.csv

    Example: crpo check train.csv --against test.csv
    """
    if file.suffix in (".yaml", ".yml"):
        _check_recipe(file, json)
        return
    from crpo.stages.check import examine
    from crpo.tables import KINDS

    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind}: there is no such table", did_you_mean(kind, KINDS))
    found = examine(file, kind, **rating_options(scale, missing_codes, raters))
    overlap = _overlap(file, against) if against else {}
    if json:
        listed = {name: [row._asdict() for row in getattr(found, name)] for name in ("problems", "warnings")}
        tell({**found.facts, **overlap, **listed}, True)
    else:
        tell({**found.facts, **overlap}, False)
        _list("problem", found.problems, every)
        _list("warning", found.warnings, every)
    if found.problems:
        first, more = found.problems[0], len(found.problems) - 1
        rest = f" (and {more:,} more problem{'s' if more > 1 else ''}, listed above)" if more else ""
        raise InputError(f"{file} {first.found}{rest}", first.fix)


def _check_recipe(file: Path, json: bool) -> None:
    from crpo.plan.baselines import check_baselines
    from crpo.recipe import read_recipe
    from crpo.stages.departures import definitions

    recipe = read_recipe(file)
    check_baselines(recipe)
    own = recipe.generate.baselines
    baselines = {"baselines": ", ".join(own)} if own else {}
    facts = {"recipe": recipe.name, "definitions": definitions(recipe), "variants": ", ".join(recipe.variants)}
    tell({**facts, **baselines}, json)


def _list(what: str, problems: Sequence[Problem], every: bool) -> None:
    """Print each row; of one fix, which stands for one thing that is wrong, only the first rows."""
    told: dict[str, int] = {}
    for problem in problems:
        told[problem.fix] = told.get(problem.fix, 0) + 1
        if every or told[problem.fix] <= MOST_LISTED:
            print(f"{what}: {_visible(problem)}. {problem.fix}")
    for fix, count in told.items():
        if not every and count > MOST_LISTED:
            print(f"{what}: {count - MOST_LISTED:,} more of these: {fix} (--all lists every row)")


def _visible(problem: Problem) -> str:
    text = problem.found if problem.row != "" else f"{problem.column} {problem.reason}"
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _overlap(file: Path, against: Path) -> dict[str, Any]:
    from crpo.datasets import read_data
    from crpo.leaks import overlap

    table = overlap(read_data(file, "corpus"), read_data(against, "corpus"))
    facts = {}
    for row in table.itertuples():
        place = "" if row.task == "all" else f", {row.task} {row.item}".rstrip()
        facts[f"in {against} too{place}"] = f"{row.also_in_second:,} of {row.answers:,} answers ({row.share:.1%})"
    return facts
