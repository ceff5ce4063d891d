"""Models of others in a run: drawn and measured beside its own, paid for once, and never beyond a cap."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.generators import Decoding, requests_for
from crpo.plan import plan
from crpo.recipe import Recipe
from crpo.records import read_records
from malformed import Command


@dataclass(frozen=True)
class Paid:
    """Ten tokens a sample, and a note of what was asked."""

    grid: tuple[Decoding, ...] = (Decoding(),)
    model: str = "gpt-4o"
    max_new_tokens: int = 50
    tries: int = field(default=1, repr=False)
    asked: ClassVar[list[str]] = []

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        for request in [r for pair in prompts for r in requests_for(*pair, self.grid, seed)]:
            if request.key in had:
                continue
            self.asked.append(f"{self.model} {request.key}")
            yield {
                "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "sample": request.sample,
                "response": f"{self.model} says {request.sample}", "status": "ok", "finish_reason": "stop",
                "tokens": 10, "input_tokens": 0, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": request.seed,
            }  # fmt: skip


@pytest.fixture(autouse=True)
def paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `paid:Paid` be a user's own module."""
    module = ModuleType("paid")
    vars(module).update(Paid=Paid)
    monkeypatch.setitem(sys.modules, "paid", module)
    monkeypatch.setattr("crpo.plan.inputs.source_file", lambda use: Path(__file__))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Paid.asked.clear()


RECIPE: dict[str, Any] = {
    "name": "test",
    "data": {"responses": "answers.csv", "heldout_items": 1},
    "policy": {"tiny": {"hidden_size": 16, "layers": 1, "heads": 2, "vocabulary": 300, "epochs": 1}},
    "variants": {"DPO": {}},
    "score": {"signals": {"diversity": "diversity"}},
    "evaluate": {"metrics": {"words": "words"}, "draws": 100},
    "generate": {
        "grid": [{"samples": 4}], "max_new_tokens": 8, "max_error_share": 0,
        "baselines": {"one": {"use": "paid:Paid"}, "two": {"use": "paid:Paid", "model": "gpt-4o-mini"}},
    },
}  # fmt: skip


def files(answers: pd.DataFrame, **generate: Any) -> dict[str, str]:
    recipe = {**RECIPE, "generate": {**RECIPE["generate"], **generate}}
    return {"answers.csv": answers.to_csv(index=False), "recipe.json": json.dumps(recipe)}


def paid_for(folder: Path) -> dict[str, int]:
    """Return the tokens of the records of each file of paid records."""
    return {path.name.split("-")[0]: sum(r["tokens"] for r in read_records(path)[1])
            for path in (folder / "run" / "paid").iterdir()}  # fmt: skip


RUN = "run recipe.json --out run --json "
ONE, BOTH = RUN + "--until generate/one ", RUN + "--until generate/two "


def test_caps_are_of_all_baselines_together_and_a_higher_one_continues(
    command: Command, answers: pd.DataFrame, tmp_path: Path
) -> None:
    code, _, error = command(ONE + "--set generate.max_tokens=30", files(answers))  # 8 samples of 10 tokens
    assert (code, error.splitlines()[-1].startswith("error: ")) == (7, True)
    assert "one: 30 tokens are used, of max_tokens 30; 3 of 8 samples are in run/paid/one-" in error
    assert not (tmp_path / "run" / "generate" / "one").exists()
    assert command(ONE + "--set generate.max_tokens=30")[0] == 7
    assert len(Paid.asked) == 3
    assert command(ONE + "--set generate.max_tokens=100")[0] == 0
    code, _, error = command(BOTH + "--set generate.max_tokens=100")
    assert (code, "two: 100 tokens are used, of max_tokens 100; 2 of 8" in error) == (7, True)
    assert paid_for(tmp_path) == {"one": 80, "two": 20}
    assert command(BOTH + "--set generate.max_cost=0.000829")[0] == 7  # 80 tokens at $10 a million, the rest at $0.60
    assert paid_for(tmp_path) == {"one": 80, "two": 50}
    code, out, _ = command(RUN + "--until generate/two --set generate.max_cost=1")
    assert (code, json.loads(out)["steps done"]) == (0, 1)
    assert len(Paid.asked) == len(set(Paid.asked)) == 16
    code, out, _ = command(BOTH + "--set generate.max_tokens=1 --set generate.max_error_share=0.5")
    assert (code, json.loads(out)["steps done"]) == (0, 0)  # a cap is no part of what a step is made from


