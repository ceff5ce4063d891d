"""The results of a panel: win rates, strengths, means and agreement from its judgements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.irt import Ratings
from crpo.panel.campaign import Campaign
from crpo.panel.folder import read_campaign, write_campaign
from crpo.panel.results import panel_results, rating_means
from crpo.panel.store import Store
from crpo.raters.krippendorff import krippendorff_alpha
from crpo.recipe.sections import WinRateSection
from crpo.stages.study_tables import read_win_rates
from malformed import Command
from panel_samples import campaign_of, models_on, samples

SECTION = WinRateSection(draws=100)
RATERS = 8


def number(model: str) -> int:
    return int(model.removeprefix("alpha"))


def judged(campaign: Campaign, noise: float = 2.0) -> pd.DataFrame:
    """Return judgements of eight raters on every item and dimension: models of higher numbers tend to win."""
    generator = np.random.default_rng(0)
    rows = []
    for rater in range(RATERS):
        for item in campaign.items:
            for dimension in campaign.settings.dimensions:
                liked = [number(campaign.answer[a].model or "alpha0") + noise * generator.normal()
                         for a in item.answer_ids]  # fmt: skip
                best = item.answer_ids[int(np.argmax(liked))]
                value = str(int(np.clip(round(liked[0]) + 1, 1, 5))) if campaign.settings.kind == "ratings" else best
                rows.append((f"r{rater}", item.item_id, " ".join(item.answer_ids), item.role, dimension, value, 5.0))
    names = ["rater", "item_id", "answer_ids", "role", "dimension", "value", "seconds"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def campaign(tmp_path: Path, **settings: Any) -> Campaign:
    return campaign_of(tmp_path, samples(models=4, prompts=4, each=1), dimensions=["creativity", "quality"], **settings)


def test_choices_become_win_rates_by_dimension_with_the_better_model_ahead(tmp_path: Path) -> None:
    own = campaign(tmp_path)
    judgements = judged(own)
    found = panel_results(own, judgements, SECTION)
    counting = judgements[(judgements["role"] == "item") & (judgements["dimension"] == "quality")]
    both = counting[[models_on(own, own.item[item]) == ["alpha0", "alpha3"] for item in counting["item_id"]]]
    wins = sum(own.answer[value].model == "alpha3" for value in both["value"])
    assert found.win_rates is not None
    rates = found.win_rates.set_index(["dimension", "model", "against"])
    row = rates.loc[("quality", "alpha3", "alpha0")]
    assert (row["wins"], row["wins"] + row["losses"]) == (wins, len(both))
    assert row["win_rate"] == pytest.approx(wins / len(both))
    assert row["low"] > 0.5
    assert row["words_difference"] == 3  # a word "slowly" for each number
    assert found.strengths is not None
    ranked = found.strengths[found.strengths["dimension"] == "creativity"]
    assert ranked["model"].tolist() == ["alpha3", "alpha2", "alpha1", "alpha0"]
    assert (ranked["votes"] == 3 * 4 * RATERS).all()  # against three others, on four prompts
    assert set(found.tables()) == {"votes", "win_rates", "strengths", "agreement"}


def test_a_best_of_three_is_a_vote_against_each_of_the_others(tmp_path: Path) -> None:
    own = campaign(tmp_path, kind="best_of", best_of=3)
    found = panel_results(own, judged(own), SECTION)
    items = sum(item.role == "item" for item in own.items)
    assert len(found.judgements) == items * 2 * 2 * RATERS  # two votes, two dimensions
    assert found.strengths is not None
    assert found.strengths["model"].iloc[0] == "alpha3"


def test_ratings_become_means_with_intervals_and_reliability(tmp_path: Path) -> None:
    own = campaign(tmp_path, kind="ratings")
    found = panel_results(own, judged(own, noise=0.7), SECTION)
    assert found.means is not None
    assert set(found.tables()) == {"ratings", "means", "agreement"}
    ratings = found.judgements
    expected = ratings.groupby(["dimension", "model"])["rating"].mean()
    means = found.means.set_index(["dimension", "model"])
    pd.testing.assert_series_equal(means["mean"].sort_index(), expected.sort_index(), check_names=False)
    assert means.loc["creativity"].index.tolist() == ["alpha3", "alpha2", "alpha1", "alpha0"]
    assert ((means["low"] < means["mean"]) & (means["mean"] < means["high"])).all()
    assert means.loc[("quality", "alpha1"), ["raters", "prompts", "answers"]].tolist() == [RATERS, 4, 4]
    agreed = found.agreement.set_index("dimension")
    part = ratings[ratings["dimension"] == "quality"]
    answers, names = pd.factorize(part["response_id"])
    raters, people = pd.factorize(part["rater"])
    whole = Ratings(answers, raters, part["rating"].to_numpy(float), len(names), len(people))
    assert agreed.loc["quality", "alpha"] == pytest.approx(krippendorff_alpha(whole, "ordinal"))
    grid = part.pivot(index="response_id", columns="rater", values="rating").to_numpy()
    assert agreed.loc["quality", "icc_2_k"] == pytest.approx(shrout_and_fleiss(grid), abs=1e-3)
    assert agreed.loc["quality", "raters_per_answer"] == RATERS


def studied(tmp_path: Path, **settings: Any) -> tuple[Path, Campaign]:
    """Return a campaign's folder in which every rater has judged, the first of them without looking."""
    own = campaign(tmp_path, raters_per_item=4, items_per_rater=9, **settings)
    write_campaign(own, tmp_path / "study")
    store = Store(read_campaign(tmp_path / "study"))
    generator = np.random.default_rng(0)
    for rater in range(5):
        name = store.add_rater(f"person {rater}").rater  # type: ignore[union-attr]
        for page in store.pages(name):
            best = max(page.answer_ids, key=lambda a: number(own.answer[a].model or "alpha0") + 2 * generator.normal())
            liked = str(int(np.clip(number(own.answer[best].model or "alpha0") + generator.integers(1, 3), 1, 5)))
            value = (liked if own.settings.kind == "ratings" else best) if rater else page.answer_ids[0]
            if own.settings.kind == "ratings" and not rater:
                value = "3"
            if own.item[page.item_id].role == "check":
                value = "1" if own.settings.kind == "ratings" else own.item[page.item_id].expected
            values = dict.fromkeys(own.settings.dimensions, value)
            if own.settings.kind == "ratings" and rater and value != "1":  # a dimension says something of its own
                values["quality"] = str(int(value) - 1)
            store.judge(name, page.item_id, values, 30.0)
    return tmp_path / "study", own


