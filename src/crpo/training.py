"""SFT and CrPO training on `transformers.Trainer`, both on the forest kernel."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments, set_seed

from crpo.answers import Answers, answer_logps, encode_answers
from crpo.chat import Chat
from crpo.errors import InputError
from crpo.forest import Forest, agreeing_layout, plant, response_logps
from crpo.losses import pair_loss
from crpo.pairs import deal_pairs
from crpo.policy import warn_of_half_precision, with_adapters, without_dropout

Item = dict[str, Any]


@dataclass
class ForestArguments(TrainingArguments):
    """Training arguments that both trainers share.

    `per_device_train_batch_size` counts groups: answers or pairs of one prompt that are encoded together.
    """

    layout: str = field(default="tree", metadata={"help": "tree, packed or padded; see crpo.forest"})
    tokens_per_row: int = field(default=1024, metadata={"help": "Row budget; no answer with its prompt may exceed it"})
    chat_template: str = field(default="own", metadata={"help": "own or plain; see crpo.chat"})


@dataclass
class SftConfig(ForestArguments):
    """Arguments of `SftTrainer`."""

    responses_per_prompt: int = field(default=8, metadata={"help": "Most answers of one prompt in a group"})


@dataclass
class CrPOConfig(ForestArguments):
    """Arguments of `CrPOTrainer`; `beta`, `loss_type` and `label_smoothing` are named as in TRL's DPOConfig."""

    beta: float = field(default=0.1, metadata={"help": "Strength of the pull to the reference"})
    loss_type: str = field(default="dpo", metadata={"help": "dpo, ipo or hinge"})
    label_smoothing: float = field(default=0.0, metadata={"help": "Assumed share of flipped preferences"})
    pairs_per_prompt: int = field(default=8, metadata={"help": "Most pairs of one prompt in a group; 1 is plain SGD"})


