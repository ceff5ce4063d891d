"""Training stages: a tiny base model where there is no hub, SFT, reference log-probs, and CrPO."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crpo.errors import needs_extra
from crpo.models import load_language_model, quiet
from crpo.processes import from_first, is_first_process, join_processes, process_count
from crpo.progress import say, track
from crpo.recipe.sections import OptimizerSection, PolicySection, SftSection, TrainSection
from crpo.stages.unfinished import checkpoints_of

if TYPE_CHECKING:
    from crpo.training import ForestTrainer


def train_base(section: PolicySection, answers: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Make the tiny base model: a tokenizer and a small Llama, trained on the training answers alone.

    Parameters
    ----------
    section : PolicySection
    answers : DataFrame
        prompt, response and, where there is one, split: only "train" rows are used.
    out : Path
        Folder the model is saved to.

    Returns
    -------
    DataFrame
        Training history: step, name, value.
    """
    require_training()
    from crpo.answers import encode_answers
    from crpo.tiny import tiny_llama
    from crpo.training import SftConfig, SftTrainer, save_model

    tiny = section.tiny
    if "split" in answers:
        answers = answers[answers["split"] == "train"]
    paragraphs = _paragraphs(tiny.text)
    texts = [*sorted(set(answers["prompt"])), *answers["response"], *paragraphs]
    model, chat = tiny_llama(
        texts, hidden_size=tiny.hidden_size, layers=tiny.layers, heads=tiny.heads, vocabulary=tiny.vocabulary,
        seed=section.seed,
    )  # fmt: skip
    say(f"  tiny policy: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters, "
        f"{len(chat.tokenizer):,} tokens")  # fmt: skip
    history = []
    corpora = [(tiny.text_epochs, _as_answers(chat, paragraphs))] if paragraphs else []
    corpora.append((tiny.epochs, encode_answers(chat, zip(answers["prompt"], answers["response"], strict=True))[0]))
    with checkpoints_of(out) as folder:
        for number, (epochs, corpus) in enumerate(corpora, 1):
            per_group = 32
            tokens = float(np.mean([len(response) for response in corpus.responses]))
            groups = max(1, round(tiny.tokens_per_step / (tokens * per_group)))
            optimizer = OptimizerSection(
                epochs=epochs, learning_rate=tiny.learning_rate, scheduler="cosine", warmup_ratio=0.05,
                weight_decay=0.01, tokens_per_row=256, seed=section.seed,
            )  # fmt: skip
            settings = _arguments(optimizer, section, folder / str(number), groups)
            if number < len(corpora):  # kept to its end: where the next one was killed, this one is not repeated
                settings |= {"save_strategy": "steps", "save_steps": 1_000_000_000}
            trainer = SftTrainer(model, SftConfig(**settings, responses_per_prompt=per_group), corpus, chat.tokenizer)
            history.append(_run(trainer, "base"))
        save_model(trainer, out)
    return pd.concat(history, ignore_index=True)


def train_sft(
    section: SftSection,
    policy: PolicySection,
    base: str,
    answers: pd.DataFrame,
    out: Path,
    *,
    watched: Iterable[str] | None = None,
    notes: Path | None = None,
) -> pd.DataFrame:
    """Fine-tune the base model on the best answers (columns prompt, response); history as in `train_base`.

    LoRA adapters are merged before saving, so that what follows starts from one model. `watched` and `notes` as in
    `train_crpo`.
    """
    require_training()
    from crpo.training import SftConfig, SftTrainer, save_model

    join_processes()
    tracking = _tracking(section, "SFT")
    model, chat = _policy(policy, base)
    groups = _groups(section.responses_per_step, section.responses_per_prompt, section)
    with checkpoints_of(out) as folder:
        settings = _arguments(section, policy, folder, groups) | tracking
        args = SftConfig(**settings, responses_per_prompt=section.responses_per_prompt)
        trainer = SftTrainer(model, args, answers[["prompt", "response"]], chat.tokenizer, _lora(policy))
        _observe(trainer, section, watched or answers["prompt"], notes or out, "SFT")
        history = _run(trainer, "SFT")
        save_model(trainer, out, None if policy.lora is None else _merged(trainer, policy, base))
    return history


