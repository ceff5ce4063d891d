"""The literature that the methods paragraph names, as in a list of references (APA 7)."""

from __future__ import annotations

from crpo.report.rating.references import REFERENCES as OF_RATINGS

OWN = {
    "Bradley & Terry, 1952": "Bradley, R. A., & Terry, M. E. (1952). Rank analysis of incomplete block designs: I. The "
    "method of paired comparisons. Biometrika, 39(3/4), 324–345. https://doi.org/10.2307/2334029",
    "Cameron et al., 2011": "Cameron, A. C., Gelbach, J. B., & Miller, D. L. (2011). Robust inference with multiway "
    "clustering. Journal of Business & Economic Statistics, 29(2), 238–249. https://doi.org/10.1198/jbes.2010.07136",
    "Dubois et al., 2024": "Dubois, Y., Galambosi, B., Liang, P., & Hashimoto, T. B. (2024). Length-controlled "
    "AlpacaEval: A simple way to debias automatic evaluators. arXiv. https://arxiv.org/abs/2404.04475",
    "Firth, 1993": "Firth, D. (1993). Bias reduction of maximum likelihood estimates. Biometrika, 80(1), 27–38. "
    "https://doi.org/10.1093/biomet/80.1.27",
    "Korn & Graubard, 1998": "Korn, E. L., & Graubard, B. I. (1998). Confidence intervals for proportions with small "
    "expected number of positive counts estimated from survey data. Survey Methodology, 24(2), 193–201.",
    "Wilson, 1927": "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. "
    "Journal of the American Statistical Association, 22(158), 209–212. https://doi.org/10.1080/01621459.1927.10502953",
}


def references_in(words: str) -> list[str]:
    """Return the full references of the works that a text names as "Author, year", in alphabetical order."""
    return [full for citation, full in sorted({**OF_RATINGS, **OWN}.items()) if citation in words]