@pytest.mark.parametrize("kind", ["pairwise", "ratings"])
def test_the_command_goes_from_a_campaign_to_tables_and_figures(tmp_path: Path, command: Command, kind: str) -> None:
    folder, _ = studied(tmp_path, kind=kind)
    code, told, error = command(f"panel results {folder} -o found --json --set draws=50")
    assert code == 0, error
    summary = json.loads(told)
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert {"agreement.csv", "raters.csv", "report.html"} <= names
    assert summary["flagged raters"] >= 1
    assert pd.read_csv(tmp_path / "found" / "raters.csv")["flags"].str.contains("straight-lining").any()
    if kind == "pairwise":
        assert {"votes.csv", "win_rates.csv", "strengths.csv"} <= names
        assert (tmp_path / "found" / "figures" / "win-rates-quality.svg").exists()
        again, told, _ = command("winrate found/votes.csv -o again.csv --json --set draws=50")
        assert again == 0
        assert (tmp_path / "again.csv").read_text() == (tmp_path / "found" / "win_rates.csv").read_text()
        won = read_win_rates("found/win_rates.csv")  # as a run with report.win_rates reads them
        assert won is not None
        assert len(won) == 2 * 4 * 3  # dimensions, models, against
    else:
        assert {"ratings.csv", "means.csv"} <= names
        rated, _, error = command("rate found/ratings.csv -o scores.csv --by dimension --filter none")
        assert rated == 0, error
    fewer, told, _ = command(f"panel results {folder} -o fewer --without-flagged --json --set draws=50")
    assert fewer == 0
    left = json.loads(told)
    assert left["raters"] == summary["raters"] - summary["flagged raters"] > 0
    assert left["judgements"] < summary["judgements"]


def shrout_and_fleiss(grid: np.ndarray) -> float:
    """Return ICC(2,k) of complete ratings by its mean squares."""
    n, k = grid.shape
    whole = grid.mean()
    rows = k * ((grid.mean(axis=1) - whole) ** 2).sum() / (n - 1)
    columns = n * ((grid.mean(axis=0) - whole) ** 2).sum() / (k - 1)
    total = ((grid - whole) ** 2).sum()
    rest = (total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1))
    return (rows - rest) / (rows + (columns - rest) / n)


def test_the_interval_of_a_mean_is_about_new_prompts_and_raters() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(120):
        by_prompt, by_rater = generator.normal(size=6), generator.normal(size=10)
        rows = [("q", "m", f"p{p}", f"r{r}", f"a{p}", "x", by_prompt[p] + by_rater[r] + generator.normal())
                for p in range(6) for r in range(10)]  # fmt: skip
        names = ["dimension", "model", "prompt_id", "rater", "response_id", "response", "rating"]
        row = rating_means(SECTION, pd.DataFrame(rows, columns=pd.Index(names))).iloc[0]
        covered += row["low"] <= 0 <= row["high"]
    assert 0.9 <= covered / 120 <= 0.995
