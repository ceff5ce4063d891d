"""A model handed on: weights that others load, a card that says what is known, and a push that can be repeated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from crpo.arms import arms_of
from crpo.plan import plan
from crpo.recipe import Recipe
from crpo.stages import model_export, model_facts
from crpo.stages.model_card import Stated, render_model_card
from crpo.stages.model_facts import find_model_folder, read_facts
from crpo.tables import read_table, write_table
from hub_server import Hub, hub_server


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model's adapters, which change what it says; its base lies beside."""
    from peft import LoraConfig, get_peft_model

    from conftest import make_tiny

    folder = tmp_path_factory.mktemp("adapters")
    model, chat = make_tiny()
    model.float().save_pretrained(folder / "base")
    chat.tokenizer.save_pretrained(folder / "base")
    model.name_or_path = str(folder / "base")
    carrying = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weight in carrying.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    carrying.save_pretrained(folder / "adapter")
    chat.tokenizer.save_pretrained(folder / "adapter")
    (folder / "adapter" / "watch.jsonl").write_text("{}\n")
    for name in ("optimizer.pt", "trainer_state.json", "manifest.json", "log_0.json"):
        (folder / "adapter" / name).write_text("not to be passed on")
    return folder / "adapter"


def header_of(card: Path) -> dict:
    return yaml.safe_load(card.read_text(encoding="utf-8").split("---")[1])