def reference_logps(section: TrainSection, policy: PolicySection, sft: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """Score every distinct answer of the pairs once under the reference, the SFT model.

    Returns
    -------
    DataFrame
        response_id, logp (nats), tokens.
    """
    require_training()
    from crpo.answers import answer_logps, encode_answers
    from crpo.forest import agreeing_layout

    sides = [pairs[["prompt", side, f"{side}_id"]].set_axis(["prompt", "response", "response_id"], axis=1)
             for side in ("chosen", "rejected")]  # fmt: skip
    table = pd.concat(sides).drop_duplicates("response_id").sort_values("response_id").reset_index(drop=True)
    model, chat = _policy(policy, sft)
    answers, numbers = encode_answers(chat, zip(table["prompt"], table["response"], strict=True))
    layout, _ = agreeing_layout(model, answers.examples(), section.layout, section.tokens_per_row)
    with track("reference log-probs", len(answers.responses)) as advance:
        logps, counts = answer_logps(
            model, answers, layout=layout, tokens_per_row=section.tokens_per_row, progress=advance
        )
    return table[["response_id"]].assign(logp=logps[numbers], tokens=counts[numbers])


def with_reference(pairs: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with `ref_chosen_logps` and `ref_rejected_logps`, TRL's names for precomputed references."""
    logp = reference.set_index("response_id")["logp"]
    return pairs.assign(
        ref_chosen_logps=logp.reindex(pairs["chosen_id"]).to_numpy(),
        ref_rejected_logps=logp.reindex(pairs["rejected_id"]).to_numpy(),
    )


def train_crpo(
    section: TrainSection,
    policy: PolicySection,
    sft: str,
    pairs: pd.DataFrame,
    out: Path,
    name: str,
    *,
    watched: Iterable[str] | None = None,
    notes: Path | None = None,
) -> pd.DataFrame:
    """Train on weighted pairs: DPO, DDPO and CrPO differ in the weights alone.

    Parameters
    ----------
    section, policy
        Settings.
    sft : str
        The model to start from, which is the reference too.
    pairs : DataFrame
        Preferences: prompt, chosen, rejected, …
    out : Path
        Folder the model is saved to.
    name : str
        The model's name, for people.
    watched : iterable of str, optional
        Prompts to watch the training by (see `crpo.watching`); without any, those of the pairs.
    notes : Path, optional
        Folder for watch.jsonl, warnings.csv and TensorBoard's files; `out` where it is not given.

    Returns
    -------
    DataFrame
        Training history: step, name, value.
    """
    require_training()
    from crpo.training import CrPOConfig, CrPOTrainer, save_model

    join_processes()
    tracking = _tracking(section, name)
    model, chat = _policy(policy, sft)
    groups = _groups(section.pairs_per_step, section.pairs_per_prompt, section)
    with checkpoints_of(out) as folder:
        settings = _arguments(section, policy, folder, groups) | tracking
        args = CrPOConfig(
            **settings, beta=section.beta, loss_type=section.loss, label_smoothing=section.label_smoothing,
            pairs_per_prompt=section.pairs_per_prompt, per_token=section.per_token, simpo_gamma=section.simpo_gamma,
            margin_alpha=section.margin_alpha,
        )  # fmt: skip
        trainer = CrPOTrainer(model, args, pairs, chat.tokenizer, _lora(policy))
        say(f"  {len(pairs):,} pairs, groups of {section.pairs_per_prompt} pairs per prompt, layout {trainer.layout}")
        _observe(trainer, section, watched or pairs["prompt"], notes or out, name)
        history = _run(trainer, name)
        save_model(trainer, out)
    return history


def require_training() -> None:
    """Raise MissingExtraError when the libraries that training needs are not installed."""
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise needs_extra("training", "train") from error
    quiet()


def _policy(policy: PolicySection, name: str) -> tuple[Any, Any]:
    model, chat = load_language_model(
        name, revision=policy.revision if name == policy.model else None, dtype=policy.dtype,
        chat_template=policy.chat_template,
    )  # fmt: skip
    # A folder of adapters is loaded onto its base; what is trained next, and its reference, is the two together.
    return (model.merge_and_unload() if hasattr(model, "peft_config") else model), chat  # type: ignore[operator]


def _lora(policy: PolicySection) -> Any:
    if policy.lora is None:
        return None
    from peft import LoraConfig

    lora = policy.lora
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=int(lora.alpha),
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
    )


def _groups(per_step: int, per_group: int, section: OptimizerSection) -> int:
    """Return how many groups of one prompt a process reads at a time, for a step of that many rows in all."""
    return max(1, round(per_step / (per_group * section.accumulation * process_count())))


def _arguments(section: OptimizerSection, policy: PolicySection, folder: Path, groups: int) -> dict[str, Any]:
    import torch

    return {
        "output_dir": str(folder), "num_train_epochs": section.epochs, "learning_rate": section.learning_rate,
        "lr_scheduler_type": section.scheduler,
        "warmup_steps": min(section.warmup_ratio, 0.999),  # a number under 1 is a share of the steps
        "weight_decay": section.weight_decay, "max_grad_norm": section.max_grad_norm,
        "per_device_train_batch_size": groups, "gradient_accumulation_steps": section.accumulation,
        "gradient_checkpointing": section.gradient_checkpointing, "seed": section.seed, "layout": section.layout,
        "tokens_per_row": section.tokens_per_row, "chat_template": policy.chat_template, "save_strategy": "no",
        "checkpoint_minutes": section.checkpoint_minutes, "save_total_limit": 2,
        "report_to": [], "logging_steps": 10, "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": process_count() > 1 and not torch.cuda.is_available(),
    }  # fmt: skip


def _tracking(section: OptimizerSection, name: str) -> dict[str, Any]:
    from crpo.training.tracking import check_trackers

    check_trackers(section.report_to)
    return {"report_to": section.report_to, "run_name": name, "project": "crpo"}


def _observe(
    trainer: ForestTrainer, section: OptimizerSection, prompts: Iterable[str], folder: Path, name: str
) -> None:
    from crpo.training.tracking import keep_tensorboard_in
    from crpo.watching import Watch

    keep_tensorboard_in(trainer, folder / "tensorboard")
    if section.watch.every:
        trainer.add_callback(Watch(trainer, section.watch, prompts=prompts, folder=folder, name=name))


def _run(trainer: ForestTrainer, name: str) -> pd.DataFrame:
    from transformers import PrinterCallback, TrainerCallback

    trainer.remove_callback(PrinterCallback)
    folder = Path(str(trainer.args.output_dir))
    with ExitStack() as stack:

        class Advance(TrainerCallback):
            def on_train_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
                self.advance = stack.enter_context(track(f"training {name}", state.max_steps - state.global_step))

            def on_step_end(self, *_: Any, **__: Any) -> None:
                self.advance(1)

        trainer.add_callback(Advance())
        trainer.train(resume_from_checkpoint=from_first(is_first_process() and any(folder.iterdir())))
    return trainer.history()


def _merged(trainer: ForestTrainer, policy: PolicySection, base: str) -> Any:
    """Return the trained model with its adapters merged; of several processes, the first one's counts."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    from crpo.policy import with_adapters
    from crpo.training import whole_weights

    model: Any = trainer.model
    if process_count() > 1:  # what is dealt out to processes cannot be merged: start from the base again
        weights = whole_weights(trainer)
        unset_hf_deepspeed_config()  # else ZeRO-3 would deal out this one, too
        model = with_adapters(_policy(policy, base)[0], _lora(policy))
        if is_first_process():
            model.load_state_dict(weights)
    return model.merge_and_unload()


def _paragraphs(path: str | None) -> list[str]:
    if path is None:
        return []
    from crpo.errors import InputError

    if not Path(path).is_file():
        raise InputError(f"policy.tiny.text: {path} does not exist", "Check the path, or leave it out.")
    return [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def _as_answers(chat: Any, paragraphs: list[str], longest: int = 120) -> Any:
    """Return plain text as answers to an empty prompt, cut into pieces of at most `longest` tokens."""
    from crpo.answers import Answers

    ids = [chat.tokenizer(text, add_special_tokens=False)["input_ids"] for text in paragraphs]
    pieces = [own[at : at + longest] for own in ids for at in range(0, len(own), longest)]
    return Answers([[chat.tokenizer.bos_token_id]], pieces, np.zeros(len(pieces), int))
