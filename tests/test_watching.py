"""Watching a training: it changes nothing, is noted once, and warns when and only when it should."""

from __future__ import annotations

import json
import math
import random
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import GenerationConfig

from checkpoint_trainings import STEPS, build, weights_hash
from crpo import Watch, WatchSection
from crpo.errors import MissingExtraError
from crpo.tables import read_table
from crpo.training import CrPOConfig, CrPOTrainer, SftConfig, SftTrainer
from crpo.watching import alarms, callback
from crpo.watching.measures import measured
from crpo.watching.undisturbed import undisturbed

SETTINGS = WatchSection(every=6, prompts=3, samples=4, max_new_tokens=6, embedder=None)


def watched(folder: Path, settings: WatchSection = SETTINGS, **order: Any) -> Any:
    trainer = build(folder, **order)
    trainer.add_callback(Watch(trainer, settings, folder=folder / "notes", name="CrPO-nov"))
    return trainer


def samples_in(folder: Path) -> pd.DataFrame:
    return pd.DataFrame([json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()])


def random_states() -> list[Any]:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize("kind", ["crpo", "sft", "lora"])  # the latter two draw random numbers for dropout
def test_a_watched_training_ends_bit_by_bit_as_an_unwatched_one(tmp_path: Path, kind: str) -> None:
    ends = []
    for embedder in ("no watching", None, "minilm"):
        folder, settings = tmp_path / str(embedder), SETTINGS.model_copy(update={"embedder": embedder})
        trainer = build(folder, kind=kind, max_steps=12, logging_steps=1)
        if embedder != "no watching":
            trainer.add_callback(Watch(trainer, settings))
        trainer.train()
        history = trainer.history()
        names, ours = set(history["name"]), history["name"].str.startswith(("watch_", "warning_"))
        assert ("watch_distinct_2" in names) == (embedder != "no watching")
        assert ("watch_diversity" in names) == (embedder == "minilm")
        modes = [module.training for module in trainer.model.modules()]
        ends.append((weights_hash(trainer.model), random_states(), modes, history[~ours].to_csv(index=False)))
    assert ends[0] == ends[1] == ends[2]


def test_a_model_that_is_lent_comes_back_as_it_was(tiny: Any) -> None:
    model = tiny()[0].train()
    model.model.layers[0].eval()
    model.generation_config.temperature = 0.5
    modes, states, settings = [m.training for m in model.modules()], random_states(), model.generation_config
    with undisturbed(model, "eager"):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        assert model.config._attn_implementation == "eager"
        model.generation_config = GenerationConfig()
        random.random(), np.random.random(), torch.rand(1)
        assert random_states()[0] != states[0]
    assert [m.training for m in model.modules()] == modes
    assert random_states() == states
    assert model.generation_config is settings
    assert model.config._attn_implementation == "sdpa"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("kind", ["crpo", "sft"])
def test_a_training_that_is_continued_notes_no_step_twice(tmp_path: Path, kind: str) -> None:
    settings = SETTINGS.model_copy(update={"every": 4})
    whole = watched(tmp_path / "whole", settings, kind=kind)
    whole.train()
    expected = samples_in(tmp_path / "whole" / "notes")
    assert sorted(set(expected["step"])) == [*range(0, STEPS, 4), STEPS]
    for stop in (8, 12):  # after a measurement without a checkpoint, and with one; checkpoints come every 3 steps
        folder = tmp_path / str(stop)
        stopped = watched(folder, settings, kind=kind)

        class Killed(Exception):
            pass

        def die(step: int = stop, trainer: Any = stopped) -> None:
            if trainer.state.global_step == step:
                raise Killed

        own = stopped.training_step
        stopped.training_step = lambda *given, own=own, die=die: (die(), own(*given))[1]
        with pytest.raises(Killed):
            stopped.train()
        again = watched(folder, settings, kind=kind)
        again.train(resume_from_checkpoint=True)
        assert again.resumed_step == stop // 3 * 3
        assert weights_hash(again.model) == weights_hash(whole.model)
        assert again.history().to_csv() == whole.history().to_csv()
        pd.testing.assert_frame_equal(samples_in(folder / "notes"), expected)
        assert (folder / "notes" / "warnings.csv").exists() == (tmp_path / "whole/notes/warnings.csv").exists()


def test_the_first_samples_are_the_references_and_the_same_requests_are_drawn_at_every_step(tmp_path: Path) -> None:
    trainer = watched(tmp_path, max_steps=6, learning_rate=0.0)
    trainer.train()
    table = samples_in(tmp_path / "notes")
    first, last = (table[table["step"] == step].drop(columns="step").reset_index(drop=True) for step in (0, 6))
    pd.testing.assert_frame_equal(first, last)  # nothing was learned
    assert len(first) == 3 * 4
    history = trainer.history().query("name == 'watch_changed'")
    assert history[["step", "value"]].to_numpy().tolist() == [[6, 0.0]]


