"""Commands on whole runs: demo, run, report."""

from __future__ import annotations

import json as json_module
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import Json, check_components, check_models, naming, tell, with_interval

if TYPE_CHECKING:
    from crpo.recipe import Recipe
    from crpo.stages.step import Step

MOST_SHOWN = 5  # metrics on the terminal, the first of the recipe

Out = Annotated[Path | None, typer.Option("--out", help="Run folder; runs/NAME by default.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value over the recipe; may be repeated.")]


def demo(
    out: Out = None,
    changes: Sets = None,
    json: Json = False,
) -> None:
    """Run the whole pipeline on the bundled simulated corpus, in minutes and without network.

    Example: crpo demo
    """
    run("demo", out, changes, json=json)


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one in the package: demo, small.")],
    out: Out = None,
    changes: Sets = None,
    limit: Annotated[int | None, typer.Option(help="Use this many answers only, drawn by seed.")] = None,
    until: Annotated[str | None, typer.Option(help="Only this step or stage and what it needs.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List runs and steps with tokens, memory and hours, and stop.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="With --dry-run: a100, h100, h200 or cpu-core.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Do independent steps side by side in so many processes, which share cores, memory and the GPU."
        ),
    ] = 1,
    json: Json = False,
) -> None:
    """Do everything from people's answers to the report; the same command again continues or does nothing.

    Example: crpo run recipes/small.yaml --set data.responses=answers.csv
    """
    from crpo.cli.foresight import foretell
    from crpo.plan import plan
    from crpo.recipe import read_recipe
    from crpo.runs import execute, needed_for
    from crpo.stages.departures import differences
    from crpo.stages.train import require_training

    settings = read_recipe(recipe, [*(changes or []), *([] if limit is None else [f"data.limit={limit}"])])
    folder = out or Path("runs") / settings.name
    steps = needed_for(plan(settings), until)
    if not dry_run:
        require_training()
    _check_parts(settings)
    if dry_run:
        foretell(settings, steps, folder, device, json)
        return
    _check_input(steps, folder)
    _check_drawing(settings, steps, folder)
    differing = ", ".join(differences(settings)) or "in no setting"
    opening = f"differs from the paper (--dry-run shows how): {differing}"
    with naming(Path(recipe)):
        done = execute(steps, folder, about=_about(settings), opening=opening, workers=workers)
    page = folder / "report" / "report.html"
    if not json and until is None:
        _show_results(folder, list(settings.evaluate.metrics))
    facts: dict[str, object] = {"steps done": len(done), "steps already done": len(steps) - len(done)}
    tell({**facts, "report" if page.exists() else "folder": str(page.resolve() if page.exists() else folder)}, json)


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    json: Json = False,
) -> None:
    """Write the report of a run again, from its tables.

    Example: crpo report runs/demo
    """
    from crpo.errors import InputError
    from crpo.plan import plan
    from crpo.recipe import Recipe, check_section
    from crpo.runs import execute, stale

    path = folder / "run.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no run.json", "Name a folder that crpo run made.")
    content = _recorded(path)
    steps = plan(check_section(Recipe, content["recipe"], str(path)))
    missing = [name for name in stale(steps, folder) if name != "report"]
    if missing:
        raise InputError(f"the run in {folder} is not finished: {missing[0]} is to be done", "Finish it with crpo run.")
    (folder / "report" / "done.json").unlink(missing_ok=True)
    execute(steps, folder, about=content)
    tell({"report": str((folder / "report" / "report.html").resolve())}, json)


def _about(settings: Recipe) -> dict[str, object]:
    from crpo.stages.present import versions

    found = dict(versions().itertuples(index=False, name=None))
    command = shlex.join(["crpo", *sys.argv[1:]])
    return {"name": settings.name, "recipe": settings.model_dump(mode="json"), "versions": found, "command": command}


def _recorded(path: Path) -> dict[str, Any]:
    from crpo.errors import InputError

    try:
        content = json_module.loads(path.read_text(encoding="utf-8"))
        return {**content, "recipe": content["recipe"]}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged", "Delete it, and repeat the crpo run that made it.") from error


def _check_parts(settings: Recipe) -> None:
    """Fail now for a model, signal or metric that is not there: not after an hour of training."""
    from crpo.arms import policies_of
    from crpo.stages.top import check_top
    from crpo.tables import KINDS

    policies = list(policies_of(settings).values())
    named, policy = settings.models, policies[0]
    check_models(*(own.model for own in policies), named.embedder, named.surprise, named.quality)
    models = {"embedder": named.embedder, "language_model": named.surprise, "quality_model": named.quality,
              "chat_template": policy.chat_template, "people": "the run's own"}  # fmt: skip
    check_components(settings.score.signals.values(), settings.evaluate.metrics.values(), models)
    check_top(settings.evaluate, (*KINDS["samples"].numbers, "tokens"), models)


def _check_drawing(settings: Recipe, steps: Sequence[Step], folder: Path) -> None:
    """Fail now for a cluster's library, a baseline's key or price that is not there: not after hours of training."""
    from crpo.over_ray import need_ray
    from crpo.plan.baselines import check_baselines
    from crpo.runs import stale

    if "ray" in (settings.score.engine, settings.generate.engine):
        need_ray()
    if settings.generate.baselines:
        check_baselines(settings, stale(steps, folder))


def _check_input(steps: Sequence[Step], folder: Path) -> None:
    """Fail now for a file that is not there, and before a folder is made for input the first step cannot use."""
    from crpo.errors import InputError

    for path in [path for step in steps for path in step.reads if not path.exists()]:
        raise InputError(f"{path} does not exist", "Check the path.")
    if (folder / "run.json").exists():
        _recorded(folder / "run.json")
    else:
        with TemporaryDirectory() as scratch, naming(*steps[0].reads):
            steps[0].work(Path(scratch), {})


def _show_results(folder: Path, metrics: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from crpo.tables import read_table

    estimates = read_table(folder / "report" / "estimates.csv", "estimates")
    own = estimates[estimates["split"] == "all"]
    shown = metrics[:MOST_SHOWN]
    more = f"; {len(metrics) - len(shown)} more metrics in the report" if len(metrics) > len(shown) else ""
    table = Table("model", *shown, title=f"mean over held-out prompts, then tasks [95 % interval]{more}")
    for model, rows in own.groupby("model", sort=False):
        values = {r.metric: with_interval(r) for r in rows.itertuples()}
        table.add_row(str(model), *(values.get(metric, "not scored") for metric in shown))
    Console(width=None if Console().is_terminal else 140).print(table)
