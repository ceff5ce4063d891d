"""The policies of study/policies.yaml by their loss on answers to validation items, as a table.

    crpo run study/policies.yaml --out runs/policies --until base --workers 2
    python study/policy_search.py runs/policies study/policies.csv

Bits per character, so that tokenizers compare: −log2 p of all answers and their ends, over their characters and ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.answers import answer_logps, encode_answers
from crpo.errors import CrpoError, InputError
from crpo.models import load_language_model
from crpo.progress import track
from crpo.recipe import Recipe
from crpo.tables import read_table, write_table

TRAINING_SAMPLE = 1500  # answers that the loss on training answers is measured on, drawn by seed


def bits_per_character(model: str, answers: pd.DataFrame) -> float:
    """Return the mean bits per character of answers (columns prompt, response) under a model's folder or name."""
    policy, chat = load_language_model(model)
    encoded, places = encode_answers(chat, zip(answers["prompt"], answers["response"], strict=True))
    logps = np.asarray(answer_logps(policy, encoded)[0])[places]
    return float(-logps.sum() / np.log(2) / (answers["response"].str.len() + 1).sum())


def searched(run: Path) -> pd.DataFrame:
    """Return a row per policy of the run whose base model is there.

    Returns
    -------
    DataFrame
        name, the settings of `policy.tiny`, parameters, training and validation (bits per character; validation is the
        mean over tasks, which have very different numbers of answers), and one column for each task.
    """
    if not (run / "run.json").is_file():
        raise InputError(f"{run} is not a run folder: it has no run.json", "Name what crpo run made.")
    recipe = Recipe.model_validate(json.loads((run / "run.json").read_text(encoding="utf-8"))["recipe"])
    answers = read_table(run / "split" / "answers.csv", "identified answers")
    training = answers[answers["split"] == "train"].sample(TRAINING_SAMPLE, random_state=0)
    validation = answers[answers["split"] != "train"]
    rows = []
    with track("measuring policies", len(recipe.study.policies)) as advance:
        for name, policy in recipe.study.policies.items():
            folder = run / "base" / name
            if (folder / "done.json").is_file():
                model = str(folder / "model")
                tasks = {task: bits_per_character(model, own) for task, own in validation.groupby("task")}
                measured = {"training": bits_per_character(model, training), "validation": np.mean([*tasks.values()])}
                told = {"parameters": load_language_model(model)[0].num_parameters(), **measured, **tasks}
                rows.append({"name": name, **policy.tiny.model_dump(), **told})
            advance(1)
    return pd.DataFrame(rows).sort_values("validation", kind="stable")


def main() -> None:
    """Write the table and show it."""
    run, out = map(Path, sys.argv[1:3])
    table = searched(run).round(4)
    write_table(table, out)
    print(table.to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except CrpoError as error:
        sys.exit(f"error: {error}")
