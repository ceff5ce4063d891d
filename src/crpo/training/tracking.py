"""Where the log goes beside the history: TensorBoard, trackio or Weights & Biases, whichever the user has."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.integrations.integration_utils import TensorBoardCallback

from crpo.errors import MissingExtraError

PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


def check_trackers(names: Sequence[str]) -> None:
    """Raise MissingExtraError for the first name whose package is not installed."""
    for name in names:
        packages = PACKAGES[name]
        if not any(importlib.util.find_spec(package) for package in packages):
            raise MissingExtraError(f"report_to: {name} is not installed", f"Install it with: pip install {name}.")


def keep_tensorboard_in(trainer: Trainer, folder: Path) -> None:
    """Let TensorBoard's files go to a folder that stays, and count no step twice when the training is continued.

    Where the environment names a folder (TENSORBOARD_LOGGING_DIR), that one is taken. Does nothing for a trainer that
    does not report to TensorBoard.
    """
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = callback.logging_dir or str(folder)
            writer: Any = partial(_purging_writer, callback._SummaryWriter, trainer)
            callback._SummaryWriter = writer


def _purging_writer(kind: Any, trainer: Any, log_dir: str) -> Any:
    # What a stopped training logged after its checkpoint is logged again: TensorBoard forgets steps from here on.
    return kind(log_dir, purge_step=trainer.resumed_step + 1) if trainer.resumed_step else kind(log_dir)
