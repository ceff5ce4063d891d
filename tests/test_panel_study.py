"""A study of nine models and four prompts from samples to results, with fifteen simulated raters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crpo.panel.campaign import TIE
from crpo.panel.dashboard import dashboard_facts
from crpo.panel.flags import expected_seconds
from crpo.panel.folder import read_campaign
from crpo.panel.store import Store
from malformed import Command
from panel_samples import samples

STRENGTHS = np.linspace(-1.2, 1.2, 9)  # of alpha0 … alpha8, in log-odds
RATERS, RANDOM, ALWAYS_FIRST, CARELESS = 15, 12, 13, 14
FLAGS = {
    RANDOM: "too fast, failed a check",
    ALWAYS_FIRST: "straight-lining, failed a check",
    CARELESS: "failed a check",
}


def judge(store: Store, number: int, random: np.random.Generator) -> None:
    """Let a rater judge all pages: by Bradley and Terry's model, or without looking."""
    campaign, rater = store.campaign, store.raters()[number]
    for page in store.pages(rater.rater):
        item, shown = campaign.item[page.item_id], page.answer_ids
        models = [campaign.answer[answer].model for answer in shown]
        odds = np.array([np.exp(STRENGTHS[int(model[-1])]) if model else 0 for model in models])
        value, pace = str(random.choice(shown, p=odds / odds.sum())), 1.0
        if item.role == "item" and random.random() < 0.08:
            value = TIE
        if number == CARELESS and item.role == "check":
            value = next(answer for answer in shown if answer != item.expected)
        if number == RANDOM:
            value, pace = str(random.choice(shown)), 0.05
        if number == ALWAYS_FIRST:
            value = shown[0]
        store.judge(rater.rater, page.item_id, {"creativity": value}, pace * expected_seconds(campaign, page.item_id))


def test_nine_models_come_out_in_their_order_and_careless_raters_have_flags(tmp_path: Path, command: Command) -> None:
    samples(models=9, prompts=6, each=2).to_csv(tmp_path / "samples.csv", index=False)
    code, _, error = command("panel new samples.csv -o study --prompts 4 --seed 1")
    assert code == 0, error
    assert command(f"panel links study --raters {RATERS}")[0] == 0
    store, random = Store(read_campaign(tmp_path / "study")), np.random.default_rng(3)
    for number in range(RATERS):
        judge(store, number, random)
    facts = dashboard_facts(store)
    assert {rater["number"] - 1: rater["flags"] for rater in facts["raters"] if rater["flags"]} == FLAGS
    assert (facts["finished"], facts["enough"], facts["items"]) == (RATERS, 144, 144)
    code, _, error = command("panel results study -o found --set draws=200")
    assert code == 0, error
    raters = pd.read_csv(tmp_path / "found" / "raters.csv", keep_default_na=False)
    assert dict(zip(raters["number"], raters["flags"], strict=True)) == {**dict.fromkeys(range(RATERS), ""), **FLAGS}
    found = pd.read_csv(tmp_path / "found" / "strengths.csv")
    truth = STRENGTHS[found["model"].str[-1].astype(int)]
    assert np.corrcoef(found["strength"], truth)[0, 1] > 0.9
    assert ((found["low"] <= truth) & (truth <= found["high"])).sum() >= 8
    page = (tmp_path / "found" / "report.html").read_text()
    assert all(flags in page for flags in FLAGS.values())
