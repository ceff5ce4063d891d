"""What the study's arms and measures are called: the plan (docs/study-plan.md) as data."""

from __future__ import annotations

BASELINE = "DPO"
SINGLE = {"CrPO-nov": "novelty", "CrPO-div": "diversity", "CrPO-sur": "surprise", "CrPO-qua": "quality"}  # own metric
THREE, FOUR, RECOMMENDED, RECOMMENDED_ALL = "CrPO-nov-div-sur", "CrPO-cre", "Rec-loc", "Rec-all"
WITH_QUALITY = {
    "CrPO-nov-qua": "CrPO-nov", "CrPO-div-qua": "CrPO-div", "CrPO-sur-qua": "CrPO-sur", FOUR: THREE,
}  # fmt: skip
CLAIMED = (*SINGLE, THREE, FOUR, RECOMMENDED, RECOMMENDED_ALL)  # the arms of question 5
LAMBDAS = (0.5, 1.0, 1.5, 2.0)
BEST = 0.5  # of LAMBDAS, by the paper's Figure 3
EXPLORATORY = "Try-"  # how the names of remedies begin that the plan does not have

TRAINED = ("novelty", "diversity", "surprise", "quality", "local_novelty")
INDEPENDENT = ("people_score", "rarity", "vendi", "distinct_2", "diversity_characters")
BESIDE = ("words", "human_distance", "surprise_bits")
CREATIVE = ("novelty", "diversity", "surprise_bits")  # what the gain in creativity is made of
GAIN = "gain in creativity"
QUALITY_BOUND = -0.5  # score points; the interval of question 2 must end above it
LEVEL = 0.05
SIDES = ("unseen items", "unseen task")


def at_lambda(variant: str, factor: float) -> str:
    """Return the label that a variant has in tables at a λ.

    Examples
    --------
    >>> at_lambda("CrPO-nov", 0.5), at_lambda("CrPO-nov", 1.0)
    ('CrPO-nov λ=0.5', 'CrPO-nov')
    """
    return variant if factor == 1 else f"{variant} λ={factor:g}"


def spoken(metric: str) -> str:
    """Return a metric's name in words."""
    return metric.replace("_", " ")
