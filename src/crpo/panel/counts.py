"""What was judged, by whom and how much of it: the counts beside a panel's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.panel.campaign import TIE, Campaign, is_passed
from crpo.panel.positions_chosen import positions_chosen
from crpo.panel.power import Plan, detectable, plan_of
from crpo.panel.store import Rater
from crpo.recipe.sections import WinRateSection

MODELS = ["model", "answers", "words", "pages", "first"]
ANSWERS = ["dimension", "prompt_id", "prompt", "answer_id", "model", "response", "words", "judged", "value"]
CHECKS = ["item_id", "shown", "met", "passed"]


@dataclass(frozen=True)
class PanelCounts:
    """Tables of counts.

    Attributes
    ----------
    models : DataFrame
        model, answers (judged by somebody), words (their mean length; NaN where none was judged), pages (judged ones
        with an answer of the model on them), first (share of them on which it was shown first; NaN for ratings).
    positions : DataFrame or None
        Of choices: see `positions_chosen`.
    answers : DataFrame
        dimension, prompt_id, prompt, answer_id, model, response, words, judged (pages), value: of choices the share of
        pages won, a tie counting half; of ratings the mean. A prompt's highest first; only judged answers.
    checks : DataFrame
        item_id, shown (the text made for the check), met, passed (how many raters).
    account : DataFrame
        stage, what, count: the design, the raters, and what counts.
    power : DataFrame
        who, detectable: see `crpo.panel.power.detectable`, for the judgements planned.
    """

    models: pd.DataFrame
    positions: pd.DataFrame | None
    answers: pd.DataFrame
    checks: pd.DataFrame
    account: pd.DataFrame
    power: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables there are, by the names of their files."""
        found = {"models": self.models, "positions": self.positions, "answer_counts": self.answers,
                 "checks": self.checks, "account": self.account, "power": self.power}  # fmt: skip
        return {name: table for name, table in found.items() if table is not None}


def panel_counts(
    campaign: Campaign,
    raters: Sequence[Rater],
    facts: pd.DataFrame,
    judgements: pd.DataFrame,
    section: WinRateSection,
    left_out: Sequence[str] = (),
) -> PanelCounts:
    """Count.

    Parameters
    ----------
    campaign : Campaign
    raters : sequence of Rater
        All of them.
    facts : DataFrame
        See `crpo.panel.flags.rater_facts`.
    judgements : DataFrame
        All of `crpo.panel.store.Store.judgements`.
    section : WinRateSection
        Of the intervals of positions.
    left_out : sequence of str
        Raters whose judgements do not count here. Attention checks are counted of all.
    """
    counting = judgements[(judgements["role"] == "item") & ~judgements["rater"].isin(list(left_out))]
    chosen = None if campaign.settings.kind == "ratings" else positions_chosen(section, campaign, counting)
    plan = plan_of(campaign)
    found = detectable(campaign, plan.raters)
    return PanelCounts(
        _models(campaign, counting),
        chosen,
        _answers(campaign, counting),
        _checks(campaign, judgements),
        pd.concat([_design(campaign, plan), _done(campaign, raters, facts, judgements, counting)], ignore_index=True),
        pd.DataFrame({"who": found.keys(), "detectable": found.values()}),
    )


def _models(campaign: Campaign, counting: pd.DataFrame) -> pd.DataFrame:
    pages = counting.drop_duplicates(["rater", "item_id"])["answer_ids"]
    shown = [(place, campaign.answer[answer]) for page in pages for place, answer in enumerate(str(page).split())]
    rows = []
    for model in sorted({campaign.answer[a].model for item in campaign.of_role("item") for a in item.answer_ids}):
        places = [place for place, answer in shown if answer.model == model]
        words = {answer.answer_id: answer.words for _, answer in shown if answer.model == model}
        known = campaign.settings.kind != "ratings" and places
        first = float(np.mean([place == 0 for place in places])) if known else np.nan
        length = float(np.mean(list(words.values()))) if words else np.nan
        rows.append((model, len(words), length, len(places), first))
    return pd.DataFrame(rows, columns=pd.Index(MODELS))


