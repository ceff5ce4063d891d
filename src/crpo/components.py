"""Components by name: a signal, metric, generator or judge is a frozen dataclass whose fields are its settings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crpo.errors import InputError, did_you_mean

Spec = str | Mapping[str, Any]


def build(spec: Spec, known: Mapping[str, str], kind: str) -> Any:
    """Build a component from a recipe's words.

    Parameters
    ----------
    spec : str or mapping
        A known name, `module:Name` for a component of the user's own, or `{use: name, **settings}`.
    known : mapping of str to str
        Names to `module:Name`; a plain dict, so that reading it is knowing it.
    kind : str
        What is built, for messages: "signal", "metric".

    Returns
    -------
    object
        The component; its `repr` is its provenance.

    Raises
    ------
    InputError
        For an unknown name or setting, with the nearest known one.
    """
    settings = {} if isinstance(spec, str) else {key: value for key, value in spec.items() if key != "use"}
    name = spec if isinstance(spec, str) else spec.get("use")
    if not isinstance(name, str):
        raise InputError(f"a {kind} without a name: {spec!r}", "Write its name, or {use: name, setting: value}.")
    found = load(known.get(name, name), known, kind)
    fields = list(inspect.signature(found).parameters)
    for key in settings:
        if key not in fields:
            raise InputError(f"{kind} {name!r} has no setting {key!r}", did_you_mean(key, fields))
    try:
        return found(**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} {name!r}: {error}", "Correct its settings.") from error


def load(target: str, known: Mapping[str, str], kind: str) -> Any:
    """Import `module:Name`.

    Raises
    ------
    InputError
        When the name is neither known nor importable.
    """
    module, _, name = target.partition(":")
    if not name:
        raise InputError(f"there is no {kind} {target!r}", did_you_mean(target, known))
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's file may fail in any way
        reason = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{kind} {target!r} cannot be imported: {reason}", "Check module and name.") from error


def provenance(component: Any) -> str:
    """Return the component's settings as text: what it is, exactly."""
    if dataclasses.is_dataclass(component):
        return repr(component)
    raise TypeError(f"{component!r} is not a dataclass, so its settings cannot be recorded")


def spec_name(spec: Spec) -> str:
    """Return a component in a few words for tables: its name and the settings given, as "words threshold=0.5"."""
    if isinstance(spec, str):
        return spec
    settings = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "use")
    return f"{spec.get('use')} {settings}".strip()


def with_models(spec: Spec, known: Mapping[str, str], models: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the spec with the run's models filled into the component's fields of that name that it leaves open.

    Parameters
    ----------
    spec, known
        See `build`.
    models : mapping
        Field names such as "embedder", and the models of the run.
    """
    settings = {"use": spec} if isinstance(spec, str) else dict(spec)
    name = str(settings.get("use"))
    found = load(known.get(name, name), known, "component")
    fields = {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
    return {**{key: value for key, value in models.items() if key in fields}, **settings}


def source_file(target: str) -> Path:
    """Return the file in which `module:Name` is written; InputError when it cannot be imported."""
    return Path(str(inspect.getsourcefile(load(target, {}, "component"))))
