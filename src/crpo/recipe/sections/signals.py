"""Creativity signals, the models that measure, and weights."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from crpo.errors import did_you_mean
from crpo.recipe.sections.kinds import Count, OneWord, Over, Positive, Scaling, Section


class EngineSection(Section):
    """Where the work of a section is done; no result depends on it, so changing it redoes nothing."""

    engine: Literal["local", "ray"] = "local"  # ray: by prompt, on the Ray cluster there is (RAY_ADDRESS) or one here
    workers: Count = 4  # of ray; each loads the models
    worker_cpus: Annotated[float, Field(ge=0)] = 1.0  # cores that each worker holds
    worker_gpus: Annotated[float, Field(ge=0)] = 0.0  # and GPUs


class ScoreSection(EngineSection):
    """The creativity signals of people's answers."""

    signals: dict[str, Any] = {
        "novelty": "novelty", "diversity": "diversity", "surprise": "surprise", "quality": "quality",
    }  # fmt: skip
    over: Over | dict[str, Over] = "chosen"  # the population of a prompt: its chosen answers, or every paired one
    scale: Scaling | dict[str, Scaling] = "minmax"  # or by signal; those not named have minmax
    one_word: OneWord | dict[str, OneWord] = "paper"  # answers of one word, which have DSI 0: of novelty and dsi_signed
    length_adjusted: bool | list[str] = False  # raw values freed of log length within the prompt; all, or these signals
    surprise_detail: Literal["few", "all", "none"] = "few"  # answers whose surprise is kept token by token

    @model_validator(mode="after")
    def _of_these_signals(self) -> ScoreSection:
        for key in ("over", "scale", "one_word", "length_adjusted"):
            value = getattr(self, key)
            for name in value if isinstance(value, dict | list) else ():
                if name not in self.signals:
                    raise ValueError(f"{key}: {name!r} is not among the signals. {did_you_mean(name, self.signals)}")
        for name in self.signals:
            if self.scale_of(name) == "log_minmax" and self.adjusts(name):
                raise ValueError(f"length_adjusted: what is left of {name!r} is negative; scale it by minmax or rank")
        return self

    def over_of(self, signal: str) -> Over:
        """Return the population of a signal."""
        return self.over.get(signal, "chosen") if isinstance(self.over, dict) else self.over

    def scale_of(self, signal: str) -> Scaling:
        """Return the scaling of a signal."""
        return self.scale.get(signal, "minmax") if isinstance(self.scale, dict) else self.scale

    def adjusts(self, signal: str) -> bool:
        """Return whether a signal is freed of length."""
        return signal in self.length_adjusted if isinstance(self.length_adjusted, list) else self.length_adjusted


class GateSection(Section):
    """Answers that are too poor to count: pairs whose chosen answer is one of them weigh nothing."""

    signal: str = "quality"  # one of score.signals; its raw values decide
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.15  # the lowest share of the prompt's answers


class WeighSection(Section):
    """Signals to a weight per pair."""

    combine: Literal["sum", "contrast", "product", "none"] = "sum"  # none weighs pairs 1, for train.loss: margin
    gate: GateSection | None = None  # not in the paper; where a variant has signals
    mean_weight: Positive | None = None  # rescale so that weights average this; the paper does not


class ModelsSection(Section):
    """The models that measure."""

    embedder: str = "minilm"  # see docs/embeddings.md; the paper: jina-embeddings-v3 (code of its own, non-commercial)
    surprise: str = "base"  # "base" is the policy before SFT; the paper: google/gemma-2-27b-it
    quality: str = "learned"  # "learned" is a ridge regression; the paper: Skywork-Reward-Gemma-2-27B-v0.2
