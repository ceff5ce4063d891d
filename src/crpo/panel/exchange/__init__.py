"""Campaigns for other tools, and judgements back from them.

A tool is a small file with `files(sheets)` (what it is given, by file name) and `judged(sheets, path)` (what came
back). Nothing exported holds a model's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd

from crpo.errors import InputError, did_you_mean
from crpo.panel.campaign import Campaign
from crpo.panel.exchange import label_studio, pearmut, potato, prolific, spreadsheet
from crpo.panel.exchange.sheets import Judged, Sheets, collected

TOOLS: dict[str, ModuleType] = {
    "label_studio": label_studio, "pearmut": pearmut, "potato": potato, "spreadsheet": spreadsheet,
}  # fmt: skip
PROLIFIC = "prolific"


def exported(campaign: Campaign, tool: str, address: str = "") -> dict[str, str]:
    """Return the files of a campaign for a tool: each rater's pages as `Dealing` deals them, and the instructions.

    Parameters
    ----------
    campaign : Campaign
    tool : {"label_studio", "pearmut", "potato", "spreadsheet", "prolific"}
    address : str
        For Prolific: where `crpo panel serve` is reached.

    Raises
    ------
    InputError
        For an unknown tool, and for Prolific without an address.
    """
    if tool == PROLIFIC:
        return prolific.files(campaign, address)
    return {**_tool(tool, [*TOOLS, PROLIFIC]).files(Sheets(campaign)), "instructions.md": campaign.instructions}


def imported(campaign: Campaign, tool: str, paths: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Return the judgements that came back from a tool (see `crpo.panel.tidy`), with notes.

    Raises
    ------
    InputError
        For an unknown tool, files not of its form or not of this campaign, and where nothing is judged.
    """
    own, sheets = _tool(tool, list(TOOLS)), Sheets(campaign)

    def rows() -> Iterator[Judged]:
        for path in paths:
            yield from own.judged(sheets, path)

    return collected(campaign, tool, rows())


def _tool(tool: str, known: list[str]) -> ModuleType:
    if tool not in TOOLS:
        raise InputError(f"no tool is called {tool!r}", did_you_mean(tool, known))
    return TOOLS[tool]
