"""Who judges what, in which order and position, what that takes, and what it can find."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, chisquare, nct, norm
from scipy.stats import t as student

from crpo.panel.assign import Dealing
from crpo.panel.campaign import Campaign
from crpo.panel.positions import even_positions
from crpo.panel.power import design_effect, detectable, detectable_difference, detectable_win_rate, plan_of
from crpo.panel.settings import Likeness
from panel_samples import campaign_of


def shown_models(campaign: Campaign, number: int, dealing: Dealing) -> list[tuple[str, ...]]:
    pages = [page for page in dealing.pages(number) if campaign.item[page.item_id].role == "item"]
    return [tuple(campaign.answer[answer].model for answer in page.answer_ids) for page in pages]


@pytest.mark.parametrize("kind", ["pairwise", "best_of"])
def test_positions_of_1000_assignments_are_balanced(tmp_path: Path, kind: str) -> None:
    campaign = campaign_of(tmp_path, kind=kind, choice={"prompts": 4}, items_per_rater=10)
    dealing, width = Dealing(campaign), 2 if kind == "pairwise" else 3
    of_models: Counter = Counter()
    of_items: Counter = Counter()
    for number in range(1000):
        own = shown_models(campaign, number, dealing)
        here = Counter((model, place) for models in own for place, model in enumerate(models))
        of_models.update(here)
        for model in {model for model, _ in here}:
            counts = [here[model, place] for place in range(width)]
            assert max(counts) - min(counts) <= 1, "within a rater"
        for page in dealing.pages(number):
            of_items.update((page.item_id, answer, place) for place, answer in enumerate(page.answer_ids))
    for model in {model for model, _ in of_models}:
        assert chisquare([of_models[model, place] for place in range(width)]).pvalue > 0.05
    ps = [
        chisquare([of_items[item.item_id, answer, place] for place in range(width)]).pvalue
        for item in campaign.of_role("item") for answer in item.answer_ids
    ]  # fmt: skip
    assert min(ps) > 0.05 / len(ps)


def test_items_are_dealt_evenly_at_every_moment_and_never_twice_to_a_rater(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, choice={"prompts": 4}, items_per_rater=25)
    dealing = Dealing(campaign)
    dealt = Counter({item.item_id: 0 for item in campaign.of_role("item")})
    for number in range(dealing.raters):
        pages = [page.item_id for page in dealing.pages(number)]
        assert len(set(pages)) == len(pages)
        dealt.update(page for page in pages if page in dealt)
        assert max(dealt.values()) - min(dealt.values()) <= 1
        models = Counter(model for models in shown_models(campaign, number, dealing) for model in models)
        assert max(models.values()) - min(models.values()) <= 3
    assert min(dealt.values()) == campaign.settings.raters_per_item
    assert dealing.raters == -(-144 * 3 // 25)


def test_what_a_rater_sees_depends_on_the_number_alone(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    one, other = Dealing(campaign), Dealing(campaign)
    forwards = [one.pages(number) for number in range(12)]
    assert [other.pages(number) for number in reversed(range(12))] == forwards[::-1]
    more = replace(campaign, settings=campaign.settings.model_copy(update={"raters_per_item": 9}))
    assert [Dealing(more).pages(number) for number in range(12)] == forwards
    assert len({tuple(page.item_id for page in pages) for pages in forwards}) == 12


def test_practice_comes_first_and_checks_are_spread_among_the_items(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, practice=3, checks=4, overlap=5, items_per_rater=20)
    dealing = Dealing(campaign)
    everybody: list[set[str]] = []
    for number in range(dealing.raters):
        pages = dealing.pages(number)
        roles = [campaign.item[page.item_id].role for page in pages]
        assert [page.place for page in pages] == list(range(27))
        assert roles[:4] == ["practice"] * 3 + ["item"]
        assert Counter(roles) == {"practice": 3, "check": 4, "item": 20}
        before = [roles[:place].count("item") for place, role in enumerate(roles) if role == "check"]
        assert all(5 * n <= count <= 5 * (n + 1) for n, count in enumerate(before)), "one in each quarter"
        everybody.append({page.item_id for page in pages if campaign.item[page.item_id].role == "item"})
    shared = set.intersection(*everybody)
    assert len(shared) == 5
    orders = {tuple(p.item_id for p in dealing.pages(n) if p.item_id in shared) for n in range(dealing.raters)}
    assert len(orders) > dealing.raters / 2, "an order of one's own"
    checks = [page for n in range(50) for page in dealing.pages(n) if campaign.item[page.item_id].role == "check"]
    first = sum(page.answer_ids[0] == campaign.item[page.item_id].expected for page in checks)
    assert first == 100


def test_items_of_a_prompt_follow_one_another_if_asked_for(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, order="by_prompt", checks=0, practice=0)
    for number in range(3):
        prompts = [campaign.item[page.item_id].prompt_id for page in Dealing(campaign).pages(number)]
        assert 1 + sum(one != other for one, other in pairwise(prompts)) == len(set(prompts))


@pytest.mark.parametrize("width", [2, 3, 5])
def test_names_are_in_any_two_positions_equally_often_up_to_one(width: int) -> None:
    random = np.random.default_rng(width)
    for _ in range(30):
        names, rows = int(random.integers(width, 12)), int(random.integers(1, 60))
        orders = np.array([np.sort(random.choice(names, width, replace=False)) for _ in range(rows)])
        places = even_positions(orders)
        assert (np.sort(places, axis=1) == np.arange(width)).all()
        shown = np.take_along_axis(orders, places, axis=1)
        counts = np.array([[(shown[:, place] == name).sum() for place in range(width)] for name in range(names)])
        assert np.ptp(counts, axis=1).max() <= 1
        assert (even_positions(shown) == np.arange(width)).all(), "what is even stays"


def test_the_plan_counts_what_is_dealt_and_the_words_read(tmp_path: Path) -> None:
    campaign = campaign_of(
        tmp_path, kind="ratings", dimensions=["creativity", "quality"], choice={"prompts": 4}, checks=0, practice=0,
        items_per_rater=36, reading_speed=60, decision_seconds=2,
    )  # fmt: skip
    plan = plan_of(campaign)
    words = sum(answer.words + 6 for answer in campaign.answers)  # "Name a use for object 3" is six
    assert (plan.raters, plan.pages_each, plan.judgements) == (3, 36, 3 * 36 * 2)
    assert plan.minutes == pytest.approx(3 * (words + 36 * 2 * 2) / 60)
    assert plan.minutes_each == pytest.approx(plan.minutes / 3)


def clustered_shares(random: np.random.Generator, share: float, likeness: Likeness, studies: int) -> np.ndarray:
    """Return shares of wins in studies of 10 prompts, 3 pages each, 4 of 20 raters a page; votes are correlated."""

    def latent(correlation: float) -> float:  # of normal variables whose signs correlate so
        return float(np.sin(np.pi / 2 * correlation))

    prompt, rater = latent(likeness.prompt), latent(likeness.rater)
    page = latent(likeness.prompt + likeness.page) - prompt
    votes = np.arange(120)
    total = norm.ppf(share) + random.normal(0, np.sqrt(1 - prompt - page - rater), (studies, 120))
    for variance, group in ((prompt, votes // 12), (page, votes // 4), (rater, votes % 20)):
        total += random.normal(0, np.sqrt(variance), (studies, group.max() + 1))[:, group]
    return (total > 0).mean(axis=1)


@pytest.mark.parametrize("likeness", [Likeness(prompt=0, page=0, rater=0), Likeness(), Likeness(prompt=0.1, rater=0.1)])
def test_the_detectable_win_rate_is_found_in_80_percent_of_simulated_studies(likeness: Likeness) -> None:
    random = np.random.default_rng(5)
    effect = design_effect(12, 4, 6, likeness)
    bound = norm.ppf(0.975) * np.sqrt(0.25 * effect / 120)
    share = detectable_win_rate(120, effect)
    found = np.mean(np.abs(clustered_shares(random, share, likeness, 5000) - 0.5) > bound)
    false = np.mean(np.abs(clustered_shares(random, 0.5, likeness, 5000) - 0.5) > bound)
    assert found == pytest.approx(0.8, abs=0.03)
    assert false == pytest.approx(0.05, abs=0.015)


def test_detectable_differences_agree_with_an_exact_test_and_a_t_test() -> None:
    share = detectable_win_rate(3000)
    assert binom.sf(binom.isf(0.025, 3000, 0.5), 3000, share) == pytest.approx(0.8, abs=0.01)
    power = nct.sf(student.ppf(0.975, 198), 198, detectable_difference(100) * np.sqrt(50))
    assert power == pytest.approx(0.8, abs=0.01)
    assert np.isnan(detectable_win_rate(2))
    assert detectable_win_rate(100, chance=1 / 3) < detectable_win_rate(100) < 1


def test_more_raters_find_smaller_differences(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    more = replace(campaign, settings=campaign.settings.model_copy(update={"raters_per_item": 12}))
    few, many = (detectable(own, plan_of(own).raters) for own in (campaign, more))
    assert many["two models"] < few["two models"]
    assert few["one model against all others"] < few["two models"]


def test_everybody_judges_everything_where_there_is_little(tmp_path: Path) -> None:
    for each, overlap in ((500, 0), (500, 499), (36, 0)):
        campaign = campaign_of(
            tmp_path, choice={"prompts": 1}, raters_per_item=2, items_per_rater=each, overlap=overlap
        )
        dealing = Dealing(campaign)
        assert (dealing.raters, dealing.items_each) == (2, 36)
        for number in range(4):
            assert {page.item_id for page in dealing.pages(number)} == {item.item_id for item in campaign.items}


def test_several_raters_at_once_are_dealt_what_they_would_be_one_by_one(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, items_per_rater=5)
    one, other = Dealing(campaign), Dealing(campaign)
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(one.pages, range(200)))
    assert at_once == [other.pages(number) for number in range(200)]
