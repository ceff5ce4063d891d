"""Models by name: language models and reward models, from a folder or the hub (embedders: `crpo.embeddings`)."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crpo.errors import CrpoError, InputError, needs_extra
from crpo.held_models import make_room
from crpo.tables import short_hash

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from crpo.chat import Chat

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def find_model(name: str) -> str:
    """Return what `from_pretrained` should load for a name: an existing folder, or a hub id.

    Raises
    ------
    InputError
        When the name can be neither, or the folder holds no model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / f).exists() for f in ("config.json", "adapter_config.json", "modules.json")):
            raise InputError(f"model folder {name} has no config.json", "Name the folder that save_pretrained wrote.")
        return str(folder)
    if name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(name):
        raise InputError(
            f"model folder {name} does not exist", "Check the path, or give a hub id such as Qwen/Qwen3-0.6B."
        )
    return name


def fingerprint(name: str) -> str:
    """Return a model's name and, for a folder, what tells its weights from those of another training."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    facts = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return f"{folder.resolve()} ({short_hash(*facts)})"


def loading_error(name: str, error: Exception) -> CrpoError:
    """Return what a person is told when a library cannot load a model, from the first line of its own words."""
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return InputError(
        f"model {name} cannot be loaded ({reason})", "Check the name and the network, or give a local folder."
    )


def device_name() -> str:
    """Return "cuda" where torch finds a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_language_model(
    name: str, *, revision: str | None = None, dtype: str = "float32", chat_template: str = "own"
) -> tuple[PreTrainedModel, Chat]:
    """Load a causal language model, or a base with the LoRA adapter a folder holds, and its chat.

    Parameters
    ----------
    name : str
        Hub id or folder. A folder with `adapter_config.json` is loaded onto the base that file names.
    revision : str, optional
        Commit of a hub model.
    dtype : str
        "float32", "bfloat16" or "float64".
    chat_template : {"own", "plain"}
        See `Chat`.

    Raises
    ------
    InputError
        When the folder is not there or cannot be loaded, or the hub cannot be reached.
    MissingExtraError
        Without the train extra.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from crpo.chat import Chat
    except ImportError as error:
        raise needs_extra("a language model", "train") from error
    quiet()
    target = find_model(name)
    is_adapter = (Path(target) / "adapter_config.json").exists()
    loader: Any = _adapter_loader() if is_adapter else AutoModelForCausalLM
    make_room(device_name())
    try:
        tokenizer = AutoTokenizer.from_pretrained(target, revision=revision)
        model = loader.from_pretrained(target, dtype=getattr(torch, dtype), use_safetensors=True, revision=revision)
    except Exception as error:  # libraries fail in many ways, a torn file in one of its own
        raise loading_error(name, error) from error
    return model.to(device_name()), Chat(tokenizer, chat_template)


def _adapter_loader() -> Any:
    from peft import AutoPeftModelForCausalLM

    return AutoPeftModelForCausalLM


def load_reward_model(name: str, *, revision: str | None = None, dtype: str = "float32") -> tuple[PreTrainedModel, Any]:
    """Load a sequence-classification reward model with one output, and its tokenizer.

    Raises
    ------
    InputError
        As `load_language_model`; and when the model has another number of outputs, its head has no trained weights (a
        language model, say, to which a random head would be given), or its tokenizer no chat template.
    """
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise needs_extra("a reward model", "train") from error
    quiet()
    target = find_model(name)
    make_room(device_name())
    try:
        tokenizer = AutoTokenizer.from_pretrained(target, revision=revision)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            target, use_safetensors=True, revision=revision, dtype=getattr(torch, dtype), output_loading_info=True
        )
    except Exception as error:  # libraries fail in many ways, a torn file in one of its own
        raise loading_error(name, error) from error
    _check_reward_model(name, model, tokenizer, sorted(info["missing_keys"]))
    return model.to(device_name()).eval(), tokenizer


def _check_reward_model(name: str, model: Any, tokenizer: Any, missing: list[str]) -> None:
    if missing:
        found = f"reward model {name} lacks trained weights ({', '.join(missing[:3])})"
        raise InputError(found, "Name a sequence-classification model; a language model is none.")
    if model.config.num_labels != 1:
        found = f"reward model {name} has {model.config.num_labels} outputs"
        raise InputError(found, "Choose a model with one output, the reward.")
    if not tokenizer.chat_template:
        found = f"the tokenizer of reward model {name} has no chat template"
        raise InputError(found, "Choose a model with one, or save the tokenizer with its template.")


@functools.cache
def quiet() -> None:
    """Silence the libraries' own bars and notes; the command line has its own."""
    import warnings

    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"torch\..*|transformers\..*")
