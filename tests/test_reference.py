"""Reference log-probs: computed once, found again, and never found where anything has changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from crpo.answers import Answers, answer_logps
from crpo.chat import Chat
from crpo.losses import WITHOUT_REFERENCE
from crpo.plan import plan
from crpo.recipe import Recipe
from crpo.recipe.sections import TrainSection
from crpo.tiny import tiny_tokenizer
from crpo.training import CrPOConfig, CrPOTrainer
from crpo.training.reference import answer_key, reference_logps
from reference_passes import PROMPTS, TEXTS, encoded, scored


def with_lora(model: Any, seed: int = 0, **changes: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False, **changes}
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))


def test_the_same_again_takes_no_forward_pass_and_gives_the_same_numbers(tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny()
    first, passes = scored(model, encoded(chat), tmp_path)
    assert passes > 0
    again, passes = scored(tiny()[0], encoded(chat), tmp_path)  # another object, the same weights
    assert passes == 0
    assert again.tolist() == first.tolist()
    plain, _ = answer_logps(model, encoded(chat), tokens_per_row=64)
    assert first == pytest.approx(plain, abs=1e-10)


def test_without_a_folder_nothing_is_written(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, chat = tiny()
    assert all(scored(model, encoded(chat), None)[1] > 0 for _ in range(2))
    assert list(tmp_path.iterdir()) == []


def one_weight(model: Any, chat: Chat) -> tuple[Any, Answers]:
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] += 1e-9
    return model, encoded(chat)


def configuration(model: Any, chat: Chat) -> tuple[Any, Answers]:
    model.config.rms_norm_eps = 1e-3
    return model, encoded(chat)


def buffer(model: Any, chat: Chat) -> tuple[Any, Answers]:
    model.model.rotary_emb.inv_freq.data[1] *= 1.01
    return model, encoded(chat)


def tokenizer(model: Any, chat: Chat) -> tuple[Any, Answers]:
    return model, encoded(Chat(tiny_tokenizer([*PROMPTS, *TEXTS], 120)))


def chat_template(model: Any, chat: Chat) -> tuple[Any, Answers]:
    other = copy.deepcopy(chat.tokenizer)
    other.chat_template = "name " + str(other.chat_template)
    return model, encoded(Chat(other))


def plain_template(model: Any, chat: Chat) -> tuple[Any, Answers]:
    return model, encoded(Chat(chat.tokenizer, "plain"))


def text(model: Any, chat: Chat) -> tuple[Any, Answers]:
    return model, encoded(chat, ["hold a door ope", *TEXTS[1:]])


def length(model: Any, chat: Chat) -> tuple[Any, Answers]:
    answers = encoded(chat)
    return model, Answers(answers.prompts, [r[:-1] for r in answers.responses], answers.prompt_of)


def dtype(model: Any, chat: Chat) -> tuple[Any, Answers]:
    return model.float(), encoded(chat)


def end_of_prompt(model: Any, chat: Chat) -> tuple[Any, Answers]:
    answers = encoded(chat)  # the same tokens in all, one more of them asked for
    responses = [[answers.prompts[p][-1], *r] for p, r in zip(answers.prompt_of, answers.responses, strict=True)]
    return model, Answers([p[:-1] for p in answers.prompts], responses, answers.prompt_of)


@pytest.mark.parametrize(
    "change",
    [one_weight, configuration, buffer, tokenizer, chat_template, plain_template, text, length, dtype, end_of_prompt],
)
def test_a_change_is_scored_anew(tiny: Any, tmp_path: Path, change: Callable) -> None:
    scored(*_model_and_answers(tiny), tmp_path)
    model, answers = change(*tiny())
    found, passes = scored(model, answers, tmp_path)
    assert passes > 0
    assert found == pytest.approx(answer_logps(model, answers, tokens_per_row=64)[0], abs=1e-9)
    assert scored(model, answers, tmp_path)[1] == 0


def _model_and_answers(tiny: Any) -> tuple[Any, Answers]:
    model, chat = tiny()
    return model, encoded(chat)


def test_adapters_that_are_off_do_not_count_and_those_that_are_on_do(tiny: Any, tmp_path: Path) -> None:
    answers = encoded(tiny()[1])
    off, passes = scored(with_lora(tiny()[0]), answers, tmp_path)
    assert passes > 0
    assert scored(with_lora(tiny()[0], seed=1), answers, tmp_path)[1] == 0  # another adapter, the same model under it
    on, passes = scored(with_lora(tiny()[0]), answers, tmp_path, adapters=True)
    assert passes > 0
    assert abs(on - off).min() > 1e-3
    assert scored(with_lora(tiny()[0]), answers, tmp_path, adapters=True)[1] == 0
    for changed in (
        with_lora(tiny()[0], seed=1),
        with_lora(tiny()[0], lora_alpha=9),
        with_lora(tiny()[0], use_rslora=True),
    ):
        found, passes = scored(changed, answers, tmp_path, adapters=True)
        assert passes > 0
        assert abs(found - on).min() > 1e-6
    changed = with_lora(one_weight(*tiny())[0])
    assert scored(changed, answers, tmp_path)[1] > 0


def test_a_merged_adapter_does_not_pass_for_the_model_under_it(tiny: Any, tmp_path: Path) -> None:
    answers = encoded(tiny()[1])
    off, _ = scored(with_lora(tiny()[0]), answers, tmp_path)
    merged = with_lora(tiny()[0])
    merged.merge_adapter()
    found, _ = scored(merged, answers, tmp_path)
    assert found == pytest.approx(off, abs=1e-9)
    # Its weights, made into a model of their own with an adapter of its own, switched off.
    whole = with_lora(with_lora(tiny()[0]).merge_and_unload(), seed=1)
    found, _ = scored(whole, answers, tmp_path)
    assert found == pytest.approx(answer_logps(whole, answers, tokens_per_row=64, reference=True)[0], abs=1e-9)
    assert abs(found - off).min() > 1e-3


def test_under_autocast_is_another_number_and_equals_the_policys(tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny()
    model.float()
    exact, _ = scored(model, encoded(chat), tmp_path)
    rough, passes = scored(model, encoded(chat), tmp_path, autocast=torch.bfloat16)
    assert passes > 0
    assert abs(rough - exact).max() > 1e-4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rough == pytest.approx(answer_logps(model, encoded(chat), tokens_per_row=64)[0], abs=1e-6)


def test_only_answers_that_are_new_are_scored(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crpo.training import reference

    model, chat = tiny()
    first, _ = scored(model, encoded(chat), tmp_path)
    seen: list[int] = []

    def counting(model: Any, answers: Answers, **settings: Any) -> Any:
        seen.append(len(answers.responses))
        return answer_logps(model, answers, **settings)

    monkeypatch.setattr(reference, "answer_logps", counting)
    more, _ = scored(model, encoded(chat, ["build a wall", *TEXTS]), tmp_path)
    assert seen == [2]  # one for each prompt
    assert more[[1, 2, 3, 5, 6, 7]].tolist() == first.tolist()
    assert scored(model, encoded(chat, ["build a wall", *TEXTS]), tmp_path)[1] == 0


def test_an_answer_too_long_for_a_row_is_no_less_an_error_than_without_a_cache(tiny: Any, tmp_path: Path) -> None:
    from crpo.errors import InputError

    model, chat = tiny()
    with pytest.raises(InputError, match="longer than tokens_per_row"):
        reference_logps(model, encoded(chat), tokens_per_row=8, cache=tmp_path)


def test_numbers_that_are_not_finite_are_not_kept(tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny()
    model.model.norm.weight.data[:] = float("nan")
    assert np.isnan(scored(model, encoded(chat), tmp_path)[0]).all()
    assert list(tmp_path.glob("*/*.npz")) == []


def test_the_key_of_an_answer_knows_where_the_prompt_ends() -> None:
    assert answer_key([1, 2], [3]) != answer_key([1], [2, 3])
    assert answer_key([1, 2], [3]) == answer_key((1, 2), np.array([3]))  # type: ignore[arg-type]


def trainer_of(tiny: Any, rows: list[dict], folder: Path, lora: Any = None, **changes: Any) -> CrPOTrainer:
    model, chat = tiny()
    settings = {"output_dir": str(folder), "report_to": [], "tokens_per_row": 64, "use_cpu": True, **changes}
    return CrPOTrainer(model, CrPOConfig(**settings), rows, chat.tokenizer, lora)


def test_the_trainer_uses_the_cache_whatever_the_seed_of_its_adapters(
    tiny: Any, preferences: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig

    from crpo.training import reference

    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    cache = str(tmp_path / "cache")
    first = trainer_of(tiny, preferences, tmp_path, lora, reference_cache=cache, seed=1)
    monkeypatch.setattr(reference, "answer_logps", None)  # a second pass would fail
    second = trainer_of(tiny, preferences, tmp_path, lora, reference_cache=cache, seed=2, loss_type="hinge")
    columns = ["ref_chosen", "ref_rejected"]
    assert first.pairs[columns].to_numpy().tolist() == second.pairs[columns].to_numpy().tolist()
    assert len(first.pairs[columns].to_numpy().ravel()) == 24
    with pytest.raises(TypeError):
        trainer_of(tiny, preferences, tmp_path, reference_cache=str(tmp_path / "other"))


def other_model(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    return one_weight(*tiny())[0], tiny()[1].tokenizer, rows


def merged_adapter(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    return with_lora(tiny()[0]).merge_and_unload(), tiny()[1].tokenizer, rows


def other_tokenizer(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    return tiny()[0], tiny_tokenizer([*PROMPTS, *TEXTS], 120), rows


def other_template(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    tokenizer = copy.deepcopy(tiny()[1].tokenizer)
    tokenizer.chat_template = "name " + str(tokenizer.chat_template)
    return tiny()[0], tokenizer, rows


def other_prompt(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    prompt = [{"role": "user", "content": "name a use for it"}]
    return tiny()[0], tiny()[1].tokenizer, [{**rows[0], "prompt": prompt}, *rows[1:]]


def longer_answer(tiny: Any, rows: list[dict]) -> tuple[Any, Any, list[dict]]:
    turn = [{**rows[0]["chosen"][0], "content": rows[0]["chosen"][0]["content"] + " and more"}]
    return tiny()[0], tiny()[1].tokenizer, [{**rows[0], "chosen": turn}, *rows[1:]]


@pytest.mark.parametrize(
    "change", [other_model, merged_adapter, other_tokenizer, other_template, other_prompt, longer_answer]
)
def test_a_training_never_takes_a_stale_reference(
    tiny: Any, preferences: list[dict], tmp_path: Path, change: Callable
) -> None:
    def reference(model: Any, tokenizer: Any, rows: list[dict], cache: Path) -> np.ndarray:
        settings = {"output_dir": str(tmp_path), "report_to": [], "tokens_per_row": 64, "use_cpu": True}
        trainer = CrPOTrainer(model, CrPOConfig(**settings, reference_cache=str(cache)), rows, tokenizer)
        return trainer.pairs[["ref_chosen", "ref_rejected"]].to_numpy()

    before = reference(tiny()[0], tiny()[1].tokenizer, preferences, tmp_path / "cache")
    found = reference(*change(tiny, preferences), tmp_path / "cache")
    assert found == pytest.approx(reference(*change(tiny, preferences), tmp_path / "none"), abs=1e-12)
    assert abs(found - before).max() > 1e-12


def test_reference_columns_that_some_rows_lack_are_filled(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    rows = [{**row, "ref_chosen_logps": None, "ref_rejected_logps": -2.0} for row in preferences]
    rows[0]["ref_chosen_logps"] = -1.0
    filled = trainer_of(tiny, rows, tmp_path).pairs
    computed = trainer_of(tiny, preferences, tmp_path).pairs
    assert filled["ref_rejected"].tolist() == [-2.0] * 12
    assert filled["ref_chosen"].tolist() == pytest.approx([-1.0, *computed["ref_chosen"][1:]])


@pytest.mark.parametrize("loss", get_args(TrainSection.model_fields["loss"].annotation))
def test_a_run_has_a_reference_step_where_the_loss_has_a_reference(loss: str) -> None:
    settings = {"data": {"ratings": "bundled"}, "train": {"loss": loss}, "score": {"over": "all"}}
    steps = plan(Recipe.model_validate({"name": "test", **settings}))
    with_reference = loss not in WITHOUT_REFERENCE
    assert ("reference" in [step.name for step in steps]) == with_reference
    trainings = [step for step in steps if step.name.startswith("train/")]
    assert trainings
    assert all(("reference" in step.needs) == with_reference for step in trainings)


def test_a_run_with_simpo_trains_without_reference_log_probs(
    tiny: Any, preferences: list[dict], tmp_path: Path
) -> None:
    model, chat = tiny()
    for part in (model, chat.tokenizer):
        part.save_pretrained(tmp_path / "sft" / "model")
    texts = [{name: row[name][0]["content"] for name in ("prompt", "chosen", "rejected")} for row in preferences]
    pairs = pd.DataFrame(texts).assign(weight=[row["weight"] for row in preferences], pair_id=range(12))
    ids = {f"{side}_id": pairs["prompt"] + pairs[side] for side in ("chosen", "rejected")}
    pairs = pairs.assign(prompt_id=pairs["prompt"], score_chosen=40.0, score_rejected=20.0, **ids)
    (tmp_path / "weigh").mkdir()
    pairs.to_csv(tmp_path / "weigh" / "pairs.csv", index=False)
    settings = {"loss": "simpo", "beta": 2.0, "epochs": 1, "tokens_per_row": 64}
    recipe = {"name": "test", "data": {"ratings": "bundled"}, "variants": {"DPO": {}}, "train": settings}
    (step,) = [step for step in plan(Recipe.model_validate(recipe)) if step.name == "train/DPO"]
    step.work(tmp_path / "out", {name: tmp_path / name.split("/")[0] for name in ("weigh/DPO", "sft", "prompts")})
    history = pd.read_csv(tmp_path / "out" / "history.csv").set_index("name")["value"]
    assert 0 < history["train_loss"] < 10
    assert set(step.needs) == {"weigh/DPO", "sft", "prompts"}
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").state_dict()
    assert any(not torch.equal(trained[name], weight.float()) for name, weight in model.state_dict().items())


def test_simpo_makes_no_reference_pass(
    tiny: Any, preferences: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crpo.training import reference

    monkeypatch.setattr(reference, "answer_logps", None)
    trainer = trainer_of(tiny, preferences, tmp_path, loss_type="simpo", beta=2.0)
    assert trainer.pairs["ref_chosen"].tolist() == [0.0] * 12


def test_in_mixed_precision_the_policy_starts_equal_to_its_reference(
    tiny: Any, preferences: list[dict], tmp_path: Path
) -> None:
    model, chat = tiny()
    settings = {"output_dir": str(tmp_path), "report_to": [], "tokens_per_row": 64, "use_cpu": True, "bf16": True}
    args = CrPOConfig(**settings, per_device_train_batch_size=99, beta=1.0)
    trainer = CrPOTrainer(model.float(), args, preferences, chat.tokenizer)
    _, outputs = trainer.compute_loss(model, next(iter(trainer.get_train_dataloader())), return_outputs=True)
    exact, _ = reference_logps(model, trainer.answers, tokens_per_row=64)
    assert abs(exact[trainer.pairs["chosen"]] - trainer.pairs["ref_chosen"]).max() > 1e-3  # it is another precision
    assert outputs["margin"].abs().max() < 1e-3
