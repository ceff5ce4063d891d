"""The settings of study/validation.yaml by what their models do on validation items, as a table.

    crpo run study/validation.yaml --out runs/validation --workers 2
    python study/settings.py runs/validation study/settings.csv

The one chosen is the one with the highest people_score of those whose surprise_bits is at most half a bit above SFT's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from crpo.arms import SFT, UNTRAINED
from crpo.errors import CrpoError, InputError
from crpo.recipe import Recipe
from crpo.tables import read_table, write_table

STRANGER = 0.5  # bits per token above SFT's, under the base model


def compared(run: Path) -> pd.DataFrame:
    """Return a row per variant: learning_rate, beta, a column per metric (estimate over prompts and tasks), chosen.

    `chosen` is "yes" for one of them, by the rule above. Base and SFT stand beside them.
    """
    if not (run / "report" / "done.json").is_file():
        raise InputError(f"{run} is not a finished run", "Make it with: crpo run study/validation.yaml.")
    recipe = Recipe.model_validate(json.loads((run / "run.json").read_text(encoding="utf-8"))["recipe"])
    estimates = read_table(run / "report" / "estimates.csv", "estimates").query("split == 'all'")
    values = estimates.pivot(index="model", columns="metric", values="value")
    rows = []
    for model in dict.fromkeys(estimates["model"]):
        train = recipe.of_variant(str(model)).train
        used = {} if model in UNTRAINED else {"learning_rate": train.learning_rate, "beta": train.beta}
        rows.append({"model": model, **used, **values.loc[str(model)].to_dict()})
    table = pd.DataFrame(rows).set_index("model")
    near = table["surprise_bits"] - values.loc[[SFT], "surprise_bits"].mean() <= STRANGER
    best = table.loc[near & ~table.index.isin(UNTRAINED), "people_score"].idxmax()
    return table.assign(chosen=["yes" if name == best else "" for name in table.index]).reset_index()


def main() -> None:
    """Write the table and show it."""
    run, out = map(Path, sys.argv[1:3])
    table = compared(run).round(6)
    write_table(table, out)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except CrpoError as error:
        sys.exit(f"error: {error}")
