"""What the page of results is made of: tables as data, tables as Markdown, and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import policy
import summary
import training
import weights
import wording
from crpo.report.drawing import Picture
from crpo.tables import read_table
from differences import with_gain
from names import BESIDE, CREATIVE, EXPLORATORY, INDEPENDENT, SIDES, TRAINED
from pictures import pictures_of
from questions import ASKED, answered, rank_correlation, trade_off
from remedies import remedies
from run_folder import Run


@dataclass(frozen=True)
class Page:
    """The page's parts: what the template names, figures, and tables for files, by name."""

    parts: dict[str, Any]
    pictures: list[Picture]
    tables: dict[str, pd.DataFrame]


def page_of(run: Run) -> Page:
    """Compute everything that the page of a run shows."""
    section, scores = run.recipe.evaluate, with_gain(run.scores)
    rows = answered(run.scores, section)
    plane = trade_off(run.scores, run.table, section)
    correlation = rank_correlation(plane)
    apart = weights.distances(run.folder, run.arms)
    tried = remedies(run.recipe, run.scores, run.models())
    trained = training.trainings(run)
    people = people_words(run.answers())
    parts = {
        "answers": summary.short_answers(rows, correlation),
        "asked": ASKED,
        "question": {name: _question(name, rows, run, correlation) for name in ASKED},
        "apart": _apart(apart),
        "remedies": _remedies(tried),
        "trainings": training.shown(trained),
        "values": {split: _values(run, split) for split in ("all", SIDES[1])},
        "bench": _bench(run.noveltybench()),
        "people_words": wording.digits(people),
        **_about(run),
    }
    tables = {"questions": rows, "trade-off-arms": plane, "weights-apart": apart, "remedies": tried,
              "trainings": trained, "values": run.estimates, "differences-from-dpo": run.from_baseline()}  # fmt: skip
    return Page(parts, pictures_of(run, plane, scores, people), {name: own for name, own in tables.items() if len(own)})


def people_words(answers: pd.DataFrame) -> float:
    """Return people's mean words per answer to the held-out prompts, averaged by prompt, then by task."""
    own = answers[answers["split"].isin(SIDES)]
    words = pd.Series([float(len(str(text).split())) for text in own["response"]], own.index)
    by_prompt = words.groupby([own["task"], own["prompt_id"]]).mean()
    return float(by_prompt.groupby("task").mean().mean()) if len(own) else np.nan


def _question(name: str, rows: pd.DataFrame, run: Run, correlation: tuple[float, float, float, int]) -> dict[str, Any]:
    own = rows[rows["question"] == name]
    tested = own[own["family"] != ""]
    sides = {} if name != "5" else {
        side: {kind: wording.crossed(own[own["split"] == side], metrics)
               for kind, metrics in (("independent", INDEPENDENT), ("trained", TRAINED))}
        for side in SIDES
    }  # fmt: skip
    return {
        "answer": " ".join(summary.answer_of(name, rows, correlation)),
        "missing": summary.missing(own, run.models()),
        "tested": wording.crossed(tested, INDEPENDENT, star=True) if name == "5" else wording.tested(tested),
        "beside": wording.tested(own[own["family"] == ""]) if name in ("2", "7") else "",
        "sides": sides,
        "family": " and ".join(str(size) for size in tested.dropna(subset=["p"]).groupby("family").size()) or "0",
    }


def _apart(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    numbers = ("least", "mean", "largest", "cosine")
    cells = [(row["variant"], row["apart"], *(wording.digits(row[name]) for name in numbers), row["pairs"])
             for row in weights.summarised(table).to_dict("records")]  # fmt: skip
    names = ["arm", "apart by", "least", "mean", "largest", "mean cosine", "pairs of models"]
    return wording.table(pd.DataFrame(cells, columns=pd.Index(names)), left=2)


def _remedies(table: pd.DataFrame) -> dict[str, str]:
    """Return a table of the trained metrics and one of the independent ones, a row for each remedy and its baseline."""
    own = table.assign(model=table["model"] + " against " + table["baseline"])
    kinds = {"trained": TRAINED, "independent": INDEPENDENT} if len(own) else {}
    return {kind: wording.crossed(own, metrics, star=True) for kind, metrics in kinds.items()}


def _values(run: Run, split: str) -> dict[str, str]:
    own = run.estimates[run.estimates["split"] == split]
    kinds = {"trained": TRAINED, "independent": INDEPENDENT, "beside": BESIDE}
    return {kind: wording.valued(own, run.models(), metrics) for kind, metrics in kinds.items()}


def _bench(bench: pd.DataFrame | None) -> dict[str, str]:
    """Return a table for each prompt set: distinct answers and, where there is one, utility."""
    found = {}
    for name, own in bench.groupby("prompt_set", sort=False) if bench is not None else ():
        kinds = [kind for kind in ("distinct", "utility") if own[kind].notna().any()]
        cells = [(row["model"], *(wording.ranged(*(row[key] for key in (kind, f"{kind}_low", f"{kind}_high")))
                                  for kind in kinds), wording.digits(row["prompts"]), row["judge"])
                 for row in own.to_dict("records")]  # fmt: skip
        found[str(name)] = wording.table(pd.DataFrame(cells, columns=pd.Index(["arm", *kinds, "prompts", "judge"])))
    return found


def _about(run: Run) -> dict[str, Any]:
    """Return what the page says of the data, the policy and the run, from the tables of its steps."""
    counted = pd.concat([run.account(step) for step in ("split", "pair")])
    rater = run.folder / "rater" / "agreement.csv"
    cells = [
        (row["stage"], row["what"], wording.digits(row["count"])) for row in counted.to_dict("records") if row["count"]
    ]
    known = set(run.scores["metric"])
    prompts = run.scores.drop_duplicates(["task", "prompt_id"])
    absent = [metric for metric in dict.fromkeys([*TRAINED, *INDEPENDENT, *BESIDE, *CREATIVE]) if metric not in known]
    sides = {side: prompts[prompts["split"] == side] for side in SIDES}
    return {
        "counted": wording.table(pd.DataFrame(cells, columns=pd.Index(["step", "what", "count"])), left=2),
        "prompts": {side: {task: len(rows) for task, rows in own.groupby("task")} for side, own in sides.items()},
        "seeds": list(dict.fromkeys(run.table["seed"])),
        "models": run.models(),
        "recipe": run.recipe,
        "exploratory": [model for model in run.models() if model.startswith(EXPLORATORY)],
        "absent": absent,
        "rater": _rater(read_table(rater, "agreement")) if rater.exists() else "",
        "policy": policy.facts(run.folder, run.arms),
        "search": policy.choices(policy.SEARCH),
        "settings": policy.choices(policy.SETTINGS),
    }


def _rater(agreement: pd.DataFrame) -> str:
    cells = [(row["task"], wording.digits(row["responses"]), wording.digits(row["prompts"]),
              wording.ranged(row["correlation"], row["low"], row["high"]))
             for row in agreement.to_dict("records")]  # fmt: skip
    return wording.table(pd.DataFrame(cells, columns=pd.Index(["task", "answers", "prompts", "correlation [95 %]"])))
