"""The page of a panel's results: it says what the tables say, whatever names and answers hold."""

from __future__ import annotations

import html
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crpo.panel.campaign import Campaign
from crpo.panel.page.numbers import rate, span
from crpo.panel.store import Store
from crpo.report.views import number
from malformed import Command
from panel_serving import campaign_in

OURS = ("crpo", "dpo", "sft", "base")
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} "\' =HYPERLINK("http://x")'


def judged(folder: Path, raters: int = 6, **settings: Any) -> Campaign:
    """Make a campaign and judge it: raters like the first models more, but for one at random and one who is lazy."""
    models = settings.setdefault("models", OURS)
    own = campaign_in(folder, **settings)
    store, chance = Store(own), random.Random(0)
    for number_ in range(raters):
        rater = store.add_rater()
        assert rater is not None
        store.consent(rater.rater)
        for page in store.pages(rater.rater):
            worth = [-models.index(own.answer[a].model) if own.answer[a].model else -9 for a in page.answer_ids]
            value = chosen(own, number_, page.answer_ids, worth, chance)
            if own.item[page.item_id].role == "check" and number_ != 1:
                lowest = str(own.settings.scale[0])
                value = lowest if own.settings.kind == "ratings" else own.item[page.item_id].expected
            seconds = 0.5 if number_ == 1 else 12.0
            store.judge(rater.rater, page.item_id, dict.fromkeys(own.settings.dimensions, value), seconds)
    return own


def chosen(own: Campaign, rater: int, shown: tuple[str, ...], worth: list[int], chance: random.Random) -> str:
    if own.settings.kind == "ratings":
        return "3" if rater == 2 else str(min(5, max(1, 4 + worth[0] + chance.randint(-1, 1))))
    if rater == 2:
        return shown[0]
    liked = [w + (0 if rater != 1 else 9) * chance.random() + 2 * chance.random() for w in worth]
    return shown[liked.index(max(liked))]


def results(command: Command, folder: Path, more: str = "") -> tuple[str, Path]:
    code, _, error = command(f"panel results {folder} -o {folder.parent}/found --set draws=60 {more}")
    assert code == 0, error
    found = folder.parent / "found"
    return (found / "report.html").read_text(encoding="utf-8"), found


