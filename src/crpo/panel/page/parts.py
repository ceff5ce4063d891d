"""The parts of the page by the names that its template uses."""

from __future__ import annotations

from typing import Any

from crpo.report.drawing import Picture

from .agreed import agreement_parts
from .cautions import cautions
from .content import PanelPage
from .extremes import PROMPTS_SHOWN, extremes
from .headline import headline
from .methods import methods_text
from .numbers import listed, several
from .references import references_in
from .rows import (
    account_rows,
    check_table,
    mean_table,
    model_table,
    position_table,
    rate_tables,
    rater_rows,
    strength_table,
)

KINDS = {"pairwise": "pairs", "best_of": "the best of {n}", "ratings": "ratings from {low} to {high}"}
TIES = {"drop": "left out", "half": "half a win for both"}


def page_parts(page: PanelPage, pictures: dict[str, list[Picture]]) -> dict[str, Any]:
    """Return everything the template needs, put into words."""
    choices, judged = page.kind != "ratings", page.count("judgements", "that count here") > 0
    methods, (answers, prompts) = methods_text(page), extremes(page)
    return {
        "title": page.campaign.settings.title,
        "subtitle": _subtitle(page),
        "judged": judged,
        "choices": choices,
        "headline": headline(page),
        "cautions": cautions(page),
        "pictures": pictures,
        "rates": rate_tables(page) if choices and judged else [],
        "strengths": strength_table(page) if choices and judged else None,
        "means": mean_table(page) if not choices and judged else None,
        "models": model_table(page),
        "agreement": agreement_parts(page),
        "agreed": bool(page.found.agreement["items"].any()),
        "raters": sorted(rater_rows(page), key=lambda row: not row["state"]),
        "positions": position_table(page) if judged else None,
        "checks": check_table(page),
        "answers": answers,
        "prompts": prompts,
        "prompts_shown": min(prompts, PROMPTS_SHOWN),
        "account": account_rows(page),
        "methods": methods,
        "references": references_in(methods),
        "provenance": _provenance(page),
        "versions": page.versions.astype(str).values.tolist(),
        "ties": TIES[page.section.ties],
        "against": listed(page.campaign.settings.against),
    }


def _subtitle(page: PanelPage) -> str:
    settings = page.campaign.settings
    low, high = settings.scale
    kind = KINDS[page.kind].format(n=settings.best_of, low=low, high=high)
    raters = several(page.count("raters", "whose judgements count here"), "rater")
    return f"{kind} · {raters} · {several(page.count('judgements', 'that count here'), 'judgement')}"


def _provenance(page: PanelPage) -> list[list[str]]:
    section, settings = page.section, page.campaign.settings
    rows = {
        "campaign": page.campaign.of,
        "seed of the design": str(settings.seed),
        "bootstrap": f"{section.draws} draws, seed {section.seed}",
        "left out": f"{several(len(page.left_out), 'rater')} with a flag" if page.left_out else "nobody",
        "command": page.command,
    }
    if page.kind != "ratings":
        rows["ties"] = TIES[section.ties]
    return [[name, value] for name, value in rows.items() if value]
