"""How far raters agree, in the words that psychologists use."""

from __future__ import annotations

from crpo.report.rating.apa import bounded, decimal, known
from crpo.report.rating.reliability import Coefficient
from crpo.report.rating.verdicts import cicchetti, krippendorff

from .content import PanelPage
from .numbers import several

LEVELS = {"nominal": "which answer, or a tie", "ordinal": "ratings as ranks"}


def agreement_parts(page: PanelPage) -> list[tuple[str, list[Coefficient]]]:
    """Return the coefficients of each dimension, with what they mean and how they are usually judged."""
    return [(row["dimension"], _coefficients(row)) for row in page.found.agreement.to_dict("records")]


def _coefficients(row: dict) -> list[Coefficient]:
    basis = f"{several(row['items'], 'item')} judged by two raters or more"
    exact = f"{decimal(row['percent'], 0)}\u202f%" if known(row["percent"]) else decimal(row["percent"])
    found = [
        Coefficient("Krippendorff’s alpha", bounded(row["alpha"]),
                    f"{LEVELS[row['level']]}: agreement beyond chance; {basis}", krippendorff(row["alpha"])),
        Coefficient("Exact agreement", exact, "of pairs of raters on an item; chance is not taken off"),
    ]  # fmt: skip
    if "icc_2_1" in row:
        raters = decimal(row["raters_per_answer"], 1)
        found += [
            Coefficient("ICC(2,1)", bounded(row["icc_2_1"]), "reliability of one rater’s rating; severity counts as "
                        "error", cicchetti(row["icc_2_1"])),
            Coefficient("ICC(2,k)", bounded(row["icc_2_k"]), "reliability of an answer’s mean over its raters, "
                        f"k = {raters}", cicchetti(row["icc_2_k"])),
        ]  # fmt: skip
    return found
