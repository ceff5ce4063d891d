"""A finished run as the results need it: its recipe, its arms, and the tables of its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from crpo.arms import Arm, arms_of, distinct
from crpo.errors import InputError
from crpo.recipe import Recipe
from crpo.tables import read_table
from names import BASELINE

NEEDED = (
    "run.json", "report/done.json", "report/arms.csv", "report/scores.csv", "report/estimates.csv",
    "report/comparisons.csv",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes
    ----------
    folder : Path
    recipe : Recipe
    arms : list of Arm
        Those of `crpo.arms.arms_of`, in the order of `table` (run.json forgets the order of variants).
    table : DataFrame
        `report/arms.csv`: model, variant, lambda, policy, seed.
    scores, estimates, comparisons : DataFrame
        The report's tables; seeds as text.
    """

    folder: Path
    recipe: Recipe
    arms: list[Arm]
    table: pd.DataFrame
    scores: pd.DataFrame
    estimates: pd.DataFrame
    comparisons: pd.DataFrame

    def models(self, *, swept: bool = True) -> list[str]:
        """Return the labels of the arms in order; without `swept` those at another λ than 1 are left out."""
        own = self.table if swept else self.table[self.table["lambda"].isna() | (self.table["lambda"] == 1)]
        return list(dict.fromkeys(own["model"]))

    def from_baseline(self) -> pd.DataFrame:
        """Return the differences from DPO."""
        return self.comparisons[self.comparisons["baseline"] == BASELINE]

    def account(self, step: str) -> pd.DataFrame:
        """Return what a step counted: stage, what, count."""
        return read_table(self.folder / step / "account.csv", "account")

    def answers(self) -> pd.DataFrame:
        """Return people's answers with prompt_id, task, item, response, split, each once."""
        table = read_table(self.folder / "split" / "answers.csv", "answers")
        return table.drop_duplicates("response_id", ignore_index=True)

    def samples(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each model's label with its samples of all seeds, in the order of the arms."""
        for model in self.models():
            own = [arm for arm in self.arms if arm.model == model]
            tables = [self._samples(arm) for arm in own]
            yield model, pd.concat(tables, ignore_index=True)

    def pair_weights(self) -> pd.DataFrame:
        """Return variant, lambda, and what `weigh` counted of each variant at each λ, a column for each count."""
        rows = []
        for arm in distinct([arm for arm in self.arms if arm.trained], "weights"):
            told = self.account(f"weigh/{arm.weights}")
            rows.append({"model": arm.model, **dict(zip(told["what"], told["count"], strict=True))})
        return pd.DataFrame(rows)

    def noveltybench(self) -> pd.DataFrame | None:
        """Return `report/noveltybench.csv`, where NoveltyBench was run."""
        path = self.folder / "report" / "noveltybench.csv"
        return pd.read_csv(path) if path.exists() else None

    def _samples(self, arm: Arm) -> pd.DataFrame:
        table = read_table(self.folder / "generate" / arm.folder / "samples.csv", "samples")
        return table.assign(model=arm.model, seed=str(arm.seed))


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises
    ------
    InputError
        Where something is not there that a finished run has, or the recipe is not one of this version.
    """
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is not a finished run: it has no {missing[0]}",
                         "Make it with: crpo run study/study.yaml --out runs/study.")  # fmt: skip
    try:
        recipe = Recipe.model_validate(json.loads((folder / "run.json").read_text(encoding="utf-8"))["recipe"])
    except (ValueError, KeyError, ValidationError) as error:
        raise InputError(f"{folder / 'run.json'} holds no recipe of this version", "Run the recipe again.") from error
    table = pd.read_csv(folder / "report" / "arms.csv", dtype={"seed": str})
    places = {model: place for place, model in enumerate(dict.fromkeys(table["model"]))}
    arms = sorted(arms_of(recipe), key=lambda arm: places[arm.model])
    scores, estimates, comparisons = (
        read_table(folder / "report" / f"{name}.csv", name) for name in ("scores", "estimates", "comparisons")
    )
    return Run(folder, recipe, arms, table, scores, estimates, comparisons)
