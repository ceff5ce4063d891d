"""What the README promises, as a reader would try it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crpo.plan import plan
from crpo.recipe import read_recipe

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL).group(1)  # type: ignore[union-attr]


def test_the_python_example_trains(tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny()
    model.float().save_pretrained(tmp_path / "model")
    chat.tokenizer.save_pretrained(tmp_path / "model")
    code = block("python").replace('"HuggingFaceTB/SmolLM2-135M-Instruct"', repr(str(tmp_path / "model")))
    code = code.replace('"crpo-out"', repr(str(tmp_path / "out")))
    assert str(tmp_path / "model") in code
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["trainer"].state.global_step > 0
    assert len(block("python").strip().splitlines()) <= 30


def test_the_recipe_is_valid_and_plans_the_models_it_names(tmp_path: Path) -> None:
    text = block("yaml")
    assert len(text.strip().splitlines()) == 6
    (tmp_path / "recipe.yaml").write_text(text)
    names = [step.name for step in plan(read_recipe(tmp_path / "recipe.yaml"))]
    assert {"train/DPO", "train/CrPO-cre", "report"} <= set(names)
    assert "base" not in names
