"""Which settings of decoding a model takes: a table anyone can extend, asked before anything is spent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crpo.errors import InputError
from crpo.generators import Decoding

Range = tuple[float, float]
Taken = Literal["accepted", "refused"] | Range
Setting = Literal["temperature", "top_p", "top_k", "seed"]
NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}


class Row(BaseModel):
    """A row of the table; capabilities.yaml says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    service: str = "*"
    server: str = "*"
    model: str = "*"
    temperature: Taken | None = None
    top_p: Taken | None = None
    top_k: Taken | None = None
    seed: Literal["accepted", "refused"] | None = None
    together: list[tuple[Setting, Setting]] | None = None
    defaults: Literal["sent", "left out"] | None = None
    choices: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[str, Field(min_length=1)] | None = None
    seed_bits: Annotated[int, Field(ge=1, le=48)] | None = None
    about: str = ""

    def fits(self, service: str, server: str, model: str) -> bool:
        """Return whether the row speaks of this model of this server."""
        pairs = ((service, self.service), (server.lower(), self.server.lower()), (model.lower(), self.model.lower()))
        return all(fnmatchcase(name, pattern) for name, pattern in pairs)


class Capabilities(BaseModel):
    """What a model takes: the rows that fit it, put together."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: Taken
    top_p: Taken
    top_k: Taken
    seed: Literal["accepted", "refused"]
    together: list[tuple[Setting, Setting]]
    defaults: Literal["sent", "left out"]
    choices: int
    limit: str
    seed_bits: int


def capabilities_of(service: str, server: str, model: str, own: str = "") -> Capabilities:
    """Return what a model takes, by the package's table and then by a file of one's own.

    Parameters
    ----------
    service : {"openai", "anthropic", "gemini"}
        The interface.
    server : str
        host or host:port.
    model : str
        As the server calls it.
    own : str
        A YAML file of rows, as capabilities.yaml; none when empty.

    Raises
    ------
    InputError
        When the file is not there or not of this form.
    """
    text = resources.files("crpo.generators").joinpath("capabilities.yaml").read_text(encoding="utf-8")
    rows = [*_rows(text, "crpo's")]
    if own:
        if not Path(own).is_file():
            raise InputError(f"there is no table of capabilities {own}", "Check the name.")
        rows += _rows(Path(own).read_text(encoding="utf-8"), own)
    found: dict[str, Any] = {}
    for row in rows:
        if row.fits(service, server, model):
            found |= row.model_dump(exclude={"service", "server", "model", "about"}, exclude_none=True)
    return Capabilities(**found)


def check_settings(taken: Capabilities, model: str, grid: Sequence[Decoding], seeded: bool) -> None:
    """Raise InputError, naming parameter and model, for the first setting that the model does not take."""
    for cell in grid:
        asked = {name: getattr(cell, name) for name, neutral in NEUTRAL.items() if getattr(cell, name) != neutral}
        for name, value in asked.items():
            _check(name, value, getattr(taken, name), model)
        for first, second in taken.together:
            if first in asked and second in asked:
                raise _refusal(f"{first} {asked[first]:g} together with {second} {asked[second]:g}", model)
    if seeded and taken.seed == "refused":
        raise InputError(f"{model} takes no seed", "Set seeded: false; its samples then cannot be repeated.")


def settings_to_send(taken: Capabilities, cell: Decoding) -> dict[str, float]:
    """Return the settings that go into a request; those that change nothing only where the server's default may."""
    return {
        name: getattr(cell, name)
        for name, neutral in NEUTRAL.items()
        if getattr(cell, name) != neutral or (taken.defaults == "sent" and getattr(taken, name) != "refused")
    }


def _check(name: str, value: float, taken: Taken, model: str) -> None:
    if taken == "refused":
        raise _refusal(f"{name} {value:g}", model)
    if isinstance(taken, tuple) and not taken[0] <= value <= taken[1]:
        raise _refusal(f"{name} {value:g} (its range is {taken[0]:g} to {taken[1]:g})", model)


def _refusal(what: str, model: str) -> InputError:
    return InputError(
        f"{model} does not take {what}",
        "Take it out of the grid, or correct the table of capabilities (docs/generators.md).",
    )


@functools.cache
def _rows(text: str, name: str) -> tuple[Row, ...]:
    try:
        return tuple(TypeAdapter(list[Row]).validate_python(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML: {error}", "Correct the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{name}: row {place}: {first['msg']}", "See crpo/generators/capabilities.yaml.") from error
