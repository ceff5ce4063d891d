"""Commands on whole runs: demo, run, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crpo.cli.options import Json, tell

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
    from crpo.runs import execute, stale

    settings = read_recipe(recipe, [*(changes or []), *([f"data.limit={limit}"] if limit else [])])
    folder = out or Path("runs") / settings.name
    steps = plan(settings)
    _check_models(settings)
    if dry_run:
        names = stale(steps, folder)
        tell(
            {"folder": str(folder), "steps to do": len(names), "of": len(steps), "next": ", ".join(names) or "none"},
            json,
        )
        return
    done = execute(steps, folder, about=_about(settings), until=until)
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
    import json as json_module

    from crpo.errors import InputError
    from crpo.plan import plan
    from crpo.recipe import Recipe, check_section
    from crpo.runs import execute

    path = folder / "run.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no run.json", "Name a folder that crpo run made.")
    content = json_module.loads(path.read_text(encoding="utf-8"))
    settings = check_section(Recipe, content["recipe"], str(path))
    (folder / "report" / "done.json").unlink(missing_ok=True)
    execute(plan(settings), folder, about=content)
    tell({"report": str((folder / "report" / "report.html").resolve())}, json)


def _about(settings) -> dict[str, object]:  # noqa: ANN001
    from crpo.stages.present import versions

    found = dict(versions().itertuples(index=False, name=None))
    return {"name": settings.name, "recipe": settings.model_dump(mode="json"), "versions": found}


def _check_models(settings) -> None:  # noqa: ANN001
    # A model folder that is not there must not be found out after an hour of training.
    from crpo.models import find_model

    models, policy = settings.models, settings.policy
    names = [policy.model, models.embedder, models.surprise, models.quality]
    for name in names:
        if name not in ("tiny", "minilm", "base", "learned"):
            find_model(name)


def _show_results(folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from crpo.tables import read_table

    estimates = read_table(folder / "report" / "estimates.csv", "estimates")
    own = estimates[estimates["split"] == "all"]
    metrics = list(dict.fromkeys(own["metric"]))
    table = Table("model", *metrics, title="mean over held-out prompts, then tasks [95 % interval]")
    for model, rows in own.groupby("model", sort=False):
        values = {r.metric: f"{r.value:.3g} [{r.low:.3g}, {r.high:.3g}]" for r in rows.itertuples()}
        table.add_row(str(model), *(values.get(metric, "not scored") for metric in metrics))
    Console(width=None if Console().is_terminal else 140).print(table)
