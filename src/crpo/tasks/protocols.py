"""Prompts in several turns, as data: what is asked in each turn, and which earlier replies it quotes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crpo.errors import InputError, did_you_mean

PROMPT = "prompt"
_PLACE = re.compile(r"\{([^{}]*)\}")


class Turn(BaseModel):
    """One question; protocols.yaml says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    ask: Annotated[str, Field(min_length=1)]

    def quotes(self) -> set[str]:
        """Return the names of what the question quotes."""
        return set(self.places())

    def places(self) -> list[str]:
        """Return the name of what stands in each place of the question."""
        return _PLACE.findall(self.ask)


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    known = [PROMPT]
    for turn in turns:
        if turn.name in known:
            raise ValueError(f"there are two called {turn.name!r}")
        if unknown := sorted(turn.quotes() - set(known)):
            raise ValueError(f"turn {turn.name!r} quotes {{{unknown[0]}}}; until then there are {', '.join(known)}")
        if "{" in (rest := _PLACE.sub("", turn.ask)) or "}" in rest:
            raise ValueError(f"turn {turn.name!r} has a brace that is no part of a {{name}}")
        known.append(turn.name)
    return tuple(turns)


Turns = Annotated[list[Turn], Field(min_length=1), AfterValidator(_in_order)]


def fill_in(turn: Turn, texts: Mapping[str, str]) -> str:
    """Return a turn's question with the prompt and the earlier replies in their places.

    All places are filled in one pass, so nothing inside a prompt or a reply is looked at again.

    Parameters
    ----------
    turn : Turn
    texts : mapping
        "prompt" and the replies by the names of their turns.

    Examples
    --------
    >>> fill_in(Turn(name="b", ask="{prompt} You said: {a}"), {"prompt": "Go on.", "a": "{prompt.__class__}"})
    'Go on. You said: {prompt.__class__}'
    """
    return _PLACE.sub(lambda found: texts[found[1]], turn.ask)


@functools.cache
def read_protocols(own: str | Path | None = None) -> Mapping[str, tuple[Turn, ...]]:
    """Return the turns of each protocol: the package's, and those of a YAML file of one's own.

    Raises
    ------
    InputError
        For a file that is not there or not of this form, and for a turn that quotes what no earlier turn has brought.
    """
    text = resources.files("crpo.tasks").joinpath("protocols.yaml").read_text(encoding="utf-8")
    protocols = _parse(text, "protocols.yaml")
    return protocols if own is None else {**protocols, **_parse(_read(Path(own)), str(own))}


def protocol(name: str, own: str | Path | None = None) -> tuple[Turn, ...]:
    """Return the turns of a protocol by name; InputError, with the nearest name, when there is none of it."""
    protocols = read_protocols(own)
    if name not in protocols:
        raise InputError(f"there is no protocol {name!r}", did_you_mean(name, protocols) or "Correct the name.")
    return protocols[name]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"cannot read the protocols {path}: {reason}", "Check its name.") from error


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
        return TypeAdapter(dict[str, Turns]).validate_python(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" row {mark.line + 1}" if mark else ""
        raise InputError(f"{name}{place}: {getattr(error, 'problem', error)}", "Correct the YAML.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "(whole file)"
        raise InputError(f"{name}, {place}: {first['msg']}", "See crpo/tasks/protocols.yaml.") from error
