"""The command on pairwise votes: winrate. It works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import (
    Changes,
    DropInvalid,
    Json,
    check_beside,
    check_folder,
    check_output,
    section,
    tell,
    tell_dropped,
)

if TYPE_CHECKING:
    import pandas as pd

    from crpo.tables import Problem


def winrate(
    votes: Annotated[Path, typer.Argument(help="Votes: model_a, model_b, winner; or a column per dimension, options.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: .csv, .tsv, .jsonl, .parquet.")
    ] = None,
    ties: Annotated[str | None, typer.Option(help="drop (the default) or half: half a win for both.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for a heat map of each dimension: .svg, .png, .csv.")
    ] = None,
    drop_invalid: DropInvalid = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Win rates of every two models, with intervals over prompts and raters, and Bradley-Terry strengths.

    Example: crpo winrate votes.csv

    Example: crpo winrate votes.csv -o rates.csv --ties half --figures heat-maps

    Columns prompt_id and rater, where given, make the intervals hold for new prompts and raters; words_a and words_b
    give the win rate at equal length too. NAME.strengths.csv has the strengths.
    """
    from crpo.datasets import read_data
    from crpo.panel.win_rates import strengths, win_rates
    from crpo.recipe.sections import WinRateSection
    from crpo.tables import write_table

    if output is not None:
        check_output(output, votes)
        check_beside(_strengths_file(output), votes)
    if figures is not None:
        check_folder(figures)
    settings = section(WinRateSection, changes, ties=ties)
    dropped: list[Problem] | None = [] if drop_invalid else None
    table = read_data(votes, "votes", dropped)
    rates, ranked = win_rates(settings, table), strengths(settings, table)
    facts: dict[str, Any] = {"votes": len(table)}
    facts |= (
        {"win_rates": _records(rates), "strengths": _records(ranked)}
        if json
        else rate_facts(rates) | ranked_facts(ranked)
    )
    if output is not None:
        write_table(rates, output)
        write_table(ranked, _strengths_file(output))
        facts |= {**tell_dropped(dropped, output), "written": str(output)}
    elif dropped:
        facts["rows dropped"] = len({problem.row for problem in dropped})
    if figures is not None:
        from crpo.report.figures.win_rates import heat_maps
        from crpo.report.files import write_figures

        facts["figures"] = len(write_figures(heat_maps(rates, simulated=False), figures))
    tell(facts, json)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows for machines; what is not known is null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[return-value]


def rate_facts(rates: pd.DataFrame) -> dict[str, str]:
    """Return the rates as facts, of every two models the way round that wins."""
    shown = rates[(rates["win_rate"] > 0.5) | (~(rates["win_rate"] < 0.5) & (rates["model"] < rates["against"]))]
    return {f"{row.dimension}: {row.model} over {row.against}": _in_words(row) for row in shown.itertuples()}


def _in_words(row: Any) -> str:
    if row.win_rate != row.win_rate:
        return f"{row.ties} ties, which do not count"
    interval = f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if row.low == row.low else ""
    words = f"{100 * row.win_rate:.4g} %{interval} ({row.wins} won, {row.losses} lost, {row.ties} ties)"
    equal = getattr(row, "equal_length", float("nan"))
    return f"{words}, at equal length {100 * equal:.1f} %" if equal == equal else words


def ranked_facts(ranked: pd.DataFrame) -> dict[str, str]:
    """Return the strengths as facts, a dimension each."""
    return {
        f"{dimension}: strengths": ", ".join(f"{row.model} {row.strength:+.2f}" for row in own.itertuples())
        if own["strength"].notna().all() else "not known: some models were never compared with the others"
        for dimension, own in ranked.groupby("dimension", sort=False)
    }  # fmt: skip


def _strengths_file(output: Path) -> Path:
    return output.with_name(f"{output.stem}.strengths{output.suffix}")
