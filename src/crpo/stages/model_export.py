"""A trained model in a folder that others can load: adapters or merged weights, tokenizer and card."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crpo.errors import InputError
from crpo.progress import say, track
from crpo.stages.model_card import Stated, render_model_card
from crpo.stages.model_facts import ADAPTER, ModelFacts
from crpo.tables import write_whole

CARD = "README.md"
# What a model's folder holds for those who load it; checkpoints, histories and notes of a training are not among them.
ENDINGS = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken")
OF_CHECKPOINTS = re.compile(r"(trainer_state|manifest|log_\d+)\.json")
BASE_KEY = "base_model_name_or_path"


def export_model(facts: ModelFacts, out: Path, stated: Stated, *, merge: bool = False) -> list[Path]:
    """Write a model with its tokenizer and its card, whole or not at all.

    Everything is written beside `out` first, into .NAME.partial, and takes its name when it is complete. What an
    interrupted export left there is cleared by the next one.

    Parameters
    ----------
    facts : ModelFacts
    out : Path
        New, empty, or an earlier export of the same form, which is replaced.
    stated : Stated
        With `base`, adapters are written as belonging to that model of the hub.
    merge : bool
        Merge adapters into their base: the weights then stand alone. Adding W + BA is done in float32; the result is
        saved in the type of numbers that the base was saved in.

    Returns
    -------
    list of Path
        The files, in `out`.

    Raises
    ------
    InputError
        Where weights are not in safetensors, `out` holds other things, or merging is asked of a model without
        adapters; nothing is written then.
    MissingExtraError
        For `merge`, without the train extra.
    """
    if merge and not facts.is_adapter:
        raise InputError(f"{facts.folder} has no adapters to merge", "Leave --merge out: its weights are whole.")
    files = [path for path in sorted(facts.folder.iterdir()) if _belongs_to_model(path)]
    if not any(path.suffix == ".safetensors" for path in files):
        raise InputError(f"{facts.folder} has no weights in safetensors", "Save the model again with save_pretrained.")
    _check_free(out, facts, merge)
    notes = [] if merge or not facts.is_adapter else [_belongs_to(facts, stated)]
    with _whole(out) as folder:
        if merge:
            _write_merged(facts, folder)
        else:
            _copy(files, folder)
        if stated.base and not merge and facts.is_adapter:
            _name_base(folder / ADAPTER, stated.base)
        card = render_model_card(facts, stated, merged=merge, notes=notes)
        write_whole(card.encode(), folder / CARD)
    return sorted(path for path in out.iterdir() if path.is_file())


def _belongs_to_model(path: Path) -> bool:
    return path.is_file() and path.suffix in ENDINGS and not OF_CHECKPOINTS.fullmatch(path.name)


def _belongs_to(facts: ModelFacts, stated: Stated) -> str:
    if stated.base:
        return f"These are adapters: they are loaded onto `{stated.base}` and onto nothing else."
    base = str(json.loads((facts.folder / ADAPTER).read_text(encoding="utf-8")).get(BASE_KEY, ""))
    where = "a folder of the machine they were trained on" if Path(base).is_absolute() else f"`{base}`"
    return (
        f"These are adapters of a model in {where}. Where that is not at hand they cannot be loaded: export them "
        "merged (`--merge`), or name the base (`--base`)."
    )


def _write_merged(facts: ModelFacts, folder: Path) -> None:
    from crpo.models import load_language_model

    say("  merging the adapters into their base")
    model, chat = load_language_model(str(facts.folder))
    merged: Any = model.merge_and_unload()  # type: ignore[operator]
    merged.to(_saved_type(facts)).save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)


def _saved_type(facts: ModelFacts) -> Any:
    import torch
    from transformers import AutoConfig

    base = json.loads((facts.folder / ADAPTER).read_text(encoding="utf-8"))[BASE_KEY]
    return getattr(AutoConfig.from_pretrained(base), "dtype", None) or torch.float32


def _copy(files: list[Path], folder: Path) -> None:
    with track("copying the model", sum(path.stat().st_size for path in files)) as advance:
        for path in files:
            shutil.copyfile(path, folder / path.name)
            advance(path.stat().st_size)


def _name_base(path: Path, base: str) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    write_whole(json.dumps({**content, BASE_KEY: base}, indent=2, sort_keys=True).encode() + b"\n", path)


def _check_free(out: Path, facts: ModelFacts, merge: bool) -> None:
    """Refuse a folder that holds anything but an earlier export: what is in it would be lost, or mixed up."""
    if out.exists() and facts.folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise InputError(f"{out} is the model itself", "Name a new folder.")
    others = [path.name for path in sorted(out.iterdir())] if out.exists() else []
    is_export = CARD in others and all(Path(name).suffix in (*ENDINGS, ".md") for name in others)
    if others and not is_export:
        raise InputError(f"{out} is not empty ({', '.join(others[:3])})", "Name a new folder.")
    if others and (ADAPTER in others) != (facts.is_adapter and not merge):
        raise InputError(f"{out} holds an export of another form", "Name a new folder.")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `out` when all went well and is gone when not."""
    partial, old = (out.with_name(f".{out.name}.{word}") for word in ("partial", "old"))
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            out.replace(old)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
