"""Samples and what is measured on them, studies, and the report."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from crpo.recipe.sections.kinds import Count, Name, Positive, Section, Seed, Seeded
from crpo.recipe.sections.signals import EngineSection
from crpo.recipe.sections.training import PolicySection


class DecodingSection(Section):
    """One cell of the decoding grid."""

    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0 keeps every token
    samples: Count = 4


class GenerateSection(EngineSection):
    """Samples per held-out prompt; the default grid is the paper's, 16 samples."""

    grid: Annotated[list[DecodingSection], Field(min_length=1)] = [
        DecodingSection(temperature=0.7, top_p=0.95), DecodingSection(temperature=0.9, top_p=0.99),
        DecodingSection(temperature=0.7, top_k=50), DecodingSection(temperature=0.8, top_p=0.97),
    ]  # fmt: skip
    generator: str | dict[str, Any] = "hf"  # who draws from the run's own models: hf, vllm, {use: vllm, gpus: 2}
    lengths: bool = False  # also ask for each task's length, as the official evaluation does (crpo.tasks)
    max_new_tokens: Count = 64
    max_error_share: Annotated[float, Field(ge=0, le=1)] = 0.02  # of failed samples; above it, exit code 6
    seed: Seed = 42
    baselines: dict[Name, str | dict[str, Any]] = {}  # models of others: GPT-4o: {use: openai, model: gpt-4o}
    max_cost: Annotated[float, Field(ge=0)] | None = None  # US dollars for all baselines together; then exit code 7
    max_tokens: Annotated[int, Field(ge=0)] | None = None  # input and output, for all baselines together; likewise
    prices: str | None = None  # YAML of prices of your own: MODEL: {input: 2.5, output: 10}, per million tokens


class TopSection(Section):
    """The best samples of each prompt; the others are not measured."""

    samples: Count = 4
    by: str = "quality"  # a column of the samples, a signal, or a name of evaluate.metrics; more is better


class OutlierSection(Section):
    """What is done with a prompt's value that lies far from those of the model's other prompts of the task."""

    rule: Literal["drop", "winsorise"] = "drop"  # winsorise: it is moved to the bound
    deviations: Positive = 3.0  # farther from the median than this many scaled median absolute deviations (MAD·1.4826)


class EvaluateSection(Section):
    """Metrics of the samples."""

    metrics: Annotated[dict[str, Any], Field(min_length=1)] = {
        "novelty": "novelty", "diversity": "diversity", "surprise": "surprise", "quality": "quality", "words": "words",
        "distinct_2": {"use": "distinct", "n": 2}, "vendi": "vendi", "unique": "unique", "compression": "compression",
        "statistical_rarity": "statistical_rarity",
    }  # fmt: skip
    top: TopSection | None = None  # only the best samples, as the paper's view; none: all of them
    outliers: OutlierSection | None = None  # none: every value counts
    draws: Count = 2000  # of bootstrap
    permutations: Count = 9999  # most sign patterns of a test; few prompts have fewer, which are all tried
    family: Literal["table", "metric"] = "table"  # Holm's: all comparisons on one side of the split, or of one metric
    seed: Seed = 42


class WinRateSection(Section):
    """What pairwise votes say."""

    ties: Literal["drop", "half"] = "drop"  # drop: a tie is no vote; half: half a win for both
    draws: Count = 2000  # of bootstrap over prompts and raters
    seed: Seed = 42


class ChangeSection(Section):
    """What a variant has otherwise than the recipe's sections say."""

    weigh: dict[str, Any] = {}  # keys of weigh
    train: dict[str, Any] = {}  # keys of train


class StudySection(Section):
    """Several runs in one: every variant at every λ, seed and policy. What they share is done once."""

    seeds: list[Seed] = []  # none: the seeds that the sections state
    reseed: Annotated[list[Seeded], Field(min_length=1)] = ["sft", "train", "generate"]  # whose seed they replace
    lambdas: Annotated[list[Positive], Field(min_length=1)] = [1.0]  # each multiplies the λ of variants with signals
    sweep: list[Name] = []  # variants that lambdas multiply; none: every one that has signals
    changes: dict[Name, ChangeSection] = {}  # VARIANT: {train: {loss: margin}, weigh: {combine: none}}
    policies: dict[Name, PolicySection] = {}  # none: policy alone; of several, the first measures surprise: base

    @model_validator(mode="after")
    def _each_once(self) -> StudySection:
        for key in ("seeds", "reseed", "lambdas"):
            written = [f"{value:g}" if key == "lambdas" else str(value) for value in getattr(self, key)]
            for value in written:
                if written.count(value) > 1:
                    raise ValueError(f"{key}: {value} is there twice; name each once")
        return self


class NoveltyBenchSection(Section):
    """NoveltyBench, metric version 1.0, of the models: see docs/noveltybench.md."""

    prompts: list[str] = []  # none: not run; curated and wildchat after `crpo fetch noveltybench`, or tables of prompts
    swept: bool = True  # of models at another λ than 1, too
    limit: Count | None = None  # the first prompts of each set only, for trying things out
    k: Annotated[int, Field(ge=2)] = 10  # generations of each prompt
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 512
    judge: Any = "deberta"  # a name or {use: name, setting: value}: deberta, cross_encoder, words, paragraphs, exact
    quality_model: str | None = None  # none, in a run: models.quality if it can be used; without one no utility
    quality_dtype: Literal["float32", "bfloat16", "float64"] | None = None  # none: bfloat16 for the benchmark's own
    quality_revision: str | None = None
    calibrate: list[str] = []  # published scores.jsonl with generations, for another reward model than the benchmark's
    patience: Annotated[float, Field(gt=0, le=1)] = 0.8  # probability that a user looks at one more generation
    draws: Count = 2000  # of bootstrap
    seed: Seed = 42  # of the samples; in a run generate.seed


class ReportSection(Section):
    """The page."""

    title: str = "Creative Preference Optimization"
    prompts: Count = 4  # prompts whose samples are shown side by side
    samples: Count = 3
    seed: Seed = 42
    win_rates: str | None = None  # people's votes between models, as crpo winrate and crpo panel results write them
