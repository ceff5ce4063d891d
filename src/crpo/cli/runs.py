"""Commands on whole runs: demo, run, report."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli.options import Json, check_components, check_models, naming, tell, with_interval

if TYPE_CHECKING:
    from crpo.recipe import Recipe
    from crpo.stages.step import Step

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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the steps that would be done, and stop.")] = False,
    json: Json = False,
) -> None:
    """Do everything from people's answers to the report; the same command again continues or does nothing.

    Example: crpo run recipes/small.yaml --set data.responses=answers.csv
    """
    from crpo.plan import plan
    from crpo.recipe import read_recipe
    from crpo.runs import execute, needed_for, stale
    from crpo.stages.train import require_training

    settings = read_recipe(recipe, [*(changes or []), *([] if limit is None else [f"data.limit={limit}"])])
    folder = out or Path("runs") / settings.name
    steps = needed_for(plan(settings), until)
    require_training()
    _check_parts(settings)
    _check_input(steps, folder)
    if dry_run:
        names = stale(steps, folder)
        tell(
            {"folder": str(folder), "steps to do": len(names), "of": len(steps), "next": ", ".join(names) or "none"},
            json,
        )
        return
    with naming(Path(recipe)):
        done = execute(steps, folder, about=_about(settings))
    page = folder / "report" / "report.html"
    if not json and until is None:
        _show_results(folder)
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
    return {"name": settings.name, "recipe": settings.model_dump(mode="json"), "versions": found}


def _recorded(path: Path) -> dict[str, Any]:
    from crpo.errors import InputError

    try:
        content = json_module.loads(path.read_text(encoding="utf-8"))
        return {**content, "recipe": content["recipe"]}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged", "Delete it, and repeat the crpo run that made it.") from error


def _check_parts(settings: Recipe) -> None:
    """Fail now for a model, signal or metric that is not there: not after an hour of training."""
    named, policy = settings.models, settings.policy
    check_models(policy.model, named.embedder, named.surprise, named.quality)
    models = {"embedder": named.embedder, "language_model": named.surprise, "quality_model": named.quality,
              "chat_template": policy.chat_template}  # fmt: skip
    check_components(settings.score.signals.values(), settings.evaluate.metrics.values(), models)


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


def _show_results(folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from crpo.tables import read_table

    estimates = read_table(folder / "report" / "estimates.csv", "estimates")
    own = estimates[estimates["split"] == "all"]
    metrics = list(dict.fromkeys(own["metric"]))
    table = Table("model", *metrics, title="mean over held-out prompts, then tasks [95 % interval]")
    for model, rows in own.groupby("model", sort=False):
        values = {r.metric: with_interval(r) for r in rows.itertuples()}
        table.add_row(str(model), *(values.get(metric, "not scored") for metric in metrics))
    Console(width=None if Console().is_terminal else 140).print(table)
