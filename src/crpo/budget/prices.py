"""Prices per token, as data, and amounts of money in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crpo.errors import InputError

PRICES = Path(__file__).parent / "prices.yaml"


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float


def dollars(input_tokens: float, output_tokens: float, price: Price) -> float:
    """Return the cost of tokens in US dollars."""
    return (input_tokens * price.input + output_tokens * price.output) / 1e6


def money(cost: float) -> str:
    """Return dollars in words: cents, and more digits where there are less than ten cents."""
    return f"${cost:,.2f}" if cost >= 0.1 or cost == 0 else f"${cost:.2g}"


def read_prices(path: str | Path | None = None) -> dict[str, Price]:
    """Return prices by the exact name of the model: the package's, under those of a file of the user's.

    Parameters
    ----------
    path : path, optional
        YAML: `model: {input: dollars, output: dollars}`, per million tokens.

    Raises
    ------
    InputError
        When the file is not there, or an entry is not of that form.
    """
    return {**_prices(PRICES), **({} if path is None else _prices(Path(path)))}


def _prices(path: Path) -> dict[str, Price]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"prices {path} cannot be read", "Give a YAML file: model: {input: 1.0, output: 2.0}."
        ) from error
    return {str(model): _price(path, model, entry) for model, entry in _entries(path, content)}


def _entries(path: Path, content: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(content, dict):
        raise InputError(f"prices {path} names no models", "Write model: {input: 1.0, output: 2.0} into it.")
    return content.items()


def _price(path: Path, model: Any, entry: Any) -> Price:
    wanted = ("input", "output")
    values = [entry.get(name) for name in wanted] if isinstance(entry, dict) and set(entry) == set(wanted) else []
    right = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < math.inf]
    if len(right) != len(wanted):
        raise InputError(f"prices {path}, {model}: {entry!r} is no price",
                         "Write {input: dollars, output: dollars}, per million tokens.")  # fmt: skip
    return Price(float(right[0]), float(right[1]))
