"""Reference log-probs: one number per distinct answer, computed once and kept on disk where a folder is given.

The cache is a folder per model; in it a file per set of answers that were scored together. A file's name comes from
the answers in it, and files are never changed, so any number of processes may write at the same time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from crpo.answers import Answers, answer_logps
from crpo.forest import agreeing_layout
from crpo.processes import from_first, is_first_process
from crpo.training.trained import is_in_pieces

FORMAT = 1  # raise it when the kernel's log-probs change
VOLATILE = ("_name_or_path", "transformers_version", "use_cache")  # of a configuration: no log-prob depends on them


def reference_logps(
    model: nn.Module,
    answers: Answers,
    *,
    layout: str = "tree",
    tokens_per_row: int = 1024,
    adapters: bool = False,
    autocast: torch.dtype | None = None,
    cache: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-prob of every distinct answer, from the cache where it is known.

    Parameters
    ----------
    model : causal language model, with or without PEFT adapters
    answers : Answers
    layout, tokens_per_row
        See `forest.plant`. They change log-probs by rounding alone and are no part of the cache's key.
    adapters : bool
        Score with adapters; without, the model under them is the reference.
    autocast : torch.dtype, optional
        Score under autocast, as the policy is when it is trained with `bf16=True`: both must start equal.
    cache : path, optional
        Folder kept between runs. Entries are found by the model's weights, configuration and adapters, by `autocast`,
        and by the token ids of prompt and answer, through which the tokenizer, its chat template and the text enter.
    progress : callable, optional
        Called with the number of answers scored since the last call.

    Returns
    -------
    logps : ndarray of float (n,)
        Σ log p(token | prompt, tokens before), in nats.
    counts : ndarray of int (n,)
        Tokens of each answer, its end included.

    Raises
    ------
    InputError
        When an answer with its prompt is longer than a row, known or not.

    Warns
    -----
    UserWarning
        For a damaged file, which counts as absent; where the cache cannot be written; and for a model in pieces
        (sharded, or offloaded to disk), which is not cached.
    """
    answers.check_lengths(tokens_per_row)
    logps, counts = np.full(len(answers.responses), np.nan), np.array([len(r) for r in answers.responses], int)
    key = None if cache is None else model_key(model, adapters=adapters, autocast=autocast)
    folder = None if cache is None or key is None else Path(cache) / key
    keys = [answer_key(answers.prompts[p], r) for p, r in zip(answers.prompt_of, answers.responses, strict=True)]
    if folder is not None:
        known = from_first(_read(folder) if is_first_process() else {})
        logps = np.array([known.get(own, np.nan) for own in keys])
    missing = np.flatnonzero(np.isnan(logps))
    if len(missing):
        new = Answers(answers.prompts, [answers.responses[n] for n in missing], answers.prompt_of[missing])
        logps[missing] = _score(model, new, layout, tokens_per_row, adapters, autocast, progress)
        kept = missing[np.isfinite(logps[missing])]
        if folder is not None and len(kept) and is_first_process():
            _write(folder, [keys[n] for n in kept], logps[kept])
    return logps, counts


