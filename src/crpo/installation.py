"""What is installed here, and what of crpo works with it."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import Any

from crpo.cache_folder import cache_folder

WHAT_FOR = {
    "train": "embedders (also character_ngrams), surprise, training, local generation",
    "demo": "the embedder minilm without a download",
    "api": "answers over an interface",
    "metrics": "self-BLEU",
    "panel": "crpo panel serve",
    "sheets": "Excel and SPSS files",
    "words": "words of languages written without spaces",
    "ray": "several machines",
    "vllm": "fast generation on a GPU",
}
NOT_FOR_USERS = {"dev"}
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "HF_TOKEN")


def extras() -> dict[str, list[str]]:
    """Return for each extra of the package the needed packages that are missing or too old; none: it works."""
    from packaging.requirements import Requirement

    found: dict[str, list[str]] = {}
    for line in requires("crpo") or []:
        needed = Requirement(line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if extra is None or extra[1] in NOT_FOR_USERS:
            continue
        missing = found.setdefault(extra[1], [])
        there = _version(needed.name)
        if there is None or not needed.specifier.contains(there, prereleases=True):
            missing.append(str(needed).split(";")[0].strip())
    return found


def same_name() -> list[str]:
    """Return the versions of packages called crpo: the paper's own code (0.0.1) has that name too, and hides ours.

    One installed to be edited has its description in two places; that is one version.
    """
    return sorted({str(own.version) for own in distributions() if own.metadata["Name"] == "crpo"})


def devices() -> dict[str, Any]:
    """Return what computes here: PyTorch's version, threads, GPUs with their memory; "none" without PyTorch."""
    if _version("torch") is None:
        return {"torch": "none"}
    import torch

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    told = ", ".join(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in gpus)
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "gpu": told or "none"}


def storage() -> dict[str, str]:
    """Return where the cache is, how large, and how much space is left there and here."""
    folder = cache_folder()
    if folder is None:
        return {"cache": "off", "free here": _gigabytes(shutil.disk_usage(Path.cwd()).free)}
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    return {"cache": f"{folder} ({_gigabytes(size)})", "free here": _gigabytes(shutil.disk_usage(Path.cwd()).free)}


def keys() -> list[str]:
    """Return the names of the keys that are in the environment; never a key."""
    return [name for name in KEYS if os.environ.get(name)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
