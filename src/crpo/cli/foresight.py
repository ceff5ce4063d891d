"""What `crpo run --dry-run` tells: every run and every step, with tokens, memory and hours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crpo.cli.options import tell

if TYPE_CHECKING:
    import pandas as pd

    from crpo.plan.costs import Device
    from crpo.recipe import Recipe
    from crpo.stages.step import Step

WITH_MODELS = ("base", "sft", "reference", "score", "train", "generate", "evaluate", "noveltybench")
CPU, GPU = "cpu-core", "a100"  # estimated for where --device says nothing: a tiny policy, or another


def foretell(settings: Recipe, steps: Sequence[Step], folder: Path, device: str | None, json: bool) -> None:
    """Print what a run would do, and what that takes."""
    from crpo.arms import arms_of, policies_of
    from crpo.plan.amounts import amounts_of
    from crpo.plan.baselines import foresee_baselines
    from crpo.plan.costs import device_named
    from crpo.plan.forecast import forecast, runs_table
    from crpo.runs import stale
    from crpo.stages.departures import differences

    tiny = all(policy.model == "tiny" for policy in policies_of(settings).values())
    chosen = device_named(device or (CPU if tiny else GPU))
    missing = any(not path.exists() for step in steps for path in step.reads)
    to_do = [step.name for step in steps] if missing else stale(steps, folder)
    arms = arms_of(settings)
    amounts = amounts_of(settings, steps, to_do, folder)
    table = forecast(steps, arms, to_do, amounts, chosen)
    left, runs = table[~table["done"]], runs_table(arms, table)
    facts = {
        "folder": str(folder), "steps to do": len(to_do), "of": len(steps), "next": ", ".join(to_do[:8]) or "none",
        "runs": len(runs), "device": f"{chosen.name} ({chosen.title})",
        "hours left": round(float(left["hours"].sum()), 4), "largest memory, GB": _largest(left),
        "counted from": amounts.source, "pairs": amounts.pairs, "held-out prompts": len(amounts.held_out),
        "not estimated": ", ".join(_not_estimated(left)) or "none",
    }  # fmt: skip
    paper = differences(settings)
    baselines = foresee_baselines(settings, steps, to_do, folder)
    if json:
        lists = {"differences": paper, "run list": _records(runs), "step list": _records(table), "baselines": baselines}
        tell({**facts, **lists}, as_json=True)
    else:
        _show(runs, table, paper, chosen)
        tell({**facts, **_baselines_told(baselines)}, as_json=False)


def _baselines_told(baselines: Sequence[dict[str, Any]]) -> dict[str, str]:
    names = ("to draw", "already there", "used so far", "input tokens", "output tokens", "cost")
    return {f"baseline {row['baseline']}": ", ".join(f"{name}: {row[name]}" for name in names) for row in baselines}


def _not_estimated(table: pd.DataFrame) -> list[str]:
    """Return the steps in which models work and whose hours are not known."""
    stages = table["step"].str.split("/").str[0]
    return table.loc[table["hours"].isna() & stages.isin(WITH_MODELS), "step"].tolist()


def _largest(table: pd.DataFrame) -> float | None:
    largest = float(table["memory_gb"].max())
    return None if math.isnan(largest) else round(largest, 3)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows for JSON, which knows no NaN."""
    rows = table.to_dict("records")
    return [{str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def _show(runs: pd.DataFrame, steps: pd.DataFrame, paper: Mapping[str, tuple[object, object]], device: Device) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 120)
    own = Table("run", "seed", "tokens", "memory, GB", "hours", title="runs: training, samples and metrics of each")
    for row in runs.to_dict("records"):
        own.add_row(row["model"], str(row["seed"]), *_cells(row, device))
    shown = Table("step", "tokens", "memory, GB", "hours", "", title=f"steps on {device.title}")
    for row in steps.to_dict("records"):
        shown.add_row(row["step"], *_cells(row, device), "done" if row["done"] else "")
    differing = Table("setting", "here", "paper", title="what differs from the paper")
    for key, (here, there) in paper.items():
        differing.add_row(key, str(here), str(there))
    console.print(own, shown, differing)


def _cells(row: Mapping[Any, Any], device: Device) -> list[str]:
    too_much = " (too much)" if row["memory_gb"] > device.memory else ""
    memory = _number(row["memory_gb"])
    return [_tokens(row["tokens"]), f"{memory}{too_much}", _number(row["hours"])]


def _tokens(tokens: float) -> str:
    if math.isnan(tokens):
        return "–"
    return f"{tokens / 1e6:.2f} M" if tokens >= 1e4 else f"{tokens:.0f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.01" if 0 < value < 0.01 else f"{value:.3g}"
