"""The whole way, small: people's answers in, a report out, the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crpo.arms import models_of
from crpo.plan import bundled_ratings, plan
from crpo.recipe import Recipe
from crpo.recipe.sections import EvaluateSection
from crpo.runs import execute, stale

pytestmark = pytest.mark.slow

SMALL = {
    "name": "test",
    "data": {"ratings": "", "heldout_tasks": ["Instances"], "heldout_items": 1, "limit": 500},
    "pair": {"order": "random", "max_per_prompt": 12},
    "policy": {"tiny": {"hidden_size": 32, "layers": 1, "heads": 2, "vocabulary": 600, "epochs": 1}},
    "sft": {"epochs": 1, "tokens_per_row": 256},
    "train": {"learning_rate": 1e-2, "tokens_per_row": 256},
    "variants": {
        "DPO": {}, "DDPO": {"diversity": 1}, "CrPO-cre": {"novelty": 1, "diversity": 1, "surprise": 1, "quality": 1},
    },
    "generate": {"grid": [{"temperature": 0.8, "samples": 3}], "max_new_tokens": 40},
    "evaluate": {"draws": 100},
}  # fmt: skip


def recipe(source: Path, **changes: object) -> Recipe:
    data = {**SMALL["data"], "ratings": str(source)}  # type: ignore[dict-item]
    return Recipe.model_validate({**SMALL, "data": data, **changes})


def run(settings: Recipe, folder: Path) -> list[str]:
    return execute(plan(settings), folder, about={"name": settings.name, "recipe": settings.model_dump(mode="json")})


def fingerprints(folder: Path) -> dict[str, str]:
    files = [path for pattern in ("*.csv", "*.jsonl", "*.html") for path in folder.rglob(pattern)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the corpus with its rows shuffled, and the folder of a finished run on it."""
    base = tmp_path_factory.mktemp("pipeline")
    source = base / "ratings.csv"
    pd.read_csv(bundled_ratings(), dtype=str).sample(frac=1, random_state=1).to_csv(source, index=False)
    run(recipe(source), base / "run")
    return source, base / "run"


def test_the_report_and_every_table_are_there(finished: tuple[Path, Path]) -> None:
    source, folder = finished
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    for model in models_of(recipe(source)):
        assert model in page
    estimates = pd.read_csv(folder / "report" / "estimates.csv")
    assert set(estimates["metric"]) == set(EvaluateSection().metrics)
    scored = estimates.set_index(["model", "split", "metric"])["value"].unstack().notna()
    assert scored["words"].any()
    assert (scored["statistical_rarity"] == scored["words"]).all()  # people answered every prompt
    assert set(estimates["split"]) == {"all", "unseen items", "unseen task"}
    weights = pd.read_csv(folder / "weigh" / "CrPO-cre" / "pairs.csv")
    assert weights["weight"].between(0, 4).all()
    assert weights["weight"].nunique() > 10


def test_the_same_seed_gives_byte_identical_tables_whatever_the_order_of_rows(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    source, folder = finished
    other = source.with_name("other.csv")
    pd.read_csv(source, dtype=str).sample(frac=1, random_state=2).to_csv(other, index=False)
    run(recipe(other), tmp_path / "again")
    first, second = fingerprints(folder), fingerprints(tmp_path / "again")
    first.pop("report/report.html"), second.pop("report/report.html")  # it shows the path of the source
    assert len(first) > 30
    assert first == second


def test_a_second_run_redoes_nothing(finished: tuple[Path, Path]) -> None:
    source, folder = finished
    assert stale(plan(recipe(source)), folder) == []
    assert run(recipe(source), folder) == []


def test_a_changed_lambda_redoes_only_what_follows(finished: tuple[Path, Path]) -> None:
    source, folder = finished
    variants = {**SMALL["variants"], "CrPO-cre": {"novelty": 0.5, "diversity": 1, "surprise": 1, "quality": 1}}  # type: ignore[dict-item]
    own = ["weigh/CrPO-cre", "train/CrPO-cre", "generate/CrPO-cre", "evaluate/CrPO-cre", "report"]
    assert run(recipe(source, variants=variants), folder) == own
    run(recipe(source), folder)


def test_the_split_holds_through_every_stage(finished: tuple[Path, Path]) -> None:
    _, folder = finished
    answers = pd.read_csv(folder / "rate" / "answers.csv", dtype=str, keep_default_na=False)
    held = set(answers.loc[answers["split"] != "train", "prompt_id"])
    for table in ("pair/pairs.csv", "pair/sft.csv", "score/signals.csv"):
        assert not held & set(pd.read_csv(folder / table, dtype=str)["prompt_id"]), table
    for model in ("base", "SFT", "DPO"):
        assert set(pd.read_csv(folder / "generate" / model / "samples.csv", dtype=str)["prompt_id"]) == held


def test_dpo_weighs_every_pair_one_and_the_models_differ(finished: tuple[Path, Path]) -> None:
    _, folder = finished
    assert set(pd.read_csv(folder / "weigh" / "DPO" / "pairs.csv")["weight"]) == {1}
    hashes = {hashlib.sha256((folder / "train" / m / "model" / "model.safetensors").read_bytes()).hexdigest()
              for m in ("DPO", "DDPO", "CrPO-cre")}  # fmt: skip
    assert len(hashes) == 3


def test_a_model_folder_trained_with_lora_goes_the_whole_way(tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny("qwen")
    model.float().save_pretrained(tmp_path / "model")
    chat.tokenizer.save_pretrained(tmp_path / "model")
    policy = {"model": str(tmp_path / "model"), "lora": {"r": 4, "alpha": 8}}
    long = {"grid": [{"samples": 3}], "max_new_tokens": 150}  # random weights seldom end an answer
    variants = {"DPO": {}, "CrPO-sur": {"surprise": 1}}
    settings = recipe(bundled_ratings(), policy=policy, variants=variants, generate=long)
    done = run(settings, tmp_path / "run")
    assert "base" not in done
    assert (tmp_path / "run" / "sft" / "model" / "model.safetensors").exists()  # merged
    for variant in ("DPO", "CrPO-sur"):
        assert (tmp_path / "run" / "train" / variant / "model" / "adapter_model.safetensors").exists()
    samples = pd.read_csv(tmp_path / "run" / "generate" / "CrPO-sur" / "samples.csv", keep_default_na=False)
    assert samples["prompt_id"].nunique() == 8
    assert "CrPO-sur" in (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
