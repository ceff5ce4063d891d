"""What sections are made of: kinds of values, and the section itself."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # a folder's name too
S = TypeVar("S", bound=BaseModel)
Lambdas = dict[str, Annotated[float, Field(ge=0)]]
Scaling = Literal["minmax", "log_minmax", "rank"]
Over = Literal["chosen", "all"]
OneWord = Literal["paper", "median", "drop"]
Seeded = Literal["sft", "train", "generate"]  # the sections with a seed that a study may replace


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values cannot change after reading."""

    # Defaults are validated too: a λ of 1 written out must hash as the default does.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, validate_default=True
    )
