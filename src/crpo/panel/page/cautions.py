"""What to know before the results: too few judgements, raters with flags, a place preferred."""

from __future__ import annotations

from .content import PanelPage, told_pairs
from .numbers import capital, place_in_words, rate, several, span

MANY = 5  # comparisons, from which chance findings are spoken of
LEAST_PROMPTS = 5  # of fewer, an interval over prompts rests on next to nothing


def cautions(page: PanelPage) -> list[str]:
    """Return the sentences that must be seen; none where all is well."""
    if not page.count("judgements", "that count here"):
        return [sentence for sentence in [_flags(page)] if sentence]
    found = [_raters(page), _prompts(page), _items(page), _flags(page), *_places(page), _chance(page)]
    return [sentence for sentence in found if sentence]


def _raters(page: PanelPage) -> str:
    if page.count("raters", "whose judgements count here") > 1:
        return ""
    return (
        "One person has judged: the intervals speak of other prompts, but not of other people, "
        "and agreement is not known."
    )


def _prompts(page: PanelPage) -> str:
    prompts = page.found.judgements["prompt_id"].nunique()
    if prompts >= LEAST_PROMPTS:
        return ""
    if prompts == 1:
        return "One prompt was judged: the intervals speak of other people, but not of other prompts."
    return f"Only {prompts} prompts were judged: with others the order may be another, and intervals are wide."


def _items(page: PanelPage) -> str:
    fewer, none = page.count("items", "judged by fewer"), page.count("items", "judged by nobody")
    if not fewer + none:
        return ""
    wanted = several(page.count("design", "raters wanted for each item"), "person", "people")
    parts = [f"{count} by {whom}" for count, whom in ((fewer, "fewer"), (none, "nobody")) if count]
    items = several(page.count("design", "items"), "item")
    return f"Not judged enough: of {items} that {wanted} should judge, {' and '.join(parts)} so far."


def _flags(page: PanelPage) -> str:
    flagged = int((page.raters["flags"] != "").sum())
    if not flagged:
        return ""
    judgements, who = page.count("judgements", "by raters with a flag"), several(flagged, "rater")
    if page.left_out:
        return f"{who} with a flag and their {several(judgements, 'judgement')} are left out here."
    counted = several(page.count("judgements", "that count here"), "judgement")
    return (
        f"{who} with a flag: --without-flagged would leave out {judgements} of {counted}. Decide by the rule in your "
        "plan, not by what it does to the results."
    )


def _places(page: PanelPage) -> list[str]:
    table = page.counts.positions
    rows = [] if table is None else table.to_dict("records")
    return [_leaning(row) for row in rows if row["low"] > row["chance"] or row["high"] < row["chance"]]


def _leaning(row: dict) -> str:
    return (
        f"{capital(row['dimension'])}: what was shown {place_in_words(row['place'])} was chosen in "
        f"{rate(row['share'])} {span(row['low'], row['high'])}, where {rate(row['chance'])} would be even: "
        "raters lean to a place."
    )


def _chance(page: PanelPage) -> str:
    pairs = 0 if page.kind == "ratings" else sum(len(told_pairs(page, dimension)) for dimension in page.dimensions)
    if pairs < MANY:
        return ""
    return (
        f"{pairs} comparisons are shown, each with an interval of its own at 95 %: were all models equal, about one in "
        "twenty would still look decided."
    )