def _score(
    model: nn.Module,
    answers: Answers,
    layout: str,
    tokens_per_row: int,
    adapters: bool,
    autocast: torch.dtype | None,
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    layout, _ = agreeing_layout(model, answers.examples(), layout, tokens_per_row)
    device = next(model.parameters()).device.type
    with nullcontext() if autocast is None else torch.autocast(device, dtype=autocast):
        return answer_logps(
            model, answers, layout=layout, tokens_per_row=tokens_per_row, reference=not adapters, together=True,
            progress=progress,
        )[0]  # fmt: skip


def answer_key(prompt: Sequence[int], response: Sequence[int]) -> bytes:
    """Return what an answer is found by: a hash of its token ids and its prompt's, 32 bytes."""
    digest = hashlib.sha256()
    for ids in (prompt, response):
        digest.update(len(ids).to_bytes(8, "little") + np.asarray(ids, dtype="<i8").tobytes())
    return digest.digest()


def model_key(model: nn.Module, *, adapters: bool = False, autocast: torch.dtype | None = None) -> str | None:
    """Return a hash of everything about a model that its log-probs depend on, or None for a model in pieces.

    Name, shape, type and bytes of every tensor; class, configuration, version of transformers; with `adapters` their
    weights, settings and scaling too, without them nothing of them.
    """
    if is_in_pieces(model):  # a part of a weight could be equal in two models
        warnings.warn("the model is in pieces, so its reference log-probs are not cached", stacklevel=3)
        return None
    digest = hashlib.sha256(json.dumps(_settings(model, adapters, autocast), sort_keys=True, default=_plain).encode())
    left_out = () if adapters else tuple(_adapter_names(model))
    tensors = {**dict(model.named_buffers()), **model.state_dict()}
    for name in sorted(tensors):
        if not name.startswith(left_out):  # of (), nothing is a beginning
            _add(digest, name, tensors[name])
    return digest.hexdigest()[:40]


def _settings(model: Any, adapters: bool, autocast: torch.dtype | None) -> dict[str, Any]:
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    told = {
        "format": FORMAT, "transformers": transformers.__version__, "autocast": str(autocast),
        "class": f"{type(causal).__module__}.{type(causal).__qualname__}",
        "configuration": {k: v for k, v in causal.config.to_dict().items() if k not in VOLATILE},
    }  # fmt: skip
    if adapters and causal is not model:
        told["adapters"] = {name: config.to_dict() for name, config in model.peft_config.items()}
        told["active"] = model.active_adapters
        told["scaling"] = {name: m.scaling for name, m in model.named_modules() if hasattr(m, "adapter_layer_names")
                           and hasattr(m, "scaling")}  # fmt: skip
    return told


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _adapter_names(model: nn.Module) -> Iterator[str]:
    """Yield the beginnings of the names of all weights that belong to adapters."""
    layers = {name: m for name, m in model.named_modules() if getattr(m, "adapter_layer_names", ())}
    if any(getattr(module, "merged", False) for module in layers.values()):
        return  # the weights under a merged adapter hold it, until the pass itself takes it out again
    for name, module in layers.items():
        yield from (f"{name}.{own}." for own in module.adapter_layer_names)  # type: ignore[union-attr]


def _add(digest: Any, name: str, value: object) -> None:
    if not isinstance(value, torch.Tensor):
        digest.update(f"{name} {value!r}\n".encode())
        return
    digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
    digest.update(value.detach().reshape(-1).contiguous().view(torch.uint8).cpu().numpy())


def _read(folder: Path) -> dict[bytes, float]:
    known: dict[bytes, float] = {}
    for file in sorted(folder.glob("*.npz")):
        try:
            with np.load(file, allow_pickle=False) as table:
                keys, logps = table["keys"], table["logps"]
            if keys.shape != (len(logps), 32) or keys.dtype != np.uint8 or not np.isfinite(logps).all():
                raise ValueError("not what was written")
            if file.stem != _name(folder, keys):
                raise ValueError("its name belongs to another model or other answers")
        except Exception as error:  # whatever is wrong with it, a damaged file is a miss
            warnings.warn(f"reference cache: {file} is damaged and left out ({error})", stacklevel=4)
            continue
        known.update(zip(map(bytes, keys), logps.tolist(), strict=True))
    return known


def _write(folder: Path, keys: list[bytes], logps: np.ndarray) -> None:
    table = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)
    content = io.BytesIO()
    np.savez(content, keys=table, logps=logps)
    path = folder / f"{_name(folder, table)}.npz"
    partial = folder / f".{uuid.uuid4().hex}.partial"  # its own in every process, on every machine
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(content.getvalue())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        warnings.warn(f"reference cache: cannot write {path} ({error.strerror})", stacklevel=4)


def _name(folder: Path, keys: np.ndarray) -> str:
    return hashlib.sha256(folder.name.encode() + keys.tobytes()).hexdigest()[:40]
