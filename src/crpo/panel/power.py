"""What a campaign takes, and what it can find out."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from crpo.panel.assign import Dealing
from crpo.panel.campaign import Campaign, Item
from crpo.panel.settings import Likeness
from crpo.signals.length import word_counts


@dataclass(frozen=True)
class Plan:
    """What a campaign takes.

    Attributes
    ----------
    raters : int
        Until every item has been judged by `raters_per_item`.
    pages_each : int
        Of a rater, with practice and attention checks.
    judgements : int
        That count: items times raters times dimensions.
    minutes_each : float
        Of a mean rater: reading the task and the answers at `reading_speed`, and `decision_seconds` for each dimension.
    minutes : float
        Of all raters.
    """

    raters: int
    pages_each: int
    judgements: int
    minutes_each: float
    minutes: float


def plan_of(campaign: Campaign) -> Plan:
    """Return what a campaign takes, by what is dealt to its raters."""
    settings, dealing = campaign.settings, Dealing(campaign)
    extra = sum(_seconds(campaign, item) for item in campaign.items if item.role != "item")
    seconds, pages = 0.0, 0
    for number in range(dealing.raters):
        items = [campaign.item[page.item_id] for page in dealing.pages(number)]
        counting = [item for item in items if item.role == "item"]
        seconds += extra + sum(_seconds(campaign, item) for item in counting)
        pages += len(counting)
    others = len(campaign.items) - len(campaign.of_role("item"))
    judgements = pages * len(settings.dimensions)
    minutes = seconds / 60
    return Plan(dealing.raters, dealing.items_each + others, judgements, minutes / dealing.raters, minutes)


def _seconds(campaign: Campaign, item: Item) -> float:
    answers = [campaign.answer[answer] for answer in item.answer_ids]
    words = word_counts([answers[0].prompt])[0] + sum(answer.words for answer in answers)
    settings = campaign.settings
    return 60 * words / settings.reading_speed + settings.decision_seconds * len(settings.dimensions)


def design_effect(per_prompt: float, per_page: float, per_rater: float, likeness: Likeness) -> float:
    """Return by how much clustering multiplies the variance of a mean of judgements.

    For equally many judgements of a prompt (m_q), a page (m_p) and a rater (m_r), and intraclass correlations ρ:
    1 + (m_q − 1)·ρ_prompt + (m_p − 1)·ρ_page + (m_r − 1)·ρ_rater (Kish's design effect for crossed clusters: the sum
    of all pairs' correlations over the number of judgements).

    Parameters
    ----------
    per_prompt, per_page, per_rater : float
        Numbers of judgements, ≥ 0; below 1 as 1.
    likeness : Likeness
    """
    sizes = ((per_prompt, likeness.prompt), (per_page, likeness.page), (per_rater, likeness.rater))
    return 1 + sum((max(size, 1) - 1) * correlation for size, correlation in sizes)


def detectable_win_rate(
    judgements: float, effect: float = 1.0, *, chance: float = 0.5, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the smallest share of wins above `chance` that a two-sided test finds with the given power.

    Normal approximation: the p with p − p₀ = z_{1−α/2}·√(p₀(1 − p₀)·D/n) + z_{power}·√(p(1 − p)·D/n), for n judgements
    and design effect D. Ties count as half a win, which makes the variance smaller than assumed.

    Parameters
    ----------
    judgements : float
        > 0.
    effect : float
        See `design_effect`.
    chance : float
        Share without a difference: 0.5 for pairs, 1/n for the best of n.
    power, level : float

    Returns
    -------
    float
        In (chance, 1); NaN when no share up to 1 is found so often.
    """
    from scipy.stats import norm

    unit = math.sqrt(effect / judgements)
    found = chance + float(norm.ppf(1 - level / 2)) * math.sqrt(chance * (1 - chance)) * unit
    square = (float(norm.ppf(power)) * unit) ** 2  # (p - found)² = square · p(1 - p), of which the larger root
    inside = (2 * found + square) ** 2 - 4 * (1 + square) * found**2
    return (2 * found + square + math.sqrt(inside)) / (2 * (1 + square)) if found < 1 else math.nan


def detectable_difference(judgements: float, effect: float = 1.0, *, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest difference of two models' mean ratings, in standard deviations of a rating.

    (z_{1−α/2} + z_{power})·√(2·D/n), for n ratings of each model and design effect D. Both models' answers to the same
    prompts by the same raters would make it smaller; that is not counted on.
    """
    from scipy.stats import norm

    return float(norm.ppf(1 - level / 2) + norm.ppf(power)) * math.sqrt(2 * effect / judgements)


def detectable(campaign: Campaign, raters: int) -> dict[str, float]:
    """Return what the planned judgements can find with 80 % power at the 5 % level, on one dimension.

    Parameters
    ----------
    campaign : Campaign
        Its settings say how alike judgements are (`likeness`).
    raters : int
        See `plan_of`.

    Returns
    -------
    dict
        pairwise: "two models", the win rate of one model against one other, and "one model against all others" (or
        "… the baselines", with `settings.against`);
        best_of: "one model", its share of wins; ratings: "two models", the difference in standard deviations. NaN
        where nothing can be found. No correction for several comparisons.
    """
    settings, items = campaign.settings, campaign.of_role("item")
    models = [[campaign.answer[answer].model for answer in item.answer_ids] for item in items]
    of_model = _mean_count(model for own in models for model in own)
    if settings.kind == "ratings":
        return {"two models": detectable_difference(*_sized(campaign, of_model, raters))}
    if settings.kind == "best_of":
        share = detectable_win_rate(*_sized(campaign, of_model, raters), chance=1 / settings.best_of)
        return {"one model": share}
    of_pair = _mean_count(tuple(sorted(own)) for own in models)
    of_ours = _mean_count(model for own in models for model in own if model not in settings.against)
    others = "the baselines" if settings.against else "all others"
    return {
        "two models": detectable_win_rate(*_sized(campaign, of_pair, raters)),
        f"one model against {others}": detectable_win_rate(*_sized(campaign, of_ours, raters)),
    }


def _mean_count(things: Iterable[Hashable]) -> float:
    return statistics.fmean(Counter(things).values())


def _sized(campaign: Campaign, pages: float, raters: int) -> tuple[float, float]:
    """Return how many judgements there are of so many pages, and their design effect."""
    settings = campaign.settings
    judgements = pages * settings.raters_per_item
    prompts = len({item.prompt_id for item in campaign.of_role("item")})
    shared = (judgements / prompts, settings.raters_per_item, judgements / raters)
    return judgements, design_effect(*shared, settings.likeness)
