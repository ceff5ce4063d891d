"""Invented samples and campaigns for the tests of the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from crpo.panel.campaign import Campaign, Item
from crpo.panel.design import design
from crpo.panel.reading import read_candidates
from crpo.panel.select import Selected, select
from crpo.panel.settings import Settings

IDEAS = ("grind it", "hold a door", "warm a bed", "weigh paper", "build a wall", "teach patience", "mark a grave",
         "sharpen a knife", "bake a loaf")  # fmt: skip


def samples(models: int = 9, prompts: int = 6, each: int = 4, **columns: Any) -> pd.DataFrame:
    """Return samples of models alpha0, alpha1, … ; every answer is different."""
    rows = [
        {
            "prompt_id": f"q{prompt}", "prompt": f"Name a use for object {prompt}", "model": f"alpha{model}",
            "sample": sample, "response": f"{IDEAS[model % 9]} with {prompt} in way {sample}" + " slowly" * model,
            "status": "ok", "seed": 42, "score": float((7 * model + 3 * sample + prompt) % 11),
        }
        for prompt in range(prompts) for model in range(models) for sample in range(each)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def selected(tmp_path: Path, settings: Settings, frame: pd.DataFrame | None = None) -> Selected:
    """Return what is chosen of samples that are written to a file and read again."""
    file = tmp_path / "samples.csv"
    (samples() if frame is None else frame).to_csv(file, index=False)
    return select(read_candidates([file], settings.choice.metric), settings.choice, settings.seed)


def campaign_of(tmp_path: Path, frame: pd.DataFrame | None = None, **settings: Any) -> Campaign:
    """Return a campaign of samples."""
    own = Settings.model_validate(settings)
    return design(selected(tmp_path, own, frame), own)[0]


def models_on(campaign: Campaign, item: Item) -> list[str]:
    """Return the models of an item's answers, sorted."""
    return sorted(campaign.answer[answer].model for answer in item.answer_ids)