def test_what_was_paid_for_is_not_asked_again_when_a_step_is_redone(
    command: Command, answers: pd.DataFrame, tmp_path: Path
) -> None:
    assert command(ONE, files(answers))[0] == 0
    more = pd.concat([answers, answers.iloc[:1].assign(response="one more", creativity_score=30.0)])
    code, out, _ = command(ONE, {"answers.csv": more.to_csv(index=False)})
    assert (code, json.loads(out)["steps done"]) == (0, 2)  # split and generate/one
    assert len(Paid.asked) == 8
    assert command(ONE, files(more, grid=[{"samples": 2}]))[0] == 0
    assert len(Paid.asked) == 12
    assert len(list((tmp_path / "run" / "paid").iterdir())) == 2
    assert command(ONE, files(more))[0] == 0  # back to the first grid: its records are still there
    assert len(Paid.asked) == 12
    tries = {"one": {"use": "paid:Paid", "tries": 3}}
    code, out, _ = command(ONE, files(more, baselines=tries))
    assert (code, json.loads(out)["steps done"]) == (0, 0)


def test_a_dry_run_says_what_the_baselines_will_cost(command: Command, answers: pd.DataFrame) -> None:
    code, out, _ = command(RUN + "--dry-run", files(answers))
    assert code == 0
    first, second = json.loads(out)["baselines"]
    assert (first["baseline"], first["to draw"], first["output tokens"]) == ("one", 8, "at most 64")
    assert first["cost"].startswith("at most $0.00")
    assert second["model"] == "gpt-4o-mini"
    assert Paid.asked == []
    command(ONE + "--set generate.max_tokens=30")
    told = json.loads(command(RUN + "--dry-run")[1])["baselines"]
    assert [(row["to draw"], row["used so far"]) for row in told] == [(5, "30 tokens, $0.0003"), (8, "0 tokens, $0.00")]


@pytest.mark.parametrize(
    ("baseline", "change", "told"),
    [
        ({"use": "openai", "model": "gpt-4o"}, {}, "OPENAI_API_KEY"),
        ({"use": "openai", "model": "gpt-4o"}, {"grid": [{"top_k": 5}]}, "gpt-4o does not take top_k 5"),
        ({"use": "openai", "model": "gpt-4o", "grid": [{"tpo_p": 1}]}, {}, 'Did you mean "top_p"?'),
        ({"use": "opeani"}, {}, "opeani"),
        ({"use": "paid:Paid", "model": "nobody's"}, {"max_cost": 1}, "the price of nobody's is not known"),
    ],
)
def test_what_would_stop_a_baseline_stops_the_run_before_anything_is_done(
    command: Command, answers: pd.DataFrame, tmp_path: Path, baseline: dict, change: dict, told: str
) -> None:
    code, _, error = command(RUN, files(answers, baselines={"one": baseline}, **change))
    assert (code, told in error) == (2, True), error
    assert not (tmp_path / "run").exists()
    (tmp_path / "recipe.json").rename(tmp_path / "recipe.yaml")
    code, _, error = command("check recipe.yaml")
    assert (code, told in error) == (2, True)


def test_too_many_failed_samples_stop_a_run_with_exit_code_6_and_the_rest_is_kept(
    command: Command, answers: pd.DataFrame, tmp_path: Path
) -> None:
    base = files(answers, baselines={"people": {"use": "canned", "replies": "r.csv"}}, max_error_share=0.5)
    assert command(RUN + "--until split", {**base, "r.csv": "prompt,response\n"})[0] == 0
    held = pd.read_csv(tmp_path / "run" / "split" / "answers.csv").query("split != 'train'")["prompt"].unique()
    replies = "".join(f'"{prompt}",reply {i}\n' for prompt in held for i in range(4))
    some = "prompt,response\n" + "".join(replies.splitlines(keepends=True)[:3])
    code, _, error = command(RUN + "--until generate/people", {"r.csv": some})
    assert code == 6
    assert "5 of 8 samples of people failed, more than max_error_share 0.5" in error
    assert len(pd.read_csv(tmp_path / "run" / "generate" / ".people.partial" / "samples.csv")) == 8
    assert command(RUN + "--until generate/people --set generate.max_error_share=0.7")[0] == 0