def said(page: str) -> str:
    """Return the words of a page, as a reader sees them."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def rows_of(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [[said(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, flags=re.DOTALL)] for row in rows]


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_page_of_pairs_has_the_numbers_of_the_tables(tmp_path: Path, command: Command) -> None:
    judged(tmp_path / "study", dimensions=["creativity", "quality"], prompts=6, ties=True)
    page, found = results(command, tmp_path / "study")
    rows = rows_of(page)
    rates = pd.read_csv(found / "win_rates.csv")
    better = rates[rates["win_rate"] > 0.5]
    assert len(better) >= 8
    for row in better.to_dict("records"):
        start = [row["model"], row["against"], "decided" if row["low"] > 0.5 else "not decided"]
        start += [str(row[name]) for name in ("wins", "ties", "losses")]
        start += [plain(rate(row["win_rate"])), span(row["low"], row["high"])]
        assert start in [cells[:8] for cells in rows]
    strengths = pd.read_csv(found / "strengths.csv")
    assert len(strengths) == 8
    for row in strengths.to_dict("records"):
        ends = span(row["low"], row["high"], share=False, decimals=2)
        assert [row["dimension"], row["model"], number(row["strength"]), ends, str(row["votes"])] in rows
    sure = better[better["low"] > 0.5].groupby("dimension")
    told = re.findall(r"(\S+) beats (\S+) in (\S+ %) of votes, 95 % interval (\[.*?\])", said(page))
    assert len(told) == sum(min(len(own), 4) for _, own in sure) > 4
    known = [(row["model"], row["against"], plain(rate(row["win_rate"])), span(row["low"], row["high"]))
             for row in better.to_dict("records")]  # fmt: skip
    assert set(told) <= set(known)
    decided = Counter(better[better["low"] > 0.5]["dimension"])
    assert f"Of 6 pairs of models, the order of {decided['creativity']} is decided." in said(page)


def test_positions_checks_flags_and_account_are_counted_right(tmp_path: Path, command: Command) -> None:
    own = judged(tmp_path / "study", prompts=6)
    page, found = results(command, tmp_path / "study")
    judgements = Store(own).judgements()
    counting = judgements[judgements["role"] == "item"]
    positions = pd.read_csv(found / "positions.csv").iloc[0]
    first = (counting["position"] == 1).sum()
    assert (positions["chosen"], positions["judgements"]) == (first, len(counting))
    assert positions["share"] == pytest.approx(first / counting["position"].notna().sum())
    assert positions["low"] < positions["share"] < positions["high"]
    answers = pd.read_csv(found / "answer_counts.csv")
    assert answers["judged"].sum() == 2 * len(counting)
    assert (answers["judged"] * answers["value"]).sum() == pytest.approx(len(counting))
    raters = pd.read_csv(found / "raters.csv", keep_default_na=False)
    flagged = raters[raters["flags"] != ""]["rater"]
    assert len(flagged) == 2
    theirs = int(counting["rater"].isin(flagged).sum())
    assert f"--without-flagged would leave out {theirs} of {len(counting)} judgements" in said(page)
    assert page.count('class="mark look"') == 2
    without, _ = results(command, tmp_path / "study", "--without-flagged")
    assert f"2 raters with a flag and their {theirs} judgements are left out here" in said(without)
    assert ["that count here", str(len(counting) - theirs)] in [row[-2:] for row in rows_of(without)]
    assert without.count('class="mark out"') == 2


def test_a_campaign_with_baselines_shows_ours_against_them(tmp_path: Path, command: Command) -> None:
    judged(tmp_path / "study", prompts=6, against=["sft", "base"])
    page, found = results(command, tmp_path / "study")
    drawn = pd.read_csv(found / "figures" / "win-rates-creativity.csv")
    assert set(drawn["model"]) == {"crpo", "dpo"}
    assert set(drawn["against"]) == {"sft", "base"}
    assert "over the baseline in the column" in said(page)


def test_the_page_of_ratings_has_means_and_reliability(tmp_path: Path, command: Command) -> None:
    judged(tmp_path / "study", kind="ratings", dimensions=["creativity", "novelty"], prompts=6)
    page, found = results(command, tmp_path / "study")
    means = pd.read_csv(found / "means.csv")
    assert len(means) == 8
    for row in means.to_dict("records"):
        ends = span(row["low"], row["high"], share=False, decimals=2)
        assert [row["dimension"], row["model"], number(row["mean"]), ends] in [cells[:4] for cells in rows_of(page)]
    for row in pd.read_csv(found / "agreement.csv").to_dict("records"):
        for name in ("alpha", "icc_2_1", "icc_2_k"):
            assert f"{row[name]:.2f}".lstrip("0").replace("-0", "−") in said(page)
    assert "Shrout, P. E., & Fleiss, J. L. (1979)" in said(page)
    assert "Bradley" not in page


@pytest.mark.parametrize(("kind", "names"), [("pairwise", {"win-rates-creativity", "strengths-creativity"}),
                                             ("best_of", {"win-rates-creativity", "strengths-creativity"}),
                                             ("ratings", {"means"})])  # fmt: skip
def test_every_figure_on_the_page_has_its_three_files(
    tmp_path: Path, command: Command, kind: str, names: set[str]
) -> None:
    judged(tmp_path / "study", kind=kind, prompts=5)
    page, found = results(command, tmp_path / "study")
    shown = set(re.findall(r"<code>([\w.-]+)</code></figcaption>", page))
    assert shown == names
    files = {path.name for path in (found / "figures").iterdir()}
    assert files == {f"{name}.{ending}" for name in names for ending in ("svg", "png", "csv")}


def test_hostile_answers_names_and_titles_stay_text(tmp_path: Path, command: Command) -> None:
    models = ("<b>ours</b>", "=1+1", "</style><script>alert(3)</script>")
    judged(tmp_path / "study", texts=[f"{HOSTILE} {i}" for i in range(40)], models=models, prompts=5,
           title="<i>A study</i> {{ 7 * 7 }}", check_texts=["<script>alert(4)</script>", "=2+2"])  # fmt: skip
    page, found = results(command, tmp_path / "study")
    assert "<script" not in page
    assert not re.search(r"<[^<>]*onerror[^<>]*>", page)
    assert "<b>ours" not in page
    assert "<i>A" not in page
    assert page.count("</style>") == 1
    assert "&lt;i&gt;A study&lt;/i&gt; {{ 7 * 7 }}" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "http" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "'=2+2" in pd.read_csv(found / "checks.csv", dtype=str)["shown"].tolist()


@pytest.mark.parametrize("kind", ["pairwise", "best_of", "ratings"])
def test_a_campaign_nobody_has_judged_gives_a_page_that_says_so(tmp_path: Path, command: Command, kind: str) -> None:
    judged(tmp_path / "study", raters=0, kind=kind)
    page, found = results(command, tmp_path / "study")
    assert "Nobody has judged anything that counts yet." in said(page)
    assert "nan" not in said(page).lower().split()
    assert 'id="results"' not in page
    assert not (found / "figures").exists()


@pytest.mark.parametrize("kind", ["pairwise", "ratings"])
def test_one_rater_gives_a_page_that_says_so(tmp_path: Path, command: Command, kind: str) -> None:
    judged(tmp_path / "study", raters=1, kind=kind, prompts=3)
    page, _ = results(command, tmp_path / "study")
    assert "One person has judged" in said(page)
    assert "No item was judged by two raters yet" in said(page)
    assert "bootstrap over prompts (60 draws); there was one rater" in said(page)
    assert "Not judged enough" in said(page)
    assert "nan" not in said(page).lower().split()


def test_the_same_judgements_give_the_same_page(tmp_path: Path, command: Command) -> None:
    judged(tmp_path / "study", raters=3, prompts=3)
    first, _ = results(command, tmp_path / "study")
    assert first == results(command, tmp_path / "study")[0]


def test_a_share_that_is_not_known_is_not_a_number() -> None:
    assert rate(math.nan) == "not known"
    assert span(0.1, math.nan) == "not known"