class Groups(Dataset):
    """Items of a training set; an item is a group of one prompt, so stock samplers, sharding and resuming work."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


class ForestTrainer(Trainer, ABC):
    """What SFT and CrPO share: batches of groups, one forest each, and a loss per item over the whole step."""

    # The loss is divided by the items of the whole step, so Trainer must not divide by the accumulation steps again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel,
        args: ForestArguments,
        answers: Answers,
        items: list[Item],
        chat: Chat,
        **kwargs: Any,
    ) -> None:
        answers.check_lengths(args.tokens_per_row)
        if kwargs.get("eval_dataset") is not None:
            raise InputError("an evaluation data set is not supported yet", "Leave eval_dataset out.")
        self.answers = answers
        self.sums: dict[str, torch.Tensor] = {}
        self.layout, self.layout_difference = agreeing_layout(
            model, answers.examples(), args.layout, args.tokens_per_row
        )
        warn_of_half_precision(model)
        args.remove_unused_columns = False
        super().__init__(
            model=model, args=args, data_collator=self._collate, train_dataset=Groups(items),
            processing_class=chat.tokenizer, **kwargs,
        )  # fmt: skip
        if self.accelerator.num_processes > 1 or self.args.n_gpu > 1:
            raise InputError("this version trains in one process on one device", "Set CUDA_VISIBLE_DEVICES=0.")

    def _collate(self, items: list[Item]) -> Item:
        trees, order = self.answers.trees(itertools.chain.from_iterable(item["answers"] for item in items))
        forest = plant(trees, layout=self.layout, tokens_per_row=self.args.tokens_per_row)  # type: ignore[attr-defined]
        place = {number: i for i, number in enumerate(order)}
        return {"forest": forest.tensors(), **self._batch(items, place)}

    @abstractmethod
    def _batch(self, items: list[Item], place: dict[int, int]) -> Item:
        """Return what the loss of a batch needs besides its forest; `place` is each answer's number in the forest."""

    def get_batch_samples(
        self, epoch_iterator: Iterable[Item], num_batches: int, device: torch.device
    ) -> tuple[list[Item], torch.Tensor]:
        """Return the micro-batches of a step and the number of items (pairs, or tokens) of the whole step."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        return batches, torch.tensor(sum(float(batch["size"]) for batch in batches), device=device)

    def _logps(self, model: nn.Module, inputs: Item) -> tuple[torch.Tensor, torch.Tensor]:
        with self.accelerator.autocast():
            return response_logps(self.accelerator.unwrap_model(model), Forest(**inputs["forest"]))

    def _note(self, **sums: torch.Tensor) -> None:
        # Sums stay on the device until they are logged: reading a number back waits for the device.
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=value.device)) + value.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the sums since the last logging, as means per item."""
        if self.sums and "loss" in logs:
            size = float(self.sums.pop("size"))
            logs.update({name: float(value) / size for name, value in self.sums.items()})
            self.sums = {}
        super().log(logs, start_time)

    def history(self) -> pd.DataFrame:
        """Return the logged numbers, without clock times, as a long table: step, name, value."""
        skip = {"step", "epoch", "total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
        rows = [
            {"step": entry["step"], "name": name, "value": float(value)}
            for entry in self.state.log_history
            for name, value in entry.items()
            if name not in skip
        ]
        return pd.DataFrame(rows, columns=["step", "name", "value"])  # type: ignore[arg-type]


class SftTrainer(ForestTrainer):
    """Supervised fine-tuning: a prompt is encoded once for all its answers; the loss is the mean over answer tokens.

    Parameters
    ----------
    model : PreTrainedModel
    args : SftConfig
    train_dataset : rows or Answers
        Rows with `prompt` and `completion` (or `response`), plain or conversational.
    processing_class : PreTrainedTokenizerBase
    peft_config : PeftConfig, optional
        Trains adapters instead of every weight.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: SftConfig,
        train_dataset: Any,
        processing_class: PreTrainedTokenizerBase,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        chat = Chat(processing_class, args.chat_template)
        if isinstance(train_dataset, Answers):
            answers, self.repeats = train_dataset, np.ones(len(train_dataset.responses))
        else:
            rows = _rows(train_dataset)
            answers, numbers = encode_answers(
                chat, [(r["prompt"], r["completion" if "completion" in r else "response"]) for r in rows]
            )
            self.repeats = np.bincount(numbers).astype(float)  # an answer given twice is encoded once and counts twice
        items = _answer_groups(answers, args.responses_per_prompt, args.seed)
        set_seed(args.seed)  # new adapters start from random weights
        super().__init__(with_adapters(model, peft_config), args, answers, items, chat, **kwargs)

    def _batch(self, items: list[Item], place: dict[int, int]) -> Item:
        repeats = torch.tensor(self.repeats[list(place)], dtype=torch.float32)
        lengths = torch.tensor([len(self.answers.responses[n]) for n in place])
        return {"size": (repeats * lengths).sum(), "repeats": repeats}

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Item,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Return −Σ log p over the answers' tokens, divided by the tokens of the whole step."""
        logps, _ = self._logps(model, inputs)
        loss = -(inputs["repeats"] * logps).sum() / (
            num_items_in_batch if num_items_in_batch is not None else inputs["size"]
        )
        return (loss, {}) if return_outputs else loss


class CrPOTrainer(ForestTrainer):
    """CrPO, DDPO and DPO: preference training with a weight per pair, called as TRL's DPOTrainer is.

    Parameters
    ----------
    model : PreTrainedModel
        The policy, without adapters. As it is now, it is also the reference.
    args : CrPOConfig
    train_dataset : rows
        A TRL preference data set: `prompt`, `chosen`, `rejected`, plain or conversational. Optional columns:
        `weight` (≥ 0; 1 where missing) and `ref_chosen_logps`, `ref_rejected_logps` (nats; computed where missing).
    processing_class : PreTrainedTokenizerBase
    peft_config : PeftConfig, optional
        Trains adapters; the reference is the model with them switched off.

    Notes
    -----
    Differences from TRL's trainer: `per_device_train_batch_size` counts groups of at most `pairs_per_prompt` pairs;
    nothing is truncated; answers shared by pairs of a batch are encoded once. The gradient is that of the same pairs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: CrPOConfig,
        train_dataset: Any,
        processing_class: PreTrainedTokenizerBase,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        chat = Chat(processing_class, args.chat_template)
        rows = _rows(train_dataset)
        check_preferences(rows)
        prompts = [row["prompt"] for row in rows]
        turns = [(p, row[side]) for side in ("chosen", "rejected") for p, row in zip(prompts, rows, strict=True)]
        answers, numbers = encode_answers(chat, turns)
        chosen, rejected = np.split(numbers, 2)
        if (chosen == rejected).any():
            pair = int((chosen == rejected).argmax())
            raise InputError(f"pair {pair}: chosen and rejected have the same tokens", "Remove the pair.")
        set_seed(args.seed)  # new adapters start from random weights
        model = with_adapters(without_dropout(model), peft_config).to(args.device)
        self.pairs = pd.DataFrame({"chosen": chosen, "rejected": rejected})
        self.pairs["weight"] = [float(row.get("weight", 1.0)) for row in rows]
        self.pairs[["ref_chosen", "ref_rejected"]] = _reference(model, answers, chosen, rejected, rows, args)
        groups = deal_pairs(
            chosen,
            rejected,
            answers.prompt_of[chosen],
            per_group=args.pairs_per_prompt,
            seed=args.data_seed or args.seed,
        )
        items = [{"pairs": group, "answers": np.unique(np.r_[chosen[group], rejected[group]])} for group in groups]
        super().__init__(model, args, answers, items, chat, **kwargs)

    def _batch(self, items: list[Item], place: dict[int, int]) -> Item:
        pairs = self.pairs.iloc[np.concatenate([item["pairs"] for item in items])]
        dtype = torch.promote_types(next(self.model.parameters()).dtype, torch.float32)  # type: ignore[union-attr]
        return {
            "size": torch.tensor(len(pairs)),
            "pair": torch.tensor(pairs.index.to_numpy()),
            "chosen": torch.tensor([place[n] for n in pairs["chosen"]]),
            "rejected": torch.tensor([place[n] for n in pairs["rejected"]]),
            **{
                name: torch.tensor(pairs[name].to_numpy(), dtype=dtype)
                for name in ("weight", "ref_chosen", "ref_rejected")
            },
        }

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Item,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Return Σ w·ℓ over the pairs, divided by the pairs of the whole step.

        Raises
        ------
        InputError
            When the loss is not finite, naming the step and the rows of the data set.
        """
        logps, _ = self._logps(model, inputs)
        args: CrPOConfig = self.args  # type: ignore[assignment]
        found = pair_loss(
            logps[inputs["chosen"]], logps[inputs["rejected"]], inputs["ref_chosen"], inputs["ref_rejected"],
            inputs["weight"], loss=args.loss_type, beta=args.beta, label_smoothing=args.label_smoothing,
        )  # fmt: skip
        if not torch.isfinite(found.loss).all():
            bad = inputs["pair"][~torch.isfinite(found.loss)].tolist()
            raise InputError(f"the loss is not finite at step {self.state.global_step}, pairs {bad[:5]}",
                             "Use bfloat16 or float32 instead of float16, or a smaller learning rate.")  # fmt: skip
        self._note(
            size=inputs["size"].float(), loss_unweighted=found.unweighted.sum(), margin=found.margin.sum(),
            accuracy=(found.margin > 0).float().sum(),
        )  # fmt: skip
        loss = found.loss.sum() / (num_items_in_batch if num_items_in_batch is not None else inputs["size"])
        return (loss, {"margin": found.margin}) if return_outputs else loss


def check_preferences(rows: Sequence[Item]) -> None:
    """Raise InputError for the first row a trainer could not use: missing columns, equal answers, a bad weight."""
    if not rows:
        raise InputError("the preference data set is empty", "Give at least one pair.")
    for number, row in enumerate(rows):
        for column in ("prompt", "chosen", "rejected"):
            if column not in row:
                raise InputError(
                    f"pair {number} has no {column!r}", "Give prompt, chosen and rejected (TRL's explicit form)."
                )
        if row["chosen"] == row["rejected"]:
            raise InputError(f"pair {number}: chosen and rejected are the same", "Remove the pair.")
        weight = float(row.get("weight", 1.0))
        if not (np.isfinite(weight) and weight >= 0):
            raise InputError(
                f"pair {number}: weight {weight} is not a finite number ≥ 0", "Correct or remove the pair."
            )


def _reference(
    model: nn.Module, answers: Answers, chosen: np.ndarray, rejected: np.ndarray, rows: Sequence[Item], args: CrPOConfig
) -> np.ndarray:
    if all("ref_chosen_logps" in row and "ref_rejected_logps" in row for row in rows):
        return np.array([[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in rows], dtype=float)
    layout, _ = agreeing_layout(model, answers.examples(), args.layout, args.tokens_per_row)
    logps, _ = answer_logps(model, answers, layout=layout, tokens_per_row=args.tokens_per_row, reference=True)
    return np.c_[logps[chosen], logps[rejected]]


def _rows(dataset: Any) -> list[Item]:
    rows = dataset.to_dict("records") if isinstance(dataset, pd.DataFrame) else dataset
    return [{str(k): v for k, v in row.items()} for row in rows]


def _answer_groups(answers: Answers, per_group: int, seed: int) -> list[Item]:
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(answers.responses))
    order = order[np.argsort(answers.prompt_of[order], kind="stable")]
    starts = np.flatnonzero(np.diff(answers.prompt_of[order], prepend=-1))
    groups = [
        own[at : at + per_group]
        for own in np.split(order, starts[1:])
        for at in range(0, len(own), per_group)
    ]  # fmt: skip
    return [{"answers": group} for group in groups]
