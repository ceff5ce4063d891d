"""The command `crpo panel results`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import Changes, Json, check_folder, section, tell
from crpo.cli.winrate import ranked_facts, rate_facts

if TYPE_CHECKING:
    from crpo.panel.page.content import PanelPage
    from crpo.panel.results import PanelResults

WITH_TEXTS = {"ratings", "answer_counts", "checks"}  # people's and models' own words, which may look like formulas

Folder = Annotated[Path, typer.Argument(help="A campaign's folder, as crpo panel new makes it.")]
ResultsFolder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write the page, tables and figures to.")]


def results(
    campaign: Folder,
    output: ResultsFolder,
    ties: Annotated[str | None, typer.Option(help="drop (the default) or half: half a win for both.")] = None,
    without_flagged: Annotated[
        bool, typer.Option("--without-flagged", help="Leave out raters with any flag (too fast, all alike, checks).")
    ] = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Analyse what was judged so far: win rates and strengths, or mean ratings, and how far the raters agree.

    Example: crpo panel results study -o results

    Writes report.html, one file to read and to send; votes.csv or ratings.csv, which name the models (`crpo rate
    ratings.csv --by dimension` fits raters), a table for each analysis, raters.csv with the flags; and every figure.
    """
    from crpo.panel.counts import panel_counts
    from crpo.panel.flags import rater_facts
    from crpo.panel.folder import read_campaign
    from crpo.panel.page.content import PanelPage
    from crpo.panel.results import panel_results
    from crpo.panel.store import Store
    from crpo.recipe.sections import WinRateSection
    from crpo.stages.present import versions

    check_folder(output)
    settings = section(WinRateSection, changes, ties=ties)
    store = Store(read_campaign(campaign))
    everything, people = store.judgements(), store.raters()
    raters = rater_facts(store.campaign, people, everything)
    flagged = raters[raters["flags"] != ""]["rater"].tolist()
    left_out = flagged if without_flagged else []
    judgements = everything[~everything["rater"].isin(left_out)]
    found = panel_results(store.campaign, judgements, settings)
    counts = panel_counts(store.campaign, people, raters, everything, settings, left_out)
    command = _command(campaign, output, settings.ties, changes, without_flagged)
    page = PanelPage(store.campaign, found, counts, raters, settings, versions(), command, left_out)
    _write(page, output)
    told = {"judgements": page.count("judgements", "that count here"),
            "raters": page.count("raters", "whose judgements count here"),
            "flagged raters": len(flagged), "left out": "the flagged" if without_flagged else "nobody"}  # fmt: skip
    tell({**told, **_facts(found), "written": str(output), "page": str(output / "report.html")}, json)


def _command(campaign: Path, output: Path, ties: str, changes: list[str] | None, without_flagged: bool) -> str:
    parts = ["crpo", "panel", "results", str(campaign), "-o", str(output), "--ties", ties]
    parts += ["--without-flagged"] if without_flagged else []
    parts += [part for change in changes or [] for part in ("--set", change)]
    return shlex.join(parts)


def _facts(found: PanelResults) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if found.win_rates is not None and found.strengths is not None:
        facts |= rate_facts(found.win_rates) | ranked_facts(found.strengths)
    if found.means is not None:
        facts |= {f"{row.dimension}: {row.model}": f"{row.mean:.2f} [{row.low:.2f}, {row.high:.2f}]"
                  for row in found.means.itertuples()}  # fmt: skip
    return facts | {
        f"{row.dimension}: agreement": (
            f"alpha {row.alpha:.2f}, {row.percent:.0f} % the same" if row.items else "not known"
        )
        for row in found.agreement.itertuples()
    }


def _write(page: PanelPage, output: Path) -> None:
    from crpo.panel.page import write_panel_page
    from crpo.panel.tidy import write_inert
    from crpo.tables import write_table

    output.mkdir(parents=True, exist_ok=True)
    for name, table in {**page.found.tables(), **page.counts.tables(), "raters": page.raters}.items():
        write = write_inert if name in WITH_TEXTS else write_table
        write(table, output / f"{name}.csv")
    write_panel_page(page, output)
