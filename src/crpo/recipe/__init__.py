"""The recipe: one strict YAML file for a whole run. Its sections, with every default, are in `crpo.recipe.sections`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from crpo.errors import InputError, did_you_mean
from crpo.recipe.sections import (
    DataSection,
    EvaluateSection,
    GenerateSection,
    Lambdas,
    ModelsSection,
    Name,
    NoveltyBenchSection,
    PairSection,
    PolicySection,
    RateSection,
    ReportSection,
    S,
    ScoreSection,
    Section,
    SftSection,
    StudySection,
    TrainSection,
    WeighSection,
)

_UNION_TAG = re.compile(r"(literal|dict|list)\[|(bool|int|float|str|none)$|constrained-")  # not the user's words


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
    variants: dict[Name, Lambdas] = {  # noqa: RUF012
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
    noveltybench: NoveltyBenchSection = NoveltyBenchSection()
    study: StudySection = StudySection()
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
        for baseline in self.generate.baselines:
            if baseline in ("base", "SFT", *self.variants, *self.study.policies):
                raise ValueError(f"generate.baselines.{baseline}: a model of the run has this name; choose another")
        return self

    @model_validator(mode="after")
    def _signals_of_weights(self) -> Recipe:
        for variant, lambdas in self.variants.items():
            own = self.of_variant(variant)
            gate = own.weigh.gate
            if gate is not None and gate.signal not in self.score.signals:
                hint = did_you_mean(gate.signal, self.score.signals)
                raise ValueError(f"weigh.gate: {gate.signal!r} is not among score.signals. {hint}")
            chosen = [name for name, value in lambdas.items() if value > 0 and self.score.over_of(name) != "all"]
            for key, value in (("weigh.combine", own.weigh.combine), ("train.loss", own.train.loss)):
                if value in ("contrast", "none", "margin") and chosen:
                    needs = f"{key}: {value} needs the rejected answers' signals"
                    raise ValueError(f"{needs}; set score.over: all, or {{{chosen[0]}: all, …}}")
        return self

    @model_validator(mode="after")
    def _sensible_study(self) -> Recipe:
        if self.study.policies and self.policy != PolicySection():
            raise ValueError("policy: study.policies takes its place; move it there under a name")
        for key in ("changes", "sweep"):
            for name in getattr(self.study, key):
                if name not in self.variants:
                    raise ValueError(f"study.{key}: no variant is called {name!r}. {did_you_mean(name, self.variants)}")
        if self.study.lambdas == [1.0]:
            return self
        swept = [name for name in self.variants if self.sweeps(name)]
        if not swept:
            raise ValueError("study.lambdas: no variant has signals that they multiply, so λ changes nothing")
        for own in map(self.of_variant, swept):
            linear = own.weigh.combine in ("sum", "contrast") and own.train.loss != "margin"
            if own.weigh.mean_weight is not None and linear:
                raise ValueError("study.lambdas: weigh.mean_weight takes out what λ puts in; leave one of them out")
        return self

    def sweeps(self, variant: str) -> bool:
        """Return whether `study.lambdas` multiply a variant's λ."""
        has_signals = any(value > 0 for value in self.variants.get(variant, {}).values())
        return has_signals and (not self.study.sweep or variant in self.study.sweep)

    def of_variant(self, variant: str) -> Recipe:
        """Return the recipe with what `study.changes` says of a variant.

        Raises
        ------
        InputError
            When what it says is no setting of that section.
        """
        change = self.study.changes.get(variant)
        if change is None:
            return self
        where = f"study.changes.{variant}"
        weigh = check_section(WeighSection, {**self.weigh.model_dump(), **change.weigh}, f"{where}.weigh")
        train = check_section(TrainSection, {**self.train.model_dump(), **change.train}, f"{where}.train")
        return self.model_copy(update={"weigh": weigh, "train": train})


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
    own = Path(__file__).parent.parent / "recipes"
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
    keys = [str(part) for part in first["loc"] if not _UNION_TAG.match(str(part))]
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return InputError(f"{where}: unknown key {key!r}", did_you_mean(keys[-1], _fields(kind, keys[:-1])))
    if first["type"] == "missing":
        return InputError(f"{where}: key {key!r} is missing", "Add it to the recipe.")
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
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
