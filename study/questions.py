"""The seven questions of the plan (docs/study-plan.md): which differences are taken, and in which families."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.recipe.sections import EvaluateSection
from differences import NO, NOT_TESTED, YES, Comparison, compared, with_gain
from names import (
    BASELINE,
    BEST,
    CLAIMED,
    EXPLORATORY,
    FOUR,
    GAIN,
    INDEPENDENT,
    LAMBDAS,
    QUALITY_BOUND,
    RECOMMENDED,
    SIDES,
    SINGLE,
    THREE,
    TRAINED,
    WITH_QUALITY,
    at_lambda,
    spoken,
)

ASKED = {
    "1": "Is each single-signal arm above DPO on its own metric?",
    "2": "Does CrPO-nov-div-sur beat DPO on novelty, diversity and surprise at no loss of quality?",
    "3": "Is there a trade-off with quality?",
    "4": "Is λ = 0.5 best?",
    "5": "Do gains hold on independent metrics and on the unseen task?",
    "6": "Does margin move more than reweighting?",
    "7": "Does training on the paper's novelty make answers less original to people's measure, and does the "
    "recommended recipe do better?",
}  # fmt: skip
FEWEST_ARMS = 5  # that a correlation is taken of


def comparisons_of(question: str) -> list[Comparison]:
    """Return the differences that a question needs, tested ones first."""
    return {"1": _one, "2": _two, "3": _three, "4": _four, "5": _five, "6": _six, "7": _seven}[question]()


def answered(scores: pd.DataFrame, section: EvaluateSection) -> pd.DataFrame:
    """Return the differences of all questions, as `differences.compared` gives them.

    The row of question 2 about quality is not a test: it says "yes" where the lower end of the interval is above −0.5.
    """
    scores = with_gain(scores)
    table = pd.concat([compared(name, comparisons_of(name), scores, section) for name in ASKED], ignore_index=True)
    bound = (table["family"] == "") & (table["question"] == "2")
    table.loc[bound, "verdict"] = [
        NOT_TESTED if not np.isfinite(low) else YES if low > QUALITY_BOUND else NO for low in table.loc[bound, "low"]
    ]
    return table


def trade_off(scores: pd.DataFrame, arms: pd.DataFrame, section: EvaluateSection) -> pd.DataFrame:
    """Return gain in creativity and difference in quality from DPO of every arm with signals at λ = 1 (question 3c).

    Returns
    -------
    DataFrame
        model, and for both value, low, high: gain, gain_low, gain_high, quality, quality_low, quality_high. Arms that
        the plan does not have are left out.
    """
    models = weighted_models(arms)
    own = [Comparison("", model, BASELINE, metric) for metric in (GAIN, "quality") for model in models]
    found = compared("3", own, with_gain(scores), section)
    parts = []
    for metric, name in ((GAIN, "gain"), ("quality", "quality")):
        rows = found[found["metric"] == metric].set_index("model")[["difference", "low", "high"]]
        parts.append(rows.set_axis([name, f"{name}_low", f"{name}_high"], axis=1))
    return pd.concat(parts, axis=1).rename_axis("model").reset_index()


def weighted_models(arms: pd.DataFrame) -> list[str]:
    """Return the labels of the plan's arms with signals at λ = 1, in order."""
    own = arms[(arms["lambda"].astype(float) == 1) & ~arms["variant"].str.startswith(EXPLORATORY)]
    return list(dict.fromkeys(own["model"]))


def rank_correlation(table: pd.DataFrame, *, draws: int = 9999, seed: int = 0) -> tuple[float, float, float, int]:
    """Return Spearman's correlation of gain and quality over arms, its bootstrap interval over arms, and their number.

    The interval is the plain percentile one; draws whose arms are all the same count for nothing. NaN below 5 arms.
    """
    own = table.reindex(columns=["gain", "quality"]).dropna().to_numpy(float)
    if len(own) < FEWEST_ARMS:
        return np.nan, np.nan, np.nan, len(own)
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = [own[rows] for rows in generator.integers(len(own), size=(draws, len(own)))]
    found = [_spearman(rows) for rows in drawn if (np.ptp(rows, axis=0) > 0).all()]
    low, high = np.quantile(found, [0.025, 0.975]) if found else (np.nan, np.nan)
    return _spearman(own) if found else np.nan, float(low), float(high), len(own)


def _spearman(rows: np.ndarray) -> float:
    """Return Spearman's correlation of two columns (n, 2)."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(rows, axis=0).T)[0, 1])


def _one() -> list[Comparison]:
    return [Comparison(f"more {spoken(metric)} than DPO", model, BASELINE, metric, family="1")
            for model, metric in SINGLE.items()]  # fmt: skip


def _two() -> list[Comparison]:
    tested = [Comparison(f"more {spoken(metric)} than DPO", THREE, BASELINE, metric, family="2")
              for metric in ("novelty", "diversity", "surprise")]  # fmt: skip
    return [
        *tested,
        Comparison(f"quality not lower than DPO's by {-QUALITY_BOUND:g} or more", THREE, BASELINE, "quality"),
    ]


def _three() -> list[Comparison]:
    lost = [Comparison("less quality than DPO", model, BASELINE, "quality", -1, "3a") for model in list(SINGLE)[:3]]
    return lost + [Comparison(f"more quality than {without}", model, without, "quality", family="3b")
                   for model, without in WITH_QUALITY.items()]  # fmt: skip


def _four() -> list[Comparison]:
    return [
        Comparison(f"more {metric} at λ = {BEST:g} than at {other:g}", at_lambda(model, BEST), at_lambda(model, other),
                   metric, family="4")
        for model, metric in SINGLE.items() for other in LAMBDAS if other != BEST
    ]  # fmt: skip


def _five() -> list[Comparison]:
    tested = [Comparison(f"more {spoken(metric)} than DPO", model, BASELINE, metric, family="5")
              for model in CLAIMED for metric in INDEPENDENT]  # fmt: skip
    beside = [Comparison(f"more {spoken(metric)} than DPO", model, BASELINE, metric, split=side)
              for side in SIDES for model in CLAIMED for metric in (*TRAINED, *INDEPENDENT)]  # fmt: skip
    return tested + beside


def _six() -> list[Comparison]:
    return [Comparison(f"more gain than {plain}", f"{plain}-{form}", plain, GAIN, family="6")
            for form in ("margin", "contrast") for plain in (THREE, FOUR)]  # fmt: skip


def _seven() -> list[Comparison]:
    def about(metric: str, family: str) -> list[Comparison]:
        return [
            Comparison(f"less {spoken(metric)} than DPO", "CrPO-nov", BASELINE, metric, -1, family),
            Comparison(f"more {spoken(metric)} than DPO", RECOMMENDED, BASELINE, metric, 1, family),
            Comparison(f"more {spoken(metric)} than CrPO-nov", RECOMMENDED, "CrPO-nov", metric, 1, family),
        ]

    return about("people_score", "7") + about("rarity", "")
