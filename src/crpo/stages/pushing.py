"""Putting an exported folder on the Hugging Face hub: a step of its own, to be repeated when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crpo.errors import CrpoError, InputError, needs_extra

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # environment variables, the first that is set
CARD, MODELS = "README.md", ("config.json", "adapter_config.json")


def push(folder: Path, repository: str) -> str:
    """Upload every file of an exported folder, and return the address it has then.

    A repository that is not there is made, private. One that has some of the files already gets the others, and one
    that has all of them no new commit, so that the same call again finishes what was cut short.

    Parameters
    ----------
    folder : Path
        Written by `crpo export`: a card, and a model or a data set.
    repository : str
        OWNER/NAME. The token comes from the environment (HF_TOKEN) and from nowhere else.

    Raises
    ------
    InputError
        When the folder is no export, there is no token, or the hub does not take it; nothing in the folder changes.
    MissingExtraError
        Without the library of the hub.
    """
    kind = _kind_of(folder)
    token = next((os.environ[name] for name in TOKENS if os.environ.get(name)), None)
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise needs_extra("pushing to the hub", "train") from error
    if token is None:
        raise _failure(folder, repository, "there is no token in the environment",
                       "Set HF_TOKEN to one that may write (huggingface.co/settings/tokens).")  # fmt: skip
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)

    def upload() -> Any:
        api.create_repo(repository, repo_type=kind, private=True, exist_ok=True)
        return api.upload_folder(
            folder_path=folder, repo_id=repository, repo_type=kind, commit_message="Export by crpo",
            ignore_patterns=[".*", "**/.*"],
        )  # fmt: skip

    _tried(upload, folder, repository, token)
    return f"{api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repository}"


def _kind_of(folder: Path) -> str:
    if not (folder / CARD).is_file():
        raise InputError(f"{folder} is no export: it has no {CARD}", "Write it first with crpo export.")
    if not any((folder / name).is_file() for name in MODELS):
        return "dataset"
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} has no weights in safetensors", "Export the model again.")
    return "model"


def _tried(upload: Callable[[], Any], folder: Path, repository: str, token: str) -> None:
    try:
        upload()
    except CrpoError:
        raise
    except Exception as error:  # of the library, the network, or the hub
        reason = " ".join(str(error).replace(token, "…").split())[:160] or type(error).__name__
        raise _failure(folder, repository, reason) from error


def _failure(folder: Path, repository: str, reason: str, fix: str = "") -> InputError:
    again = f"{folder} is written; push it again with: crpo push {folder} {repository}"
    return InputError(f"cannot push to {repository} ({reason})", f"{fix} {again}")
