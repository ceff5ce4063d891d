"""Training against hand-made cases, and against itself; against TRL in test_trl."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from crpo.answers import answer_logps
from crpo.errors import InputError
from crpo.recipe.sections import PolicySection, SftSection, TrainSection
from crpo.stages.train import train_crpo, train_sft
from crpo.training import CrPOConfig, CrPOTrainer, SftConfig, SftTrainer


def config(folder: Path, kind: type = CrPOConfig, **changes: Any) -> Any:
    settings = {
        "output_dir": str(folder), "report_to": [], "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1,
        "learning_rate": 1e-3, "num_train_epochs": 1, "per_device_train_batch_size": 2, "tokens_per_row": 64,
        "dataloader_pin_memory": False, "use_cpu": True,
    }  # fmt: skip
    return kind(**{**settings, **changes})


def first_batch(trainer: Any) -> dict:
    return next(iter(trainer.get_train_dataloader()))


def test_the_first_step_has_loss_ln_2_times_the_mean_weight(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    model, chat = tiny()
    trainer = CrPOTrainer(model, config(tmp_path, per_device_train_batch_size=99), preferences, chat.tokenizer)
    weights = [row["weight"] for row in preferences]
    assert trainer.compute_loss(model, first_batch(trainer)).item() == pytest.approx(
        math.log(2) * sum(weights) / len(weights), abs=1e-6
    )
    unweighted = [{k: v for k, v in row.items() if k != "weight"} for row in preferences]
    trainer = CrPOTrainer(model, config(tmp_path, per_device_train_batch_size=99), unweighted, chat.tokenizer)
    assert trainer.compute_loss(model, first_batch(trainer)).item() == pytest.approx(math.log(2), abs=1e-6)


def test_zero_weights_leave_the_model_unchanged(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    model, chat = tiny()
    before = copy.deepcopy(model.state_dict())
    rows = [{**row, "weight": 0.0} for row in preferences]
    trainer = CrPOTrainer(model, config(tmp_path, num_train_epochs=3), rows, chat.tokenizer)
    trainer.train()
    assert trainer.state.global_step >= 6
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def trained(tiny: Any, rows: Any, folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    model, chat = tiny()
    CrPOTrainer(model, config(folder, **changes), rows, chat.tokenizer).train()
    return model.state_dict()


def test_weights_change_the_model(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    weighted = trained(tiny, preferences, tmp_path)
    plain = trained(tiny, [{**row, "weight": 1.0} for row in preferences], tmp_path)
    assert any(not torch.allclose(weighted[name], plain[name]) for name in plain)


@pytest.mark.parametrize("pairs_per_prompt", [1, 3])
def test_accumulation_over_four_steps_of_one_equals_one_step_of_four(  # 3 of 4 pairs a prompt: unequal groups
    tiny: Any,
    preferences: list[dict],
    tmp_path: Path,
    pairs_per_prompt: int,
) -> None:
    settings = {"pairs_per_prompt": pairs_per_prompt, "max_steps": 3, "optim": "sgd", "max_grad_norm": 1e9}
    one = trained(tiny, preferences, tmp_path, per_device_train_batch_size=4, **settings)
    four = trained(
        tiny, preferences, tmp_path, per_device_train_batch_size=1, gradient_accumulation_steps=4, **settings
    )
    start = tiny()[0].state_dict()
    for name in one:
        assert torch.allclose(one[name], four[name], rtol=0, atol=1e-9), name
    assert any(not torch.allclose(one[name], start[name], atol=1e-6) for name in one)


def test_the_stages_count_accumulation_into_the_size_of_a_step(
    tiny: Any, preferences: list[dict], tmp_path: Path
) -> None:
    model, chat = tiny()
    model.save_pretrained(tmp_path / "start")
    chat.tokenizer.save_pretrained(tmp_path / "start")
    start, policy = str(tmp_path / "start"), PolicySection(model=str(tmp_path / "start"), dtype="float64")
    pairs = pd.DataFrame([{**row, "prompt": row["prompt"][0]["content"], "chosen": row["chosen"][0]["content"],
                           "rejected": row["rejected"][0]["content"]} for row in preferences])  # fmt: skip
    answers = pairs[["prompt", "chosen"]].set_axis(["prompt", "response"], axis=1).drop_duplicates()
    common = {"epochs": 1, "tokens_per_row": 64, "watch": {"every": 0}}
    for accumulation in (1, 2, 4):
        own = {**common, "accumulation": accumulation}
        sft = SftSection(**own, responses_per_step=4, responses_per_prompt=1)
        crpo = TrainSection(**own, pairs_per_step=4, pairs_per_prompt=1)
        histories = (
            train_sft(sft, policy, start, answers, tmp_path / f"sft{accumulation}"),
            train_crpo(crpo, policy, start, pairs, tmp_path / f"crpo{accumulation}", "test"),
        )
        steps = [int(history.loc[history["name"] == "train_loss", "step"].iloc[0]) for history in histories]
        assert steps == [-(-len(answers) // 4), len(pairs) // 4]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_layout_does_not_change_the_trained_model(
    tiny: Any, preferences: list[dict], tmp_path: Path, layout: str
) -> None:
    tree = trained(tiny, preferences, tmp_path, max_steps=2)
    other = trained(tiny, preferences, tmp_path, max_steps=2, layout=layout)
    assert all(torch.allclose(tree[name], other[name], atol=1e-6) for name in tree)


def test_the_same_seed_gives_the_same_model(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    first, second = (trained(tiny, preferences, tmp_path) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_orders_the_pairs(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    model, chat = tiny()
    trainer = CrPOTrainer(model, config(tmp_path, num_train_epochs=30), pd.DataFrame(preferences), chat.tokenizer)
    trainer.train()
    history = trainer.history().pivot(index="step", columns="name", values="value")
    assert history["accuracy"].iloc[-1] == 1.0
    assert history["loss_unweighted"].iloc[-1] < math.log(2) / 2


def test_lora_trains_adapters_alone_and_the_reference_is_the_model_under_them(
    tiny: Any, preferences: list[dict], tmp_path: Path
) -> None:
    from peft import LoraConfig

    model, chat = tiny()
    before = copy.deepcopy(model.state_dict())
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
    trainer = CrPOTrainer(
        model, config(tmp_path, num_train_epochs=5, learning_rate=1e-2), preferences, chat.tokenizer, lora
    )
    trainer.train()
    reference, _ = answer_logps(trainer.model, trainer.answers, tokens_per_row=64, reference=True)
    policy, _ = answer_logps(trainer.model, trainer.answers, tokens_per_row=64)
    assert trainer.pairs["ref_chosen"].tolist() == pytest.approx(reference[trainer.pairs["chosen"]].tolist(), abs=1e-9)
    assert abs(policy - reference).max() > 0.1
    after = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): value
        for name, value in trainer.model.state_dict().items()
    }
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_new_adapters_depend_on_the_seed_alone(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    from peft import LoraConfig

    starts = []
    for seed in (1, 1, 2):
        model, chat = tiny()
        torch.rand(len(starts) + 1)  # whatever was drawn before must not matter
        lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
        trainer = CrPOTrainer(model, config(tmp_path, seed=seed), preferences, chat.tokenizer, lora)
        starts.append({n: p.clone() for n, p in trainer.model.named_parameters() if "lora_A" in n})
    assert starts[0]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert any(not torch.equal(starts[0][name], starts[2][name]) for name in starts[0])


def test_a_model_that_carries_adapters_already_is_refused(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model, chat = tiny()
    carrying = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    with pytest.raises(InputError, match="merge_and_unload"):
        CrPOTrainer(carrying, config(tmp_path), preferences, chat.tokenizer)


def test_an_answer_given_twice_counts_twice_in_sft(tiny: Any, tmp_path: Path) -> None:
    rows = [{"prompt": "a brick", "completion": text} for text in ("a door stop", "a door stop", "a wall of paint")]
    model, chat = tiny()
    trainer = SftTrainer(model, config(tmp_path, SftConfig, per_device_train_batch_size=9), rows, chat.tokenizer)
    found = trainer.compute_loss(model, first_batch(trainer))
    sums, lengths = answer_logps(model, trainer.answers, tokens_per_row=64)
    expected = -(2 * sums[0] + sums[1]) / (2 * lengths[0] + lengths[1])
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_sft_raises_the_log_prob_of_its_answers(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    model, chat = tiny()
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in preferences]
    trainer = SftTrainer(model, config(tmp_path, SftConfig, num_train_epochs=20), rows, chat.tokenizer)
    trainer.train()
    losses = trainer.history().query("name == 'loss'")["value"]
    assert losses.iloc[-1] < losses.iloc[0] - 1


def test_reference_log_probs_in_the_data_set_are_used(tiny: Any, preferences: list[dict], tmp_path: Path) -> None:
    model, chat = tiny()
    rows = [{**row, "ref_chosen_logps": -1.0, "ref_rejected_logps": -2.0} for row in preferences]
    trainer = CrPOTrainer(model, config(tmp_path), rows, chat.tokenizer)
    assert set(trainer.pairs["ref_chosen"]) == {-1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": float("nan")}, "pair 1: weight nan"),
        ({"weight": -1}, "pair 1: weight -1"),
        ({"rejected": "same", "chosen": "same"}, "pair 1: chosen and rejected are the same"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named_before_training(
    tiny: Any, preferences: list[dict], tmp_path: Path, change: dict, message: str
) -> None:
    model, chat = tiny()
    rows = [preferences[0], {**preferences[1], **change}]
    with pytest.raises(InputError, match=message):
        CrPOTrainer(model, config(tmp_path), rows, chat.tokenizer)


def test_a_loss_that_is_not_finite_stops_at_once_naming_the_pairs(
    tiny: Any, preferences: list[dict], tmp_path: Path
) -> None:
    model, chat = tiny()
    rows = [{**row, "ref_chosen_logps": float("inf"), "ref_rejected_logps": 0.0} for row in preferences]
    with pytest.raises(InputError, match="not finite at step 0, pairs"):
        CrPOTrainer(model, config(tmp_path), rows, chat.tokenizer).train()
