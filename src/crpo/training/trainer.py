"""What SFT and CrPO training share: batches of groups, one forest each, and a loss per item over the whole step."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, Trainer

from crpo.answers import Answers
from crpo.chat import Chat
from crpo.errors import InputError
from crpo.forest import (
    Forest,
    attention_of,
    call_through,
    causal_model,
    choose_attention,
    hidden_size,
    plant,
    response_logps,
)
from crpo.policy import warn_of_half_precision
from crpo.processes import all_values, from_first, is_first_process
from crpo.progress import say
from crpo.training.checkpoints import WholeCheckpoints
from crpo.training.config import ForestArguments
from crpo.training.rows import Item
from crpo.training.sharing import SPARE, Groups, check_processes, epoch_sampler, show_sampler


class ForestTrainer(WholeCheckpoints, Trainer, ABC):
    """What SFT and CrPO share: batches of groups, one forest each, and a loss per item over the whole step."""

    # The loss is divided by the items of the whole step, so Trainer must not divide by the accumulation steps again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel,
        args: ForestArguments,
        answers: Answers,
        groups: Groups,
        chat: Chat,
        **kwargs: Any,
    ) -> None:
        answers.check_lengths(args.tokens_per_row)
        if kwargs.get("eval_dataset") is not None:
            raise InputError("an evaluation data set is not supported yet", "Leave eval_dataset out.")
        self.answers, self.chat = answers, chat
        self.sums: dict[str, torch.Tensor] = {}
        check_processes(args)
        self.attention, self.hidden_size = attention_of(causal_model(model)), hidden_size(model)
        self.layout, self.layout_difference, self.row_multiple = from_first(
            choose_attention(model, answers.examples(), args.layout, args.tokens_per_row)
        )
        if self.layout != args.layout and is_first_process():
            say(f"  layout {args.layout} disagrees with this model; {self.layout} is used")
        warn_of_half_precision(model)
        args.remove_unused_columns = False
        super().__init__(
            model=model, args=args, data_collator=self._collate, train_dataset=groups,
            processing_class=chat.tokenizer, **kwargs,
        )  # fmt: skip

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; arguments as `WholeCheckpoints.train`. The model computes attention as before when it is done."""
        try:
            return super().train(*args, **kwargs)
        finally:
            causal: Any = causal_model(self.accelerator.unwrap_model(self.model))
            if attention_of(causal) != self.attention:
                causal.set_attn_implementation(self.attention)

    def _collate(self, items: list[Item]) -> Item:
        counted = [item for item in items if SPARE not in item]
        items = counted or items[:1]
        trees, order = self.answers.trees(itertools.chain.from_iterable(item["answers"] for item in items))
        forest = plant(
            trees, layout=self.layout, tokens_per_row=self.args.tokens_per_row, multiple=self.row_multiple,  # type: ignore[attr-defined]
            hidden_size=self.hidden_size,
        )  # fmt: skip
        place = {number: i for i, number in enumerate(order)}
        return {"forest": forest.tensors(), SPARE: not counted, **self._batch(items, place)}

    @abstractmethod
    def _batch(self, items: list[Item], place: dict[int, int]) -> Item:
        """Return what the loss of a batch needs besides its forest; `place` is each answer's number in the forest."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        groups: Any = self.train_dataset if train_dataset is None else train_dataset
        return epoch_sampler(groups, self.args, self.accelerator.num_processes)

    def get_train_dataloader(self) -> DataLoader:
        """Return the loader of this process's share of the groups."""
        loader = super().get_train_dataloader()
        if self.accelerator.num_processes > 1:
            show_sampler(loader)
        return loader

    def get_batch_samples(
        self, epoch_iterator: Iterable[Item], num_batches: int, device: torch.device
    ) -> tuple[list[Item], torch.Tensor]:
        """Return this process's micro-batches of a step, and what the loss's sum is divided by.

        That is the number of items (pairs, or tokens) of the whole step, of all its micro-batches in all processes,
        divided by the number of processes: DDP, FSDP and ZeRO average the gradients of the processes, which must be
        summed up, because their groups are unequal.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        sizes = [batch["size"].to(device, torch.float32) for batch in batches if not batch[SPARE]]
        total = torch.stack([torch.zeros((), device=device), *sizes]).sum()
        processes = self.accelerator.num_processes
        return batches, total if processes == 1 else self.accelerator.reduce(total, "sum") / processes  # type: ignore[operator]

    def training_step(self, model: nn.Module, inputs: Item, num_items_in_batch: torch.Tensor | None = None) -> Any:
        """Take a micro-batch's gradients; a spare one takes part, as all processes must, and counts nothing."""
        if not inputs.get(SPARE):
            return super().training_step(model, inputs, num_items_in_batch)
        sums = dict(self.sums)
        loss = super().training_step(model, inputs, torch.full_like(num_items_in_batch, torch.inf))  # type: ignore[arg-type]
        self.sums = sums
        return loss

    def _logps(self, model: nn.Module, inputs: Item) -> tuple[torch.Tensor, torch.Tensor]:
        inner = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():
            return call_through(model, inner, lambda forest: response_logps(inner, Forest(**forest)), inputs["forest"])

    def _note(self, **sums: torch.Tensor) -> None:
        # Sums stay on the device until they are logged: reading a number back waits for the device.
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=value.device)) + value.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the sums since the last logging, as means per item."""
        if "loss" in logs:
            sums = self._all_sums()
            size = sums.pop("size", 0.0)
            logs.update({name: value / size for name, value in sums.items()})
            self.sums = {}
        super().log(logs, start_time)

    def _all_sums(self) -> dict[str, float]:
        if self.accelerator.num_processes == 1:
            return {name: float(value) for name, value in self.sums.items()}
        shares = all_values({name: float(value) for name, value in self.sums.items()})
        names = dict.fromkeys(itertools.chain.from_iterable(shares))
        return {name: sum(share.get(name, 0.0) for share in shares) for name in names}

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
