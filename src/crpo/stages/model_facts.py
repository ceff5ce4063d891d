"""What is known of a trained model: from the run folder it lies in, and from nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crpo.arms import BASE, SFT, Arm, arms_of, at
from crpo.errors import InputError, did_you_mean
from crpo.pairs import effective_sample_size
from crpo.recipe import Recipe, check_section
from crpo.tables import read_table

CONFIGURATION, ADAPTER = "config.json", "adapter_config.json"
DATA_STEPS = ("split", "rate", "pair", "score")


@dataclass(frozen=True)
class ModelFacts:
    """A model's folder, and what is known of it; None is not known.

    Attributes
    ----------
    folder : Path
        Where its weights are.
    name : str
        Its label in the run's tables, else its folder's name.
    is_adapter : bool
        Whether the folder holds LoRA adapters.
    run : Path or None
        The run folder it lies in; without one nothing below is known.
    step : str
        The step that made it: "train/CrPO-nov".
    arm : Arm or None
        With the recipe that makes this model alone.
    versions : mapping of str to str
    account : DataFrame
        stage, what, count: of data and weights.
    weights : DataFrame or None
        of, zero_share, effective_sample_size, pairs: of the pairs' weights, and of each signal with λ > 0 alone; None
        for a model that no pair has touched.
    estimates, comparisons, warnings : DataFrame or None
        Rows of the run's tables on this model (estimates: and on what it is compared with).
    languages : list of (str, int), tasks : list of str
        Of the answers it was trained on; a blank language is not stated.
    seeds : int
        With how many seeds the run trained a model of this name.
    doubt : str
        What may be wrong with all this, as a sentence.
    """

    folder: Path
    name: str
    is_adapter: bool
    run: Path | None = None
    step: str = ""
    arm: Arm | None = None
    versions: dict[str, str] | None = None
    account: pd.DataFrame | None = None
    weights: pd.DataFrame | None = None
    estimates: pd.DataFrame | None = None
    comparisons: pd.DataFrame | None = None
    warnings: pd.DataFrame | None = None
    languages: Sequence[tuple[str, int]] = ()
    tasks: Sequence[str] = ()
    seeds: int = 0
    doubt: str = ""


def find_model_folder(given: Path) -> Path:
    """Return the folder with the weights: the one given, its `model`, or of RUN/ARM the one the run's step made.

    Raises
    ------
    InputError
        When there is none, naming the run's models where it is a run.
    """
    for folder in (given, given / "model"):
        if any((folder / name).is_file() for name in (CONFIGURATION, ADAPTER)):
            return folder
    run = next((folder for folder in (given, *given.parents) if (folder / "run.json").is_file()), None)
    if run is None:
        raise InputError(f"{given} holds no model", "Name a folder with config.json, or RUN/ARM of a run folder.")
    place = given.relative_to(run).as_posix()
    known = {arm.folder: step for arm in arms_of(recorded(run)[0]) if (step := _step_of(arm)) is not None}
    step = known.get(place, place)
    if (run / step / "model").is_dir():
        return run / step / "model"
    done = sorted(name for name, own in known.items() if (run / own / "model").is_dir())
    raise InputError(f"the run {run} has no model {place!r}", did_you_mean(place, done or ["none yet"]))


def recorded(run: Path) -> tuple[Recipe, dict[str, str]]:
    """Return the recipe and the versions that run.json holds; InputError when it is damaged."""
    path = run / "run.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return check_section(Recipe, content["recipe"], str(path)), dict(content.get("versions", {}))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged", "Repeat the crpo run that made it.") from error


def read_facts(folder: Path, *, with_results: bool = True) -> ModelFacts:
    """Collect what the run folder says about a model.

    Parameters
    ----------
    folder : Path
        Of `find_model_folder`.
    with_results : bool
        False leaves the results out, as where they are of an earlier state.

    Raises
    ------
    InputError
        When the model's training is not finished.
    """
    whole = folder.resolve()
    is_adapter = (folder / ADAPTER).is_file()
    run = next((parent for parent in whole.parents if (parent / "run.json").is_file()), None)
    if run is None:
        return ModelFacts(folder, whole.name if whole.name != "model" else whole.parent.name, is_adapter)
    recipe, versions = recorded(run)
    step = whole.parent.relative_to(run).as_posix()
    arms = [arm for arm in arms_of(recipe) if _step_of(arm) == step]
    if not arms:
        return ModelFacts(folder, step, is_adapter)
    if not (run / step / "done.json").exists():
        raise InputError(f"{run / step} is not finished", "Finish it with crpo run.")
    arm = arms[0]
    results = _results(run, arm) if with_results else (None, None)
    answers = read_table(run / ("rate" if recipe.data.ratings else "split") / "answers.csv", "identified answers")
    trained = answers[answers["split"] == "train"]
    languages = trained["language"] if "language" in trained else pd.Series("", trained.index)
    return ModelFacts(
        folder, arm.model, is_adapter, run, step, arm, versions, _account(run, arm), _weights(run, arm), *results,
        _optional(run / step / "warnings.csv", "warnings"),
        [(str(name), int(count)) for name, count in languages.value_counts().items()],
        sorted(set(trained["task"])), len({other.seed for other in arms_of(recipe) if other.model == arm.model}),
    )  # fmt: skip


def _step_of(arm: Arm) -> str | None:
    """Return the step that makes an arm's model; None where the run does not make it."""
    if arm.trained:
        return f"train/{arm.folder}"
    if arm.variant == SFT:
        return at("sft", arm.start)
    return at(BASE, arm.origin) if arm.recipe.policy.model == "tiny" else None


def _account(run: Path, arm: Arm) -> pd.DataFrame:
    folders = [run / step for step in DATA_STEPS] + ([run / at("weigh", arm.weights)] if arm.trained else [])
    parts = [read_table(folder / "account.csv", "account") for folder in folders if (folder / "account.csv").exists()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=pd.Index(["stage", "what", "count"]))


def _weights(run: Path, arm: Arm) -> pd.DataFrame | None:
    if not arm.trained:
        return None
    pairs = read_table(run / at("weigh", arm.weights) / "pairs.csv", "pairs")
    columns = {"the weight": "weight"}
    columns |= {f"{name} of the chosen answer (λ = {value:g})": f"{name}_chosen"
                for name, value in arm.lambdas.items() if value > 0}  # fmt: skip
    rows = []
    for of, column in columns.items():
        values = pd.to_numeric(pairs[column]).to_numpy(float)
        rows.append((of, float((values == 0).mean()), effective_sample_size(values), len(values)))
    return pd.DataFrame(rows, columns=pd.Index(["of", "zero_share", "effective_sample_size", "pairs"]))


def _results(run: Path, arm: Arm) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    estimates = _optional(run / "report" / "estimates.csv", "estimates")
    comparisons = _optional(run / "report" / "comparisons.csv", "comparisons")
    if estimates is None:
        return None, None
    own = None if comparisons is None else comparisons[comparisons["model"] == arm.model].reset_index(drop=True)
    shown = [arm.model, *([] if own is None else own["baseline"])]
    return estimates[estimates["model"].isin(shown)].reset_index(drop=True), own


def _optional(path: Path, kind: str) -> pd.DataFrame | None:
    return read_table(path, kind) if path.exists() else None
