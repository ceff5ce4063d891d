"""The policy and its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crpo.recipe.sections.kinds import Count, Positive, Section, Seed


class TinySection(Section):
    """A small Llama made on the spot, where no hub is reachable."""

    hidden_size: Count = 256
    layers: Count = 4
    heads: Count = 4
    vocabulary: Count = 4096
    text: str | None = None  # plain text, a paragraph a line, to learn the language from before people's answers
    text_epochs: Positive = 1.0
    epochs: Positive = 8.0
    learning_rate: Positive = 1e-3
    tokens_per_step: Count = 4096

    @model_validator(mode="after")
    def _even_heads(self) -> TinySection:
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of twice heads")
        return self


class LoraSection(Section):
    """Low-rank adapters."""

    r: Count = 128
    alpha: Positive = 256.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str | list[str] = "all-linear"


class PolicySection(Section):
    """The model that is trained."""

    model: str = "tiny"  # "tiny", a hub id or a folder
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    chat_template: Literal["own", "plain"] = "own"  # plain: prompt, line break, answer; for models without a template
    lora: LoraSection | None = None  # None trains every weight; the paper: LoRA with these defaults
    tiny: TinySection = TinySection()
    seed: Seed = 42


class WatchSection(Section):
    """A few samples drawn while training, which change nothing in it: see docs/watching.md."""

    every: Annotated[int, Field(ge=0)] = 50  # steps; beside them before the first step and after the last; 0: never
    prompts: Count = 8  # held-out ones, where the run has any
    samples: Annotated[int, Field(ge=2)] = 4  # of each, at temperature 1
    max_new_tokens: Count = 64
    embedder: str | None = "minilm"  # for the samples' diversity; none: distinct n-grams alone


class OptimizerSection(Section):
    """What SFT and CrPO training share."""

    epochs: Positive = 1.0
    learning_rate: Positive = 3e-5
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Positive = 1.0
    layout: Literal["tree", "packed", "padded"] = "tree"
    tokens_per_row: Count = 1024
    accumulation: Count = 1  # passes that a step is dealt into, for less memory; the step stays as large
    gradient_checkpointing: bool = False
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0  # a killed training loses at most this; 0: no checkpoints
    watch: WatchSection = WatchSection()
    report_to: list[Literal["tensorboard", "trackio", "wandb"]] = []  # where the log goes, beside the run folder
    seed: Seed = 42


class SftSection(OptimizerSection):
    """Supervised fine-tuning on the best answers."""

    scheduler: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    responses_per_step: Count = 16
    responses_per_prompt: Count = 8


class TrainSection(OptimizerSection):
    """CrPO, DDPO and DPO: one code path, the weights make the difference."""

    learning_rate: Positive = 5e-6
    beta: Positive = 0.1
    loss: Literal["dpo", "ipo", "hinge", "simpo", "margin"] = "dpo"  # margin needs score.over: all
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    per_token: bool = False  # divide log-ratios by the answer's tokens: TRL's ipo; simpo always does
    simpo_gamma: Annotated[float, Field(ge=0)] = 0.5  # target margin of simpo; TRL's default. Take beta: 2 with simpo
    margin_alpha: Annotated[float, Field(ge=0)] = (
        1.0  # of margin: creativity contrast in the reward, in log-odds (ours)
    )
    pairs_per_step: Count = 128
    pairs_per_prompt: Count = 32  # 1 is the paper's SGD exactly; why 32: docs/benchmarks.md