COMMON = {
    "report_to": [], "save_strategy": "no", "disable_tqdm": True, "tokens_per_row": 64, "use_cpu": True,
    "per_device_train_batch_size": 2, "dataloader_pin_memory": False, "logging_steps": 5,
}  # fmt: skip
OBJECTS = ("brick", "rope", "shoe", "cup", "hat", "box")
ANSWERS = ("hold a door open", "a paperweight", "grind it into red paint", "a step for a hamster", "build a wall")


def fine_tuned(tiny: Any, folder: Path) -> Any:
    """Return a tiny model that gives each of five answers, and its chat."""
    model, chat = tiny()
    rows = [{"prompt": f"name a use for a {thing}", "completion": use} for thing in OBJECTS for use in ANSWERS]
    args = SftConfig(**COMMON, output_dir=str(folder), num_train_epochs=80, learning_rate=5e-3, responses_per_prompt=5)
    SftTrainer(model.float(), args, rows, chat.tokenizer).train()
    return model, chat


def train_watched(trainer: Any) -> pd.DataFrame:
    settings = WatchSection(every=10, prompts=6, samples=6, max_new_tokens=12)
    trainer.add_callback(Watch(trainer, settings, name="tiny"))
    trainer.train()
    return trainer.history()


def test_a_model_that_learns_to_say_one_thing_is_told_of_once(
    tmp_path: Path, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model, chat = fine_tuned(tiny, tmp_path)
    rows = [{"prompt": f"name a use for a {thing}", "completion": ANSWERS[0]} for thing in OBJECTS]
    args = SftConfig(**COMMON, output_dir=str(tmp_path), num_train_epochs=10, learning_rate=3e-3)
    history = train_watched(SftTrainer(model, args, rows, chat.tokenizer))
    samples = samples_in(tmp_path)
    assert samples.query("step == 0")["response"].nunique() >= 5
    assert (samples.query("step == step.max()")["response"] == ANSWERS[0]).mean() > 0.8
    table = read_table(tmp_path / "warnings.csv", "warnings")
    assert table[["model", "step", "kind"]].to_numpy().tolist() == [["tiny", 20, "collapse"]]
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(said) == 1
    assert said[0].startswith("  warning: tiny, step 20, collapse: the samples' diversity is ")
    assert history.query("name == 'warning_collapse'")["step"].tolist() == [20]
    assert history["step"].max() == 30


@pytest.mark.slow
def test_a_sound_training_is_not_warned_of(tmp_path: Path, tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model, chat = fine_tuned(tiny, tmp_path)
    pairs = [{"prompt": f"name a use for a {thing}", "chosen": ANSWERS[0], "rejected": use}
             for thing in OBJECTS for use in ANSWERS[1:]]  # fmt: skip
    args = CrPOConfig(**COMMON, output_dir=str(tmp_path), num_train_epochs=8, learning_rate=1e-4)
    history = train_watched(CrPOTrainer(model, args, pairs, chat.tokenizer)).query("name == 'accuracy'")["value"]
    assert history.iloc[-1] > 0.8  # it does learn
    assert not (tmp_path / "warnings.csv").exists()
    assert "warning" not in capsys.readouterr().err


def foreign_pairs(folder: Path, tiny: Any, learning_rate: float, **changes: Any) -> Path:
    """Train on answers that the model would never give, each told from the other by its first token."""
    model, chat = tiny()
    rows = [{"prompt": f"name a use for {thing}", "chosen": f"paint it {thing}", "rejected": f"a wall {thing}"}
            for thing in ("a brick", "a rope", "a shoe", "red paint", "a door")]  # fmt: skip
    args = CrPOConfig(
        output_dir=str(folder), report_to=[], save_strategy="no", disable_tqdm=True, tokens_per_row=64, use_cpu=True,
        dataloader_pin_memory=False, per_device_train_batch_size=5, learning_rate=learning_rate, logging_steps=1,
        lr_scheduler_type="constant", **{"max_steps": 40, **changes},
    )  # fmt: skip
    trainer = CrPOTrainer(model, args, rows, chat.tokenizer)
    settings = WatchSection(every=10, prompts=5, samples=4, max_new_tokens=6, embedder=None)
    trainer.add_callback(Watch(trainer, settings, name="foreign"))
    trainer.train()
    return folder / "warnings.csv"


def test_pairs_told_apart_at_once_by_a_model_that_stays_as_it_is_are_told_of(tmp_path: Path, tiny: Any) -> None:
    found = read_table(foreign_pairs(tmp_path / "still", tiny, 1e-6), "warnings")
    assert found[["step", "kind"]].to_numpy().tolist() == [[10, "off-policy"]]
    assert found["message"][0].startswith("reward accuracy was 1.00 within the first 5% of the steps, but 100% of the")
    assert not foreign_pairs(tmp_path / "moving", tiny, 3e-3).exists()
    assert not foreign_pairs(tmp_path / "short", tiny, 1e-6, max_steps=19).exists()
    assert not foreign_pairs(tmp_path / "simpo", tiny, 1e-6, loss_type="simpo", beta=2.0).exists()


def entry(step: int, **numbers: float) -> dict[str, float]:
    return {"step": step, **{name if name.startswith("loss") else f"watch_{name}": v for name, v in numbers.items()}}


@pytest.mark.parametrize(
    ("start", "now", "said"),
    [
        ({"diversity": 0.8}, {"diversity": 0.41}, None),
        ({"diversity": 0.8}, {"diversity": 0.39}, "diversity is 0.39, the reference's was 0.8"),
        ({"diversity": 0.8, "distinct_2": 0.9}, {"distinct_2": 0.5}, None),  # embeddings failed meanwhile
        ({"diversity": 0.8, "distinct_2": 0.9}, {"distinct_2": 0.4}, "distinct pairs of words is 0.4"),
        ({"distinct_1": 0.9}, {"distinct_1": 0.4}, "distinct words is 0.4"),
        ({"diversity": 0.8, "answered": 1}, {"answered": 0}, "diversity is nothing to measure"),
        ({"diversity": 0.8, "answered": 1}, {"diversity": 0.8, "answered": 0.4}, "share that is not empty is 0.4"),
        ({"diversity": 0.0}, {"diversity": 0.0}, None),
    ],
)
def test_a_collapse_is_less_than_half_of_the_references_diversity(start: dict, now: dict, said: str | None) -> None:
    log = [entry(0, **{"answered": 1.0, **start}), entry(10, **{"answered": 1.0, **now})]
    found = alarms.collapse(log)
    assert (found is None) == (said is None)
    assert said is None or said in str(found)
    assert alarms.collapse(log[1:]) is None  # no reference


@pytest.mark.parametrize(
    ("accuracy", "later", "warns"),
    [
        (0.96, entry(30, changed=0.1, answered=1), True),
        (0.94, entry(30, changed=0.1, answered=1), False),
        (0.96, entry(30, changed=0.11, answered=1), False),
        (0.96, entry(24, changed=0.0, answered=1), False),  # too early to tell
        (0.96, entry(30, loss_unweighted=0.05 * math.log(2)), True),
        (0.96, entry(30, loss_unweighted=0.06 * math.log(2)), False),
    ],
)
def test_off_policy_is_accuracy_at_once_and_nothing_learned_after_a_quarter(
    accuracy: float, later: dict, warns: bool
) -> None:
    log = [entry(0, answered=1.0), entry(5, early_accuracy=accuracy), later]
    assert (alarms.off_policy(log, 100, math.log(2)) is not None) == warns
    assert alarms.off_policy(log[1:] if "loss_unweighted" in later else [log[0], later], 100, None) is None


def test_samples_are_measured_by_prompt() -> None:
    texts = {"a": ["red paint", "red paint", "a wall", ""], "b": ["one two", "two one", "one", "three four five"]}
    rows = [{"prompt_id": p, "prompt": p, "sample": i, "response": text, "status": "ok" if text else "empty"}
            for p, own in texts.items() for i, text in enumerate(own)]  # fmt: skip
    samples = pd.DataFrame(rows)
    samples.loc[7, "status"] = "truncated"  # counts here
    before = samples.assign(response=[*samples["response"][:6], "another", "answer"])
    found = measured(samples, None, before)
    assert found["watch_distinct_1"] == pytest.approx((4 / 6 + 5 / 8) / 2)
    assert found["watch_distinct_2"] == pytest.approx((2 / 3 + 4 / 4) / 2)
    assert found["watch_unique"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["watch_words"] == pytest.approx((2 + 2) / 2)
    assert (found["watch_answered"], found["watch_cut_off"], found["watch_changed"]) == (7 / 8, 1 / 8, 2 / 8)
    same = samples[samples["prompt_id"] == "a"].assign(response="red paint", status="ok")
    assert measured(same, "minilm", None)["watch_diversity"] == pytest.approx(0, abs=1e-6)
    assert measured(samples.assign(status="empty", response=""), "minilm", None) == {
        "watch_answered": 0, "watch_cut_off": 0,
    }  # fmt: skip


def test_an_error_while_drawing_ends_the_watching_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory\nand more")

    build(tmp_path / "alone", max_steps=12).train()
    monkeypatch.setattr(callback, "draw_watched", fail)
    trainer = watched(tmp_path, max_steps=12)
    trainer.train()
    assert trainer.state.global_step == 12
    assert capsys.readouterr().err.count("watching draws no samples: OutOfMemoryError: CUDA out of memory\n") == 1
    assert trainer.model.training


def test_an_embedder_out_of_reach_is_told_and_the_rest_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = watched(tmp_path, SETTINGS.model_copy(update={"embedder": "./nowhere"}), max_steps=6)
    trainer.train()
    assert capsys.readouterr().err.count("watching goes on without embeddings: model folder ./nowhere does not") == 1
    names = trainer.history()["name"].tolist()
    assert names.count("watch_distinct_2") == 2
    assert "watch_diversity" not in names


def test_a_model_in_pieces_is_watched_by_its_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = watched(tmp_path, max_steps=20)
    trainer.model.lm_head.weight.ds_id = 1  # as under ZeRO-3
    trainer.train()
    assert "dealt out to the processes, so no samples are drawn" in capsys.readouterr().err
    names = set(trainer.history()["name"])
    assert "watch_early_accuracy" in names
    assert "watch_distinct_1" not in names


def test_a_second_training_begins_new_notes(tmp_path: Path) -> None:
    trainer = watched(tmp_path, max_steps=6)
    trainer.train()
    trainer.train()
    assert samples_in(tmp_path / "notes").groupby("step").size().to_dict() == {0: 12, 6: 12}


def test_no_watching_writes_nothing(tmp_path: Path) -> None:
    watched(tmp_path, SETTINGS.model_copy(update={"every": 0}), max_steps=3).train()
    assert not (tmp_path / "notes").exists()


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Return what TensorBoard's files in a folder hold, with steps that a continuation took back left out."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found: list[tuple[str, int, float]] = []
    for path in sorted(folder.glob("events.*"), key=lambda path: path.name):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            if event.session_log.status == 1:  # START: TensorBoard forgets from here on
                found = [row for row in found if row[1] < event.step]
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value
                      if value.WhichOneof("value") == "simple_value"]  # fmt: skip
    return found


def test_tensorboard_gets_every_number_once_also_of_a_training_that_is_continued(tmp_path: Path) -> None:
    from crpo.training.tracking import keep_tensorboard_in

    for resume in (False, True):
        trainer = watched(tmp_path, report_to=["tensorboard"], logging_steps=2, max_steps=12)
        keep_tensorboard_in(trainer, tmp_path / "tensorboard")
        if not resume:
            own = trainer.training_step

            def until_10(*given: Any, own: Any = own, trainer: Any = trainer) -> Any:
                if trainer.state.global_step == 11:
                    raise RuntimeError("killed")
                return own(*given)

            trainer.training_step = until_10
            with pytest.raises(RuntimeError, match="killed"):
                trainer.train()
            next(each for each in trainer.callback_handler.callbacks if hasattr(each, "tb_writer")).tb_writer.close()
            time.sleep(1.1)  # the second is in the name of TensorBoard's file
        else:
            trainer.train(resume_from_checkpoint=True)
    found = scalars(tmp_path / "tensorboard")
    history = trainer.history()
    for name in ("watch_distinct_2", "watch_words", "accuracy", "margin"):
        own = history[history["name"] == name]
        rows = sorted((step, value) for tag, step, value in found if tag == f"train/{name}")
        assert [step for step, _ in rows] == own["step"].tolist()
        assert [value for _, value in rows] == pytest.approx(own["value"].tolist(), rel=1e-6)


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_loaded(command: Any) -> None:
    files = {"pairs.csv": "prompt,chosen,rejected\na,b,c\n", "m/config.json": "{}"}
    code, _, error = command("train pairs.csv --model m -o out --set report_to=[wandb]", files)
    assert code == MissingExtraError.exit_code
    assert error.strip() == "error: report_to: wandb is not installed. Install it with: pip install wandb."


def test_the_command_writes_the_notes_beside_the_history(command: Any, tiny: Any, tmp_path: Path) -> None:
    model, chat = tiny()
    model.float().save_pretrained(tmp_path / "m")
    chat.tokenizer.save_pretrained(tmp_path / "m")
    rows = "".join(f"a {thing},paint it {thing},a wall {thing}\n" for thing in OBJECTS)
    settings = "--set watch.embedder=null --set watch.max_new_tokens=4 --set report_to=[tensorboard]"
    code, _, error = command(f"train p.csv --model m -o out {settings}", {"p.csv": f"prompt,chosen,rejected\n{rows}"})
    assert code == 0, error
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"history.csv", "watch.jsonl", "tensorboard", "model.safetensors"} <= names
    assert "crpo-checkpoints" not in names
    assert set(samples_in(tmp_path / "out")["prompt"]) <= {f"a {thing}" for thing in OBJECTS}
    history = read_table(tmp_path / "out" / "history.csv", "history")
    tags = {tag for tag, _, _ in scalars(tmp_path / "out" / "tensorboard")}
    assert {f"train/{name}" for name in history["name"] if name != "train_loss"} <= tags
