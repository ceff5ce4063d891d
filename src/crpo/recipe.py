"""The recipe: one strict YAML file for a whole run. Every default lives here and nowhere else.

Defaults follow the paper (arXiv 2505.14442) except where a field says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crpo.errors import InputError, did_you_mean

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
S = TypeVar("S", bound=BaseModel)
Lambdas = dict[str, Annotated[float, Field(ge=0)]]


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values cannot change after reading."""

    # Defaults are validated too: a λ of 1 written out must hash as the default does.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, validate_default=True
    )


class DataSection(Section):
    """Where people's answers come from, and what is held out of training."""

    responses: str | None = None  # a table of scored answers
    ratings: str | None = None  # a long table of ratings, or "bundled": the simulated corpus
    heldout_tasks: list[str] = []  # tasks never seen in training
    heldout_items: Annotated[int, Field(ge=0)] | dict[str, list[str]] = (
        2  # of every other task: how many (drawn by seed), or which
    )
    merge_duplicates: bool = True  # equal normalised answers to a prompt become one, with their mean score (ours)
    limit: Count | None = None  # keep this many answers, drawn by seed: for trying things out
    seed: Seed = 42

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.responses is None) == (self.ratings is None):
            raise ValueError("give exactly one of data.responses and data.ratings")
        return self


class RateSection(Section):
    """Ratings to factor scores (judge response theory)."""

    model: Literal["grm", "cgrm"] = "grm"
    prior: Literal["weak", "none", "normal"] = "weak"  # weak beats R's estimator (none) on sparse designs
    filter: Literal["lr", "none"] = (
        "lr"  # the paper's genetic algorithm finds nearly the same raters at 18-35x the cost
    )


class PairSection(Section):
    """MuCE-PREF's and MuCE-SFT's rules."""

    min_score: float = 20.0
    min_gap: Annotated[float, Field(ge=0)] = 5.0
    max_uses: Count = 10
    max_per_prompt: Count | None = None  # not in the paper
    order: Literal["table", "random"] = "table"
    agreement: Literal["any", "partial", "full"] = "any"  # which answers may be paired, where ratings are known
    sft_min_score: float = 30.0
    seed: Seed = 42


class ScoreSection(Section):
    """The creativity signals of people's answers."""

    signals: dict[str, Any] = {
        "novelty": "novelty", "diversity": "diversity", "surprise": "surprise", "quality": "quality",
    }  # fmt: skip
    over: Literal["chosen", "all"] = "chosen"  # the population of a prompt: its chosen answers, or every paired one
    scale: Literal["minmax", "log_minmax", "rank"] = "minmax"


class WeighSection(Section):
    """Signals to a weight per pair."""

    combine: Literal["sum", "contrast", "product"] = "sum"
    mean_weight: Positive | None = None  # rescale so that weights average this; the paper does not


class ModelsSection(Section):
    """The models that measure."""

    embedder: str = "minilm"  # the paper: jina-embeddings-v3 (remote code, non-commercial licence)
    surprise: str = "base"  # "base" is the policy before SFT; the paper: google/gemma-2-27b-it
    quality: str = "learned"  # "learned" is a ridge regression; the paper: Skywork-Reward-Gemma-2-27B-v0.2


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
    accumulation: Count = 1
    gradient_checkpointing: bool = False
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
    loss: Literal["dpo", "ipo", "hinge"] = "dpo"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    pairs_per_step: Count = 128
    pairs_per_prompt: Count = 8  # 1 is the paper's SGD exactly; 8 halves the answers encoded, or better


class DecodingSection(Section):
    """One cell of the decoding grid."""

    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0 keeps every token
    samples: Count = 4


class GenerateSection(Section):
    """Samples per held-out prompt; the default grid is the paper's, 16 samples."""

    grid: Annotated[list[DecodingSection], Field(min_length=1)] = [
        DecodingSection(temperature=0.7, top_p=0.95), DecodingSection(temperature=0.9, top_p=0.99),
        DecodingSection(temperature=0.7, top_k=50), DecodingSection(temperature=0.8, top_p=0.97),
    ]  # fmt: skip
    max_new_tokens: Count = 64
    seed: Seed = 42


class EvaluateSection(Section):
    """Metrics of the samples."""

    metrics: Annotated[dict[str, Any], Field(min_length=1)] = {
        "novelty": "novelty", "diversity": "diversity", "surprise": "surprise", "quality": "quality", "words": "words",
    }  # fmt: skip
    draws: Count = 2000
    seed: Seed = 42


