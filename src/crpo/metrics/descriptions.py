"""What a metric is, in data: meaning, unit, kind, which way is better, and over which answers it is computed."""

from __future__ import annotations

import functools
import inspect
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from crpo.components import Spec, load

POPULATIONS = {
    "signal": "a model's own samples of the prompt",
    "set": "a model's own samples of the prompt, together",
    "length": "a model's own samples of the prompt",
    "human": "a model's own samples of the prompt, against people's answers to it",
}
OWN = ("meaning", "unit", "kind", "higher_is", "population", "sizes")  # what a class of the user's own may say


class Description(BaseModel):
    """What a metric is; meanings.yaml says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    meaning: str
    unit: str = ""
    units: dict[str, str] = {}
    kind: Literal["signal", "set", "length", "human"] = "signal"
    higher_is: Literal["better", "worse", "neither"] = "neither"
    population: str = ""
    sizes: bool = False


@functools.cache
def descriptions() -> dict[str, Description]:
    """Return what the package's metrics and signals are, by name."""
    text = resources.files("crpo.metrics").joinpath("meanings.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Description]).validate_python(yaml.safe_load(text))


def describe(spec: Spec) -> Description:
    """Return what the metric of a recipe's words is, its settings told in the meaning.

    A class of the user's own may say it by class attributes named as the fields of `Description`; its meaning is else
    the first line of its docstring.
    """
    name = str(spec if isinstance(spec, str) else spec["use"])
    settings = {} if isinstance(spec, str) else {key: value for key, value in spec.items() if key != "use"}
    found = descriptions().get(name) or _own(name)
    told = ", ".join(f"{key}: {value}" for key, value in settings.items())
    return found.model_copy(update={
        "meaning": f"{found.meaning} ({told})" if told else found.meaning,
        "unit": found.units.get(str(settings.get("form")), found.unit),
        "population": found.population or POPULATIONS[found.kind],
    })  # fmt: skip


def _own(name: str) -> Description:
    kind = load(name, {}, "metric")
    first = (inspect.getdoc(kind) or name).splitlines()[0]
    said = {field: getattr(kind, field) for field in OWN if isinstance(getattr(kind, field, None), str | bool)}
    return Description.model_validate({"meaning": first, **said})
