"""What `crpo export --model` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from crpo.cli.options import tell
from crpo.errors import InputError
from crpo.progress import say

if TYPE_CHECKING:
    from crpo.stages.model_facts import ModelFacts


def export_model(model: Path, output: Path, *, merge: bool, title: str, licence: str, base: str, as_json: bool) -> None:
    """Write a model of a run folder, or of any folder, with its card."""
    from crpo.stages.model_card import Stated
    from crpo.stages.model_export import export_model as export_stage
    from crpo.stages.model_facts import find_model_folder

    facts = _facts(find_model_folder(model))
    files = export_stage(facts, output, Stated(title, licence, base), merge=merge)
    known = str(facts.run) if facts.arm is not None else "nothing: it is not from a run folder"
    unknown = {} if licence else {"note": "no --licence was given: the card states none"}
    tell({"model": facts.name, "known from": known, "adapters": facts.is_adapter and not merge, **unknown,
          "written": ", ".join(map(str, files))}, as_json)  # fmt: skip


DOUBT = (
    "The run folder is not up to date: settings, inputs or crpo itself have changed since this model was trained, so "
    "that recipe and results may be of another state."
)


def _facts(folder: Path) -> ModelFacts:
    """Collect the facts, after a look at whether the run's recipe and results are still those of the model."""
    from crpo.stages.model_facts import read_facts

    facts = read_facts(folder)
    if facts.run is None or facts.arm is None:
        return facts
    stale = _stale(facts.run)
    if facts.step in stale:
        say(f"  {DOUBT} The card says so; crpo run brings it up to date.")
        return dataclasses.replace(facts, doubt=DOUBT)
    if "report" in stale and facts.estimates is not None:
        say("  the run's report is of an earlier state, so the card holds no results: finish the run with crpo run")
        return read_facts(folder, with_results=False)
    return facts


def _stale(run: Path) -> list[str]:
    from crpo.plan import plan
    from crpo.runs import stale
    from crpo.stages.model_facts import recorded

    try:
        return stale(plan(recorded(run)[0]), run)
    except InputError as error:  # files that the run read are elsewhere now
        say(f"  whether the run's tables are up to date cannot be told: {error}")
        return []