def logits(folder: Path, base: Path | None = None) -> torch.Tensor:
    """Return logits of a model that transformers, or PEFT where a base is given, loads by itself."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base or folder)
    model = model if base is None else PeftModel.from_pretrained(model, folder)
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(5, 45)[None]).logits


def test_a_merged_model_stands_alone_and_says_what_base_and_adapters_say(adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    facts = read_facts(adapter)
    files = model_export.export_model(facts, tmp_path / "out", Stated(), merge=True)
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {path.name for path in files}
    assert not any("adapter" in path.name for path in files)
    expected = logits(adapter, adapter.parent / "base")
    torch.testing.assert_close(logits(tmp_path / "out"), expected, rtol=0, atol=1e-5)
    assert (expected - logits(adapter.parent / "base")).abs().max() > 0.1
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
    assert header_of(tmp_path / "out" / "README.md")["library_name"] == "transformers"


def test_a_merged_model_keeps_the_numbers_type_of_its_base(adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    shutil.copytree(adapter.parent, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(adapter.parent / "base").bfloat16().save_pretrained(tmp_path / "half" / "base")
    path = tmp_path / "half" / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": str(tmp_path / "half" / "base")}))
    model_export.export_model(read_facts(path.parent), tmp_path / "out", Stated(), merge=True)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_adapters_are_exported_as_they_are_and_the_card_says_what_they_belong_to(adapter: Path, tmp_path: Path) -> None:
    files = model_export.export_model(read_facts(adapter), tmp_path / "out", Stated())
    names = {path.name for path in files}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not {"optimizer.pt", "watch.jsonl", "trainer_state.json", "manifest.json", "log_0.json"} & names
    assert torch.equal(logits(tmp_path / "out", adapter.parent / "base"), logits(adapter, adapter.parent / "base"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "adapters of a model in a folder of the machine they were trained on" in card
    assert str(adapter.parent) not in card
    assert "base_model" not in header_of(tmp_path / "out" / "README.md")
    model_export.export_model(read_facts(adapter), tmp_path / "out", Stated(base="me/sft", licence="MIT"))
    header = header_of(tmp_path / "out" / "README.md")
    assert (header["base_model"], header["base_model_relation"], header["library_name"]) == (
        "me/sft",
        "adapter",
        "peft",
    )
    assert header["license"] == "mit"
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == "me/sft"


def test_the_card_of_a_model_from_elsewhere_says_that_nothing_is_known(adapter: Path) -> None:
    card = render_model_card(read_facts(adapter), Stated(), merged=True)
    assert card.count("Not known: the model does not lie in a run folder") == 6
    assert "Where it comes from is not known here" in card
    assert "Simulated" not in card
    header = yaml.safe_load(card.split("---")[1])
    assert "license" not in header
    assert "model-index" not in header


@pytest.mark.parametrize("when", ["copying", "card", "merging"])
def test_an_export_that_is_interrupted_leaves_nothing_and_an_earlier_one_as_it_was(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    facts, merge = read_facts(adapter), when == "merging"

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if when == "copying":
            own, calls = shutil.copyfile, []
            patch.setattr(shutil, "copyfile", lambda *a: (calls.append(a), interrupt() if calls[2:] else own(*a)))
        else:
            name = {"card": "render_model_card", "merging": "write_whole"}[when]
            patch.setattr(model_export, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            model_export.export_model(facts, tmp_path / "out", Stated(), merge=merge)
        assert list(tmp_path.iterdir()) == []
    model_export.export_model(facts, tmp_path / "out", Stated(title="first"), merge=merge)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(model_export, "render_model_card", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model_export.export_model(facts, tmp_path / "out", Stated(title="second"), merge=merge)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / ".out.partial").mkdir()  # of one that was killed
    (tmp_path / ".out.partial" / "half").write_text("x")
    model_export.export_model(facts, tmp_path / "out", Stated(title="second"), merge=merge)
    assert "# second" in (tmp_path / "out" / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--model base --merge", "base has no adapters to merge. Leave --merge out"),
        ("--model nowhere", "nowhere holds no model. Name a folder with config.json, or RUN/ARM"),
        ("--model pickled", "pickled has no weights in safetensors"),
        ("t.csv --merge", "--merge and --base are for models"),
        ("t.csv --model base", "--model goes with --merge, --base, --title and --licence alone"),
        ("--model base --repo me/x", "--model goes with --merge, --base, --title and --licence alone"),
        ("--merge", "nothing to export. Name a table, or a model with --model FOLDER."),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_line_and_nothing_is_written(
    command: Any, adapter: Path, tmp_path: Path, arguments: str, said: str
) -> None:
    shutil.copytree(adapter.parent / "base", tmp_path / "base")
    files = {"t.csv": "prompt,chosen,rejected\na,b,c\n", "pickled/config.json": "{}", "pickled/pytorch_model.bin": "x"}
    code, out, error = command(f"export {arguments} -o out", files)
    assert (code, out) == (2, "")
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_not_replaced(command: Any, adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(adapter.parent / "base", tmp_path / "base")
    code, _, error = command("export --model base -o out", {"out/thesis.docx": "x", "out/README.md": "mine"})
    assert (code, "out is not empty (README.md, thesis.docx)" in error) == (2, True)
    code, _, error = command("export --model base -o base")
    assert (code, "base is the model itself" in error) == (2, True)
    shutil.copytree(adapter, tmp_path / "adapter")
    assert command("export --model base -o whole")[0] == 0
    assert command("export --model base -o whole")[0] == 0
    code, _, error = command("export --model adapter -o whole")
    assert (code, "whole holds an export of another form" in error) == (2, True)


def test_every_model_of_a_study_is_found_where_the_plan_makes_it() -> None:
    study = {"seeds": [1, 2], "lambdas": [1, 0.5], "policies": {"a": {"model": "tiny"}, "b": {"model": "me/model"}}}
    recipe = Recipe.model_validate({"name": "x", "data": {"ratings": "bundled"}, "study": study})
    made = {step.name for step in plan(recipe) if step.name.split("/")[0] in ("base", "sft", "train")}
    found = [model_facts._step_of(arm) for arm in arms_of(recipe)]
    assert set(filter(None, found)) == made
    assert found.count(None) == len([arm for arm in arms_of(recipe) if arm.variant == "base" and arm.policy == "b"])
    assert "train/b/CrPO-nov/lambda-0.5/seed-2" in found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small whole run on simulated ratings, with LoRA."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "r.yaml").write_text(
        "name: small\ndata: {ratings: bundled, heldout_tasks: [Instances], limit: 400}\npair: {max_per_prompt: 20}\n"
        "policy:\n  lora: {r: 2, alpha: 4}\n"
        "  tiny: {hidden_size: 64, layers: 1, heads: 2, vocabulary: 600, epochs: 12, tokens_per_step: 512}\n"
        "sft: {tokens_per_row: 256}\ntrain: {tokens_per_row: 256, watch: {every: 2, max_new_tokens: 4}}\n"
        "variants: {DPO: {}, CrPO-div: {diversity: 1, novelty: 0.5}}\n"
        "score: {signals: {diversity: diversity, novelty: novelty}}\n"
        "generate: {max_new_tokens: 60, grid: [{samples: 3, temperature: 0.7}]}\n"
        "evaluate: {metrics: {diversity: diversity, words: words}, outliers: {deviations: 5}}\n"
    )
    command = [sys.executable, "-m", "crpo.cli", "run", "r.yaml", "--out", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.slow
def test_the_card_of_a_run_holds_what_the_runs_tables_hold(run: Path, command: Any, tmp_path: Path) -> None:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    code, out, error = command(f"export --model {run}/CrPO-div -o out --merge --title Divergent --licence CC0-1.0")
    assert code == 0, error
    assert "note" not in out
    card = (tmp_path / "out" / "README.md").read_text()
    estimates = read_table(run / "report" / "estimates.csv", "estimates").query("split == 'all'")
    for row in estimates[estimates["model"].isin(["CrPO-div", "DPO"])].itertuples():
        assert f"{row.value:.3g}" in card
    pairs = read_table(run / "weigh" / "CrPO-div" / "pairs.csv", "pairs")
    for column, of in (("weight", "the weight"), ("diversity_chosen", "diversity of the chosen answer (λ = 1)")):
        values = pairs[column].astype(float).to_numpy()
        size = values.sum() ** 2 / (values**2).sum()
        assert f"| {of} | {np.mean(values == 0):.1%} | {size:,.0f} | {len(values):,} |" in card
    for step in ("split", "rate", "pair", "score", "weigh/CrPO-div"):
        for row in read_table(run / step / "account.csv", "account").itertuples():
            assert f"| {row.stage} | {row.what} |" in card
    assert "more than 5 scaled median absolute deviations" in card
    assert card.count("**Simulated data. No person wrote an answer") == 1
    assert "Languages it was trained on: English (" in card
    assert "One training seed" in card
    assert "max_per_prompt: 20" in card
    assert f"| torch | {torch.__version__} |" in card
    assert "Not known" not in card
    assert "not up to date" not in card
    header = header_of(tmp_path / "out" / "README.md")
    assert header["license"] == "cc0-1.0"
    assert header["tags"] == ["creativity", "crpo", "dpo", "simulated-data"]
    name, results = model_index_to_eval_results(header["model-index"])  # the hub's own reading
    assert name == "Divergent"
    own = estimates[estimates["model"] == "CrPO-div"].set_index("metric")["value"]
    assert {result.metric_type: result.metric_value for result in results} == pytest.approx(own.to_dict())
    assert (run / "train" / "CrPO-div" / "watch.jsonl").exists()


@pytest.mark.slow
def test_a_card_tells_of_warnings_and_of_a_run_that_has_changed(run: Path, command: Any, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    rows = [("CrPO-div", 4, "collapse", "the samples' diversity is 0.1, the reference's was 0.8")]
    write_table(pd.DataFrame(rows, columns=["model", "step", "kind", "message"]),
                tmp_path / "run" / "train" / "CrPO-div" / "warnings.csv")  # fmt: skip
    assert command("export --model run/train/CrPO-div -o adapter --base me/sft")[0] == 0
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "| 4 | collapse | the samples' diversity is 0.1, the reference's was 0.8 |" in card
    assert "While it was trained there were warnings: collapse." in card
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    content["recipe"]["train"]["beta"] = 0.7
    path.write_text(json.dumps(content))
    code, _, error = command("export --model run/CrPO-div -o changed")
    assert code == 0
    assert "not up to date" in error
    assert "The run folder is not up to date" in (tmp_path / "changed" / "README.md").read_text()
    content["recipe"]["train"]["beta"], content["recipe"]["evaluate"]["seed"] = 0.1, 7
    path.write_text(json.dumps(content))
    code, _, error = command("export --model run/CrPO-div -o early")
    assert "the run's report is of an earlier state, so the card holds no results" in error
    assert "no finished report" in (tmp_path / "early" / "README.md").read_text()
    code, _, error = command("export --model run/CrPO-dvi -o none")
    assert (code, 'Did you mean "CrPO-div"?' in error) == (2, True)
    assert command("export --model run/SFT -o sft")[0] == 0
    assert "no preference pair has touched it" in (tmp_path / "sft" / "README.md").read_text()
    assert find_model_folder(tmp_path / "run" / "base") == tmp_path / "run" / "base" / "model"


def pushed(hub: Hub, folder: Path, token: str | None, *words: str) -> subprocess.CompletedProcess:
    """Run `crpo push` in a process of its own, with the hub's address and this token in its environment."""
    own = {key: value for key, value in os.environ.items() if "OFFLINE" not in key and "TOKEN" not in key}
    environment = {**own, "HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder / "home")}
    environment |= {"HF_TOKEN": token} if token else {}
    command = [sys.executable, "-m", "crpo.cli", "push", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_a_push_uploads_the_whole_folder_and_can_be_repeated(adapter: Path, tmp_path: Path) -> None:
    model_export.export_model(read_facts(adapter), tmp_path / "out", Stated(base="me/sft"))
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / ".hidden").write_text("not to be passed on")
    with hub_server() as hub:
        none = pushed(hub, tmp_path, None, "out", "me/x")
        assert none.returncode == 2
        assert none.stderr.startswith("error: cannot push to me/x (there is no token in the environment). Set HF_TOKEN")
        assert hub.repositories == {}
        wrong = pushed(hub, tmp_path, "hf_wrong", "out", "me/x")
        assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (2, 1)
        assert "push it again with: crpo push out me/x" in wrong.stderr
        assert "hf_wrong" not in wrong.stderr
        hub.failures.append("/commit/")
        cut_short = pushed(hub, tmp_path, "hf_right", "out", "me/x")
        assert (cut_short.returncode, hub.commits) == (2, [])
        done = pushed(hub, tmp_path, "hf_right", "out", "me/x", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"pushed": f"{hub.address}/me/x"}
        assert hub.repositories == {"models/me/x": expected}
        assert hub.private == {"models/me/x": True}
        assert pushed(hub, tmp_path, "hf_right", "out", "me/x").returncode == 0
        assert hub.commits == ["Export by crpo"]  # nothing new, so no second one
    gone = pushed(hub, tmp_path, "hf_right", "out", "me/x")  # no network
    assert (gone.returncode, len(gone.stderr.strip().splitlines())) == (2, 1)
    assert gone.stderr.startswith("error: cannot push to me/x (")


def test_a_data_set_is_pushed_as_one_and_what_is_no_export_is_not(tmp_path: Path, command: Any) -> None:
    files = {"t.csv": "prompt,chosen,rejected\na,b,c\n", "nothing/x.txt": "x", "torn/config.json": "{}",
             "torn/README.md": "x"}  # fmt: skip
    assert command("export t.csv -o data --licence MIT", files)[0] == 0
    with hub_server() as hub:
        done = pushed(hub, tmp_path, "hf_right", "data", "me/pairs")
        assert done.returncode == 0, done.stderr
        assert set(hub.repositories["datasets/me/pairs"]) == {"README.md", "train.jsonl"}
    for folder, said in (("nothing", "nothing is no export: it has no README.md"), ("torn", "torn has no weights in")):
        code, _, error = command(f"push {folder} me/x")
        assert (code, said in error) == (2, True)