class ReportSection(Section):
    """The page."""

    title: str = "Creative Preference Optimization"
    prompts: Count = 4  # prompts whose samples are shown side by side
    samples: Count = 3
    seed: Seed = 42


class Recipe(Section):
    """A whole run, from people's answers to the report."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    data: DataSection
    rate: RateSection = RateSection()
    pair: PairSection = PairSection()
    score: ScoreSection = ScoreSection()
    weigh: WeighSection = WeighSection()
    models: ModelsSection = ModelsSection()
    policy: PolicySection = PolicySection()
    sft: SftSection = SftSection()
    train: TrainSection = TrainSection()
    variants: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], Lambdas] = {
        "DPO": {},
        "CrPO-nov": {"novelty": 1},
        "CrPO-div": {"diversity": 1},
        "CrPO-sur": {"surprise": 1},
        "CrPO-qua": {"quality": 1},
        "CrPO-nov-div-sur": {"novelty": 1, "diversity": 1, "surprise": 1},
        "CrPO-cre": {"novelty": 1, "diversity": 1, "surprise": 1, "quality": 1},
    }
    generate: GenerateSection = GenerateSection()
    evaluate: EvaluateSection = EvaluateSection()
    report: ReportSection = ReportSection()

    @model_validator(mode="after")
    def _known_signals(self) -> Recipe:
        for variant, lambdas in self.variants.items():
            if variant in ("base", "SFT"):
                raise ValueError(f"variants.{variant}: base and SFT are always there; choose another name")
            for name in lambdas:
                if name not in self.score.signals:
                    hint = did_you_mean(name, self.score.signals)
                    raise ValueError(f"variants.{variant}: {name!r} is not among score.signals. {hint}")
        if self.weigh.combine == "contrast" and self.score.over != "all":
            raise ValueError("weigh.combine: contrast needs the rejected answers' signals; set score.over: all")
        return self


def read_recipe(path: str | Path, changes: list[str] | None = None) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : path
        A YAML file, or the name of a recipe in the package ("demo", "small").
    changes : list of str, optional
        `a.b=value` each, applied over the file; the value is YAML.

    Raises
    ------
    InputError
        Naming the file, the key, and the nearest known key.
    """
    path = find_recipe(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" row {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise InputError(f"{path}{where}: {problem}", "Correct the YAML there.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a recipe", "Write keys such as name: and data: into it.")
    apply_changes(content, changes or [])
    return check_section(Recipe, content, str(path))


def find_recipe(path: str | Path) -> Path:
    """Return the recipe file: the path itself, or the package's recipe of that name."""
    own = Path(__file__).parent / "recipes"
    for candidate in (Path(path), own / f"{path}.yaml"):
        if candidate.is_file():
            return candidate
    known = [p.stem for p in own.glob("*.yaml")]
    raise InputError(f"{path} does not exist", f"Check the path. {did_you_mean(Path(path).stem, known)}")


def check_section(kind: type[S], content: dict[str, Any], where: str) -> S:
    """Return the recipe, or the section of one, that `content` describes; InputError names the first wrong key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise _as_input_error(error, kind, where) from None


def _as_input_error(error: ValidationError, kind: type[BaseModel], where: str) -> InputError:
    first = min(
        error.errors(), key=lambda found: found["type"] != "extra_forbidden"
    )  # a misspelt key before a missing one
    keys = [str(part) for part in first["loc"]]
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return InputError(f"{where}: unknown key {key!r}", did_you_mean(keys[-1], _fields(kind, keys[:-1])))
    if first["type"] == "missing":
        return InputError(f"{where}: key {key!r} is missing", "Add it to the recipe.")
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] == "value_error" else f" (found {str(first['input'])[:60]!r})"
    return InputError(f"{where}{f', key {key!r}' if key else ''}: {message}{got}", "Correct the value.")


def _fields(section: type[BaseModel], keys: list[str]) -> list[str]:
    for key in keys:
        field = section.model_fields.get(key)
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            break
        section = inner[0]
    return list(section.model_fields)


def apply_changes(content: dict[str, Any], changes: list[str]) -> None:
    """Set `a.b=value` in nested content, in place; InputError for a change without '=' or with a value not YAML."""
    for change in changes:
        _apply(content, change)


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals:
        raise InputError(f"--set {change!r} has no '='", "Write --set section.key=value.")
    *parents, last = key.split(".")
    for parent in parents:
        inner = content.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {change!r}: {parent!r} is not a section", "Check the key.")
        content = inner
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--set {change!r}: the value is not YAML", "Quote it.") from None
