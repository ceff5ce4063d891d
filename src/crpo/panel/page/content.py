"""What the page of a panel shows: tables that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from crpo.panel.campaign import Campaign
from crpo.panel.counts import PanelCounts
from crpo.panel.results import PanelResults
from crpo.recipe.sections import WinRateSection


@dataclass(frozen=True, eq=False)
class PanelPage:
    """All that the page shows; it computes no result of its own.

    Attributes
    ----------
    campaign : Campaign
    found : PanelResults
    counts : PanelCounts
    raters : DataFrame
        See `crpo.panel.flags.rater_facts`: all raters, also those left out.
    section : WinRateSection
        How ties counted, and the bootstrap.
    versions : DataFrame
        name, version.
    command : str
        The command that made the page.
    left_out : sequence of str
        Raters who do not count here.
    """

    campaign: Campaign
    found: PanelResults
    counts: PanelCounts
    raters: pd.DataFrame
    section: WinRateSection
    versions: pd.DataFrame
    command: str = ""
    left_out: Sequence[str] = field(default=())

    @property
    def kind(self) -> str:
        """pairwise, best_of or ratings."""
        return self.campaign.settings.kind

    @property
    def dimensions(self) -> list[str]:
        """Return what was judged, in the campaign's order."""
        return self.campaign.settings.dimensions

    def count(self, stage: str, what: str) -> int:
        """Return a count of the account; KeyError for one that it lacks."""
        return int(self.counts.account.set_index(["stage", "what"])["count"].loc[(stage, what)])


def told_pairs(page: PanelPage, dimension: str) -> pd.DataFrame:
    """Return the win rates of a dimension, every two models once.

    Those of another model against a baseline where the campaign has baselines; else the way round that wins, the
    highest rate first.
    """
    table, against = page.found.win_rates, page.campaign.settings.against
    assert table is not None
    own = table[table["dimension"] == dimension]
    if against:
        return own[own["against"].isin(against) & ~own["model"].isin(against)].reset_index(drop=True)
    even = ~(own["win_rate"] > 0.5) & ~(own["win_rate"] < 0.5) & (own["model"] < own["against"])
    return (
        own[(own["win_rate"] > 0.5) | even]
        .sort_values("win_rate", ascending=False, kind="stable")
        .reset_index(drop=True)
    )


def is_decided(row: dict) -> bool:
    """Tell whether an interval is known and leaves out one half."""
    return bool(row["low"] > 0.5 or row["high"] < 0.5)
