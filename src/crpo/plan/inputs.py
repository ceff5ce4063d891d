"""What steps read: which earlier steps, which files outside the run folder, and how their tables are read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crpo.arms import SFT, Arm, at
from crpo.components import Spec, source_file
from crpo.recipe import Recipe
from crpo.recipe.sections import EngineSection
from crpo.stages.step import Folders
from crpo.tables import read_table

# Settings no result depends on: changing them redoes nothing.
NO_RESULT = {
    "checkpoint_minutes", "watch", "report_to", *EngineSection.model_fields,
    "max_error_share", "baselines", "max_cost", "max_tokens", "prices",
}  # fmt: skip
HELDOUT = "prompts.csv"  # the table of the step "prompts"


def answers_step(recipe: Recipe) -> str:
    """Return the step whose answers.csv everything after starts from."""
    return "rate" if recipe.data.ratings else "split"


def base_needs(arm: Arm) -> tuple[str, ...]:
    """Return the step that makes an arm's base model, where it is not one of the hub or a folder."""
    return (at("base", arm.origin),) if arm.recipe.policy.model == "tiny" else ()


def reference_needs(arm: Arm) -> tuple[str, ...]:
    """Return the step of an arm's reference log-probs, where the loss has a reference."""
    # As crpo.losses.WITHOUT_REFERENCE, which needs torch.
    return () if arm.recipe.train.loss == "simpo" else (at("reference", arm.start),)


def identity(recipe: Recipe) -> dict[str, object]:
    """Return what the policy is before training, which may also measure surprise."""
    return recipe.policy.model_dump(include={"model", "revision", "dtype", "chat_template"})


def local(model: str) -> tuple[Path, ...]:
    """Return the path that a model's name is, if it is one; "" names none."""
    path = Path(model).expanduser()
    return (path,) if model and path.exists() else ()


def measures(ruler: Arm) -> tuple[str, ...]:
    """Return the steps that make the measuring models; `ruler` is the arm whose base may measure surprise."""
    models = ruler.recipe.models
    rater = ("rater",) if models.quality == "learned" else ()
    return (*rater, *(base_needs(ruler) if models.surprise == "base" else ()))


def measuring_files(ruler: Arm) -> tuple[Path, ...]:
    """Return the files and folders outside the run that measuring reads: models, a user's own code, a corpus."""
    recipe = ruler.recipe
    names = (recipe.models.embedder, recipe.models.surprise, recipe.models.quality)
    policy = local(recipe.policy.model) if recipe.models.surprise == "base" else ()
    return (*(path for name in names for path in local(name)), *policy, *_own_code(recipe), *_named_files(recipe))


def _own_code(recipe: Recipe) -> tuple[Path, ...]:
    """Return the files of the user's own signals and metrics: a changed one makes its results stale."""
    specs: list[Spec] = [*recipe.score.signals.values(), *recipe.evaluate.metrics.values()]
    names = [str(spec if isinstance(spec, str) else spec.get("use")) for spec in specs]
    names += [recipe.evaluate.top.by] if recipe.evaluate.top else []
    return tuple(sorted({source_file(name) for name in names if ":" in name}))


def _named_files(recipe: Recipe) -> tuple[Path, ...]:
    """Return the files and folders that settings of signals and metrics name: a corpus, a model."""
    specs: list[Spec] = [*recipe.score.signals.values(), *recipe.evaluate.metrics.values()]
    values = {value for spec in specs if not isinstance(spec, str) for key, value in spec.items() if key != "use"
              and isinstance(value, str)}  # fmt: skip
    return tuple(path for value in sorted(values) for path in local(value))


def records_kept(recipe: Recipe) -> str:
    """Return what `Step.apart` says of what measures: "records" where judges keep replies in files, else ""."""
    specs: list[Spec] = [*recipe.score.signals.values(), *recipe.evaluate.metrics.values()]
    return "records" if any(not isinstance(spec, str) and spec.get("records") for spec in specs) else ""


def made_by(arm: Arm) -> tuple[str, ...]:
    """Return the step that makes an arm's model; none where it is not made here."""
    if arm.trained:
        return (f"train/{arm.folder}",)
    return (at("sft", arm.start),) if arm.variant == SFT else base_needs(arm)


def base_model(arm: Arm, inputs: Folders) -> str:
    """Return the hub id or folder of the model that an arm's training begins with."""
    made = base_needs(arm)
    return model_of(inputs[made[0]]) if made else arm.recipe.policy.model


def model_of(step: Path) -> str:
    """Return the folder of the model that a step made."""
    # Whole, because an adapter's file names its base, and is loaded from other folders later.
    return str((step / "model").resolve())


def measuring_models(ruler: Arm, inputs: Folders) -> dict[str, str | None]:
    """Return the values of the signals' model fields."""
    recipe = ruler.recipe
    surprise, quality, policy = recipe.models.surprise, recipe.models.quality, recipe.policy
    return {
        "embedder": recipe.models.embedder,
        "language_model": base_model(ruler, inputs) if surprise == "base" else surprise,
        "quality_model": str(inputs["rater"] / "rater.npz") if quality == "learned" else quality,
        "chat_template": policy.chat_template,
        "dtype": policy.dtype,
        "quality_dtype": policy.dtype,
        **({"revision": policy.revision} if surprise == "base" and policy.model != "tiny" else {}),
    }


def drawer_files(drawer: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return what a generator reads, by its identity (`crpo.stages.order`): a model here, a table, a user's code."""
    parts = (drawer, drawer.get("over", {}))
    files = [path for part in parts for value in part.values() if isinstance(value, str) for path in local(value)]
    code = [source_file(part["generator"]) for part in parts if ":" in part.get("generator", "")]
    return tuple(dict.fromkeys([*files, *code]))


def read_answers(folder: Path) -> pd.DataFrame:
    """Return the answers a step made."""
    return read_table(folder / "answers.csv", "identified answers")


def watched_prompts(inputs: Folders) -> list[str] | None:
    """Return the prompts held out of training; None where there is none."""
    path = inputs["prompts"] / HELDOUT
    return read_table(path, "prompts")["prompt"].tolist() if path.exists() else None