def test_a_baseline_has_a_name_and_may_have_a_grid_of_its_own(command: Command, answers: pd.DataFrame) -> None:
    for name in ("DPO", "base", "a/b"):
        assert command(RUN, files(answers, baselines={name: "paid:Paid"}))[0] == 2
    own = {"one": {"use": "openai", "model": "gpt-4o", "grid": [{"temperature": 0.7, "samples": 4}]}}
    recipe = {**RECIPE, "generate": {"grid": [{"top_k": 50}], "baselines": own}, "study": {"seeds": [1, 2]}}
    steps = {step.name: step for step in plan(Recipe.model_validate(recipe))}
    assert [name for name in steps if "one" in name] == ["generate/one", "evaluate/one"]  # once, for both seeds
    assert steps["generate/one"].settings["generate"]["grid"] == [
        {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "samples": 4}
    ]


def test_engine_caps_and_baselines_are_in_no_key_of_a_trained_model(answers: pd.DataFrame) -> None:
    generate = {"engine": "ray", "workers": 9, "max_cost": 1, "max_tokens": 2, "prices": "p.yaml", "max_error_share": 1}
    other = {**RECIPE, "generate": {"grid": [{"samples": 4}], "max_new_tokens": 8, **generate}}
    other["score"] = {**RECIPE["score"], "engine": "ray", "worker_gpus": 0.5}
    steps = {step.name: step.settings for step in plan(Recipe.model_validate(other))}
    for step in plan(Recipe.model_validate(RECIPE)):
        if step.name in steps and step.name != "report":
            assert steps[step.name] == step.settings, step.name


def test_the_runs_own_models_are_drawn_from_by_the_generator_of_the_recipe() -> None:
    def settings(generator: Any) -> dict[str, Any]:
        recipe = {**RECIPE, "generate": {"grid": [{"samples": 4}], "generator": generator}}
        return {step.name: step.settings for step in plan(Recipe.model_validate(recipe))}["generate/DPO"]  # type: ignore[return-value]

    assert settings("hf") == settings({"use": "hf", "tokens_per_batch": 9})
    assert settings("vllm") == settings({"use": "vllm", "gpus": 2}) != settings("hf")
    with pytest.raises(InputError, match="openai draws from a service's models"):
        settings({"use": "openai", "model": "gpt-4o"})


@pytest.mark.slow
def test_a_baseline_is_a_model_of_the_report(command: Command, answers: pd.DataFrame, tmp_path: Path) -> None:
    baselines = {"people": {"use": "canned", "replies": "replies.csv"}, "one": {"use": "paid:Paid"}}
    replies = [(prompt, f"an answer of five words {i}") for prompt in answers["item"].unique() for i in range(4)]
    recipe = files(answers, baselines=baselines, max_new_tokens=60)
    assert command(RUN + "--until split", {**recipe, "replies.csv": "prompt,response\n"})[0] == 0
    asked = pd.read_csv(tmp_path / "run" / "split" / "answers.csv").query("split != 'train'")["prompt"].unique()
    table = pd.DataFrame(
        [(prompt, text) for prompt in asked for _, text in replies[:4]], columns=["prompt", "response"]
    )  # type: ignore[arg-type]
    assert command(RUN, {"replies.csv": table.to_csv(index=False)})[0] == 0
    estimates = pd.read_csv(tmp_path / "run" / "report" / "estimates.csv").set_index(["model", "split"])
    assert estimates.loc[("people", "all"), "value"] == 6.0
    assert set(estimates.index.get_level_values("model")) == {"base", "SFT", "DPO", "people", "one"}
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "an answer of five words" in page
    assert "gpt-4o says" in page
    assert next(iter((tmp_path / "run" / "paid").iterdir())).name.startswith("one-")  # canned replies cost nothing
    assert not (tmp_path / "run" / "generate" / "one" / "records.jsonl").exists()