def _answers(campaign: Campaign, counting: pd.DataFrame) -> pd.DataFrame:
    found: dict[tuple[str, str], list[float]] = {}
    for judged in counting.itertuples(index=False):
        for answer in str(judged.answer_ids).split():
            found.setdefault((str(judged.dimension), answer), []).append(_value(campaign, str(judged.value), answer))
    rows = []
    for (dimension, answer_id), values in found.items():
        own = campaign.answer[answer_id]
        rows.append((dimension, own.prompt_id, own.prompt, answer_id, own.model, own.response, own.words, len(values),
                     float(np.mean(values))))  # fmt: skip
    rows.sort(key=lambda row: (campaign.settings.dimensions.index(row[0]), row[1], -row[-1], row[3]))
    return pd.DataFrame(rows, columns=pd.Index(ANSWERS))


def _value(campaign: Campaign, judged: str, answer: str) -> float:
    if campaign.settings.kind == "ratings":
        return float(judged)
    return 0.5 if judged == TIE else float(judged == answer)


def _checks(campaign: Campaign, judgements: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for item in campaign.of_role("check"):
        own = judgements[judgements["item_id"] == item.item_id].groupby("rater")["value"].agg(list)
        passed = sum(is_passed(campaign.settings, item, values) for values in own)
        texts = [campaign.answer[answer] for answer in item.answer_ids]
        made = next((answer.response for answer in texts if answer.source == "check"), "")
        rows.append((item.item_id, made, len(own), passed))
    return pd.DataFrame(rows, columns=pd.Index(CHECKS))


def _design(campaign: Campaign, plan: Plan) -> pd.DataFrame:
    items = campaign.of_role("item")
    shown = [campaign.answer[answer] for item in items for answer in item.answer_ids]
    return _rows(
        "design",
        {
            "prompts": len({item.prompt_id for item in items}),
            "models": len({answer.model for answer in shown}),
            "answers": len({answer.answer_id for answer in shown}),
            "items": len(items),
            "raters wanted for each item": campaign.settings.raters_per_item,
            "raters it takes": plan.raters,
            "judgements planned": plan.judgements,
        },
    )


def _done(
    campaign: Campaign, raters: Sequence[Rater], facts: pd.DataFrame, judgements: pd.DataFrame, counting: pd.DataFrame
) -> pd.DataFrame:
    items, wanted = [item.item_id for item in campaign.of_role("item")], campaign.settings.raters_per_item
    by_item = counting.groupby("item_id")["rater"].nunique().reindex(items, fill_value=0)
    flagged = facts[facts["flags"] != ""]["rater"]
    whole = judgements["role"] == "item"
    people = {
        "invited": len(raters),
        "agreed to take part": sum(rater.consented_at is not None for rater in raters),
        "judged all their pages": sum(rater.finished_at is not None for rater in raters),
        "with a flag": len(flagged),
        "whose judgements count here": counting["rater"].nunique(),
    }
    judged = {
        "that count here": len(counting),
        "of them ties": int((counting["value"] == TIE).sum()),
        "by raters with a flag": int((whole & judgements["rater"].isin(flagged)).sum()),
        "left out with their raters": int(whole.sum()) - len(counting),
        "practice, which never counts": int((judgements["role"] == "practice").sum()),
        "attention checks, which never count": int((judgements["role"] == "check").sum()),
        "changed by the rater afterwards": int((judgements["changes"] > 0).sum()),
    }
    reached = {
        "judged by as many as wanted": int((by_item >= wanted).sum()),
        "judged by fewer": int(((by_item > 0) & (by_item < wanted)).sum()),
        "judged by nobody": int((by_item == 0).sum()),
    }
    return pd.concat([_rows("raters", people), _rows("judgements", judged), _rows("items", reached)])


def _rows(stage: str, counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"stage": stage, "what": counts.keys(), "count": counts.values()})
