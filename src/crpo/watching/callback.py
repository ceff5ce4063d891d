"""The callback that watches a training."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import TrainerCallback, TrainerState

from crpo.errors import CrpoError
from crpo.losses import WITHOUT_REFERENCE, pair_loss
from crpo.progress import say
from crpo.recipe.sections import WatchSection
from crpo.training import CrPOConfig, ForestTrainer
from crpo.training.trained import is_in_pieces
from crpo.watching import alarms
from crpo.watching.measures import measured
from crpo.watching.notes import Notes
from crpo.watching.sampling import draw_watched, watched_work
from crpo.watching.undisturbed import undisturbed

ADVICE = {
    "collapse": "Raise beta or lower the learning rate",
    "off-policy": "Fine-tune on the chosen answers first (SFT), or take pairs of answers the model could give",
}


class Watch(TrainerCallback):
    """Draws a few samples while a trainer trains, measures them, and warns of collapse and of learning nothing.

    `trainer.add_callback(Watch(trainer))` is all there is to do. Samples are drawn before the first step, every
    `settings.every` steps and after the last one. The numbers (`crpo.watching.measures`) enter the trainer's log, and
    with it its history, its checkpoints, and wherever `args.report_to` sends it; reward accuracy and margin stand there
    already. The texts are kept in `folder`/watch.jsonl, the warnings (`crpo.watching.alarms`) in `folder`/warnings.csv;
    each is told once, in one line.

    The training ends with the same weights as without it, bit for bit, and with the same random states: samples have
    random numbers of their own, and `undisturbed` puts back what a forward pass may change. A continued training goes
    on with the notes up to its checkpoint, so that no step is there twice.

    Of several processes the first one draws, and the others wait for it at their next step. Where the model is dealt
    out to the processes (FSDP, ZeRO-3) no samples can be drawn by one of them: that is said, and only the log is
    watched. An error while drawing is said and ends the watching, never the training.

    Parameters
    ----------
    trainer : ForestTrainer
        `CrPOTrainer` or `SftTrainer`.
    settings : WatchSection
        How often, how many; the defaults are those of a recipe.
    prompts : iterable of str, optional
        Prompts to choose from, best such as are not trained on; without, the training's own.
    folder : path, optional
        Where the notes are kept; by default the trainer's `output_dir`.
    name : str
        The model's name in the notes; by default the trainer's `run_name`, or the folder's.
    """

    def __init__(
        self,
        trainer: ForestTrainer,
        settings: WatchSection | None = None,
        *,
        prompts: Iterable[str] | None = None,
        folder: str | Path | None = None,
        name: str = "",
    ) -> None:
        self.trainer, self.settings = trainer, settings or WatchSection()
        self.prompts = None if prompts is None else list(prompts)
        place = Path(str(folder or trainer.args.output_dir))
        self.notes = Notes(place, name or str(trainer.args.run_name or place.name))
        self.embedder, self.stopped = self.settings.embedder, ""

    def on_train_begin(self, _: Any, state: TrainerState, *__: Any, **___: Any) -> None:
        """Take up the notes of a continued training, or draw the reference's samples."""
        if not (self.settings.every and state.is_world_process_zero):
            return
        self.notes.take_up(self.trainer.resumed_step)
        if is_in_pieces(self.trainer.model):  # type: ignore[arg-type]
            self._stop("the model is dealt out to the processes, so no samples are drawn")
        elif self.trainer.resumed_step == 0:
            self._measure(0)

    def on_step_end(self, _: Any, state: TrainerState, *__: Any, **___: Any) -> None:
        """Measure, where a measurement is due, and judge."""
        if not (self.settings.every and state.is_world_process_zero):
            return
        self._note_early_accuracy(state)
        if state.global_step % self.settings.every == 0 or state.global_step == state.max_steps:
            self._measure(state.global_step)
            for kind, message in alarms.raised(state.log_history, state.max_steps, self._loss_at_start()):
                self._warn(state.global_step, kind, message)

    def _measure(self, step: int) -> None:
        if self.stopped:
            return
        try:
            self._log(self._numbers(step))
        except Exception as error:  # out of memory, say: whatever it is, the training goes on
            self._stop(f"{type(error).__name__}: {error}".splitlines()[0][:200])

    def _numbers(self, step: int) -> dict[str, float]:
        trainer: Any = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        with undisturbed(model, trainer.attention):
            work = watched_work(trainer, self.settings, self.prompts)
            samples = draw_watched(model, trainer.chat.tokenizer, work, self.settings.max_new_tokens)
            before = self.notes.samples_of(0)
            numbers = self._measured(samples, before)
        self.notes.add_samples(step, samples)
        return numbers

    def _measured(self, samples: pd.DataFrame, before: pd.DataFrame | None) -> dict[str, float]:
        if self.embedder is not None:
            try:
                return measured(samples, self.embedder, before)
            except (CrpoError, OSError) as error:  # the hub is out of reach, say
                say(f"  watching goes on without embeddings: {error}")
                self.embedder = None
        return measured(samples, None, before)

    def _note_early_accuracy(self, state: TrainerState) -> None:
        sums, args = self.trainer.sums, self.trainer.args
        if not isinstance(args, CrPOConfig) or args.loss_type in WITHOUT_REFERENCE:
            return
        is_long = state.max_steps >= alarms.FEWEST_STEPS
        if is_long and state.global_step == ceil(alarms.EARLY * state.max_steps) and "accuracy" in sums:
            self._log({alarms.EARLY_ACCURACY: float(sums["accuracy"]) / max(float(sums["size"]), 1.0)})

    def _loss_at_start(self) -> float | None:
        args = self.trainer.args
        if not isinstance(args, CrPOConfig):
            return None
        zero, one = torch.zeros(1), torch.ones(1)
        return pair_loss(
            zero, zero, zero, zero, one, loss=args.loss_type, beta=args.beta, label_smoothing=args.label_smoothing,
            per_token=args.per_token, simpo_gamma=args.simpo_gamma, margin_alpha=args.margin_alpha, tokens=(one, one),
            contrast=zero,
        ).unweighted.item()  # fmt: skip

    def _warn(self, step: int, kind: str, message: str) -> None:
        if self.notes.add_warning(step, kind, message):
            self._log({f"warning_{kind.replace('-', '_')}": 1.0})
            say(f"  warning: {self.notes.model}, step {step}, {kind}: {message}. {ADVICE[kind]}.")

    def _log(self, numbers: dict[str, float]) -> None:
        control = self.trainer.control
        is_due = control.should_log
        self.trainer.log(numbers)
        control.should_log = is_due  # logging takes it back, but the step's own line is still to come

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        say(f"  watching draws no samples: {reason}")
