"""What a step costs on a device: memory and hours, by formula (docs/studies.md says what the formulas leave out)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from crpo.errors import InputError, did_you_mean
from crpo.plan.shapes import Shape
from crpo.recipe.sections import LoraSection

BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}
GIGA, TERA, HOUR = 1e9, 1e12, 3600.0
ADAM = 2  # numbers that the optimizer keeps for each trained weight
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Device:
    """What a device has, as devices.yaml says: GB, GB/s, TFLOP/s by dtype, and the share of these that is reached."""

    name: str
    title: str
    accelerator: bool
    memory: float
    bandwidth: float
    peak: Mapping[str, float]
    share: float
    source: str

    def seconds(self, work: float, dtype: str) -> float:
        """Return how long so many floating-point operations take; NaN for a dtype it has no figure for."""
        return work / (self.peak.get(dtype, UNKNOWN) * TERA * self.share)

    def seconds_to_read(self, size: float) -> float:
        """Return how long so many bytes take to come from memory."""
        return size / (self.bandwidth * GIGA * self.share)


@dataclass(frozen=True)
class Cost:
    """Tokens that a step reads or writes, its peak memory in GB, and its hours; NaN is not known."""

    tokens: float = UNKNOWN
    memory: float = UNKNOWN
    hours: float = UNKNOWN


def device_named(name: str) -> Device:
    """Return a device of devices.yaml; InputError with the nearest name where there is none."""
    table = devices()
    if name not in table:
        raise InputError(f"--device {name}: there is no such device", did_you_mean(name, table))
    return Device(name=name, **table[name])


@functools.cache
def devices() -> dict[str, dict[str, Any]]:
    """Return devices.yaml."""
    return yaml.safe_load(resources.files("crpo.plan").joinpath("devices.yaml").read_text(encoding="utf-8"))


def training_cost(
    shape: Shape | None, lora: LoraSection | None, dtype: str, tokens: float, at_once: float, device: Device,
    *, checkpointing: bool,
) -> Cost:  # fmt: skip
    """Return the cost of training.

    Work: 2 operations per weight and token forward, 2 for the gradient of what flows through, 2 for that of each
    trained weight, and 2 more where activations are computed again. Memory: weights; for each trained one its gradient
    and two numbers of Adam, in float32 for adapters (with the adapters themselves); and the activations of one pass.

    Parameters
    ----------
    shape : Shape or None
    lora : LoraSection or None
        None trains every weight.
    dtype : str
    tokens : float
        That the whole training reads.
    at_once : float
        Tokens of one forward pass.
    device : Device
    checkpointing : bool
    """
    if shape is None:
        return Cost(tokens)
    through = 2 * shape.multiplied * (3 if checkpointing else 2)
    trained = 2 * shape.multiplied if lora is None else 6 * shape.adapters(lora)
    size = BYTES[dtype]
    state = (1 + ADAM) * size * shape.parameters if lora is None else (2 + ADAM) * 4 * shape.adapters(lora)
    memory = size * shape.parameters + state + at_once * activation_bytes(shape, dtype, checkpointing=checkpointing)
    return Cost(tokens, memory / GIGA, device.seconds((through + trained) * tokens, dtype) / HOUR)


def activation_bytes(shape: Shape, dtype: str, *, checkpointing: bool) -> float:
    """Return the bytes that a token's forward pass leaves for the backward pass, attention scores not counted.

    A block keeps six of the model's width, queries and what attention gives, keys and values, and four of the width
    of the feed-forward layer; in 16 bits its norms keep one more width in float32. With checkpointing every block keeps
    its input, and one block at a time all of it. A test holds this against what autograd keeps.
    """
    wide, keys = shape.heads * shape.head_size, shape.key_heads * shape.head_size
    block = BYTES[dtype] * (6 * shape.hidden + 2 * wide + 2 * keys + 4 * shape.intermediate)
    block += 4 * shape.hidden if BYTES[dtype] < 4 else 0
    return shape.layers * BYTES[dtype] * shape.hidden + block if checkpointing else shape.layers * block


def reading_cost(shapes: Mapping[str, Shape | None], dtype: str, tokens: float, at_once: float, device: Device) -> Cost:
    """Return the cost of reading texts once with each of several models.

    They stay in memory together, on an accelerator one at a time (`crpo.held_models`).
    """
    known = [shape for shape in shapes.values() if shape is not None]
    if len(known) < len(shapes):
        return Cost(tokens * len(shapes))
    if not known:
        return Cost(tokens)
    weights = [BYTES[dtype] * shape.parameters for shape in known]
    passes = [at_once * BYTES[dtype] * (4 * shape.hidden + 3 * shape.intermediate) for shape in known]
    together = sum(weights) + max(passes)
    memory = max(map(sum, zip(weights, passes, strict=True))) if device.accelerator else together
    work = sum(2 * shape.multiplied * tokens for shape in known)
    return Cost(tokens * len(known), memory / GIGA, device.seconds(work, dtype) / HOUR)


def sampling_cost(
    shape: Shape | None, dtype: str, *, prompts: float, drawn: float, steps: float, kept: float, device: Device
) -> Cost:
    """Return the cost of drawing samples.

    Parameters
    ----------
    shape : Shape or None
    dtype : str
    prompts, drawn : float
        Tokens of the prompts, each read once, and of the samples.
    steps : float
        Decoding steps, each of which reads every weight from memory once, whatever the number of samples in it.
    kept : float
        Most tokens whose keys and values are in memory at a time.
    device : Device
    """
    tokens = prompts + drawn
    if shape is None:
        return Cost(tokens)
    weights = BYTES[dtype] * shape.parameters
    memory = weights + kept * 2 * shape.layers * shape.key_heads * shape.head_size * BYTES[dtype]
    seconds = device.seconds(2 * shape.multiplied * tokens, dtype) + steps * device.seconds_to_read(weights)
    return Cost(tokens, memory / GIGA, seconds / HOUR)
