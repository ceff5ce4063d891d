"""The commands of the panel: people judge blinded answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli import panel_exchange, panel_results, panel_serve
from crpo.cli.options import Changes, Json, check_folder, names_in, naming, section, tell
from crpo.errors import InputError

if TYPE_CHECKING:
    from crpo.panel.campaign import Campaign

app = typer.Typer(no_args_is_help=True, help="Human evaluation: a study of blinded answers, from design to results.")
app.command()(panel_serve.links)
app.command()(panel_exchange.export)
app.command("import")(panel_exchange.import_)
app.command()(panel_serve.serve)
app.command()(panel_results.results)

Samples = Annotated[list[Path], typer.Argument(help="Samples: prompt, model, response (prompt_id, status, sample).")]
CampaignOutput = Annotated[Path | None, typer.Option("-o", "--output", help="Folder to make; it must not exist.")]
Kind = Annotated[str | None, typer.Option(help="pairwise (which is better), best_of (of n), or ratings.")]
Dimensions = Annotated[str | None, typer.Option(help="What is judged: creativity,novelty,surprise,quality.")]
RatingScale = Annotated[str | None, typer.Option("--scale", help="Lowest and highest rating, as 1-5.")]
Ties = Annotated[bool | None, typer.Option("--ties/--no-ties", help="Whether a pair may be called equal.")]
BestOf = Annotated[int | None, typer.Option(help="Answers side by side, with --kind best_of.")]
Against = Annotated[str | None, typer.Option(help="Baselines: only pairs of another model with one of these.")]
By = Annotated[str | None, typer.Option(help="Which answers: random, top (by --metric) or all.")]
Metric = Annotated[str | None, typer.Option(help="Column of the samples; highest first. Means --by top.")]
Answers = Annotated[int | None, typer.Option(help="Answers of each model to each prompt.")]
Prompts = Annotated[int | None, typer.Option(help="How many prompts, drawn by seed; all without it.")]
Models = Annotated[str | None, typer.Option(help="Which models, as DPO,CrPO-cre; all without it.")]
People = Annotated[Path | None, typer.Option(help='People\'s answers to the same prompts: a model called "people".')]
RatersPerItem = Annotated[int | None, typer.Option(help="How many people judge each item.")]
ItemsPerRater = Annotated[int | None, typer.Option(help="Items each person judges, without practice and checks.")]
Overlap = Annotated[int | None, typer.Option(help="Items that everybody judges, for agreement.")]
Checks = Annotated[int | None, typer.Option(help="Attention checks of each person.")]
Practice = Annotated[int | None, typer.Option(help="Practice items, which do not count.")]
Order = Annotated[str | None, typer.Option(help="A person's items: shuffled, or by_prompt.")]
Title = Annotated[str | None, typer.Option(help="Title that raters see: no model's name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it takes and can find out; write nothing.")]
CampaignSeed = Annotated[int | None, typer.Option(min=0, help="Of everything drawn.")]


@app.command()
def new(
    samples: Samples,
    output: CampaignOutput = None,
    kind: Kind = None,
    dimensions: Dimensions = None,
    scale: RatingScale = None,
    ties: Ties = None,
    best_of: BestOf = None,
    against: Against = None,
    by: By = None,
    metric: Metric = None,
    answers: Answers = None,
    prompts: Prompts = None,
    models: Models = None,
    people: People = None,
    raters_per_item: RatersPerItem = None,
    items_per_rater: ItemsPerRater = None,
    overlap: Overlap = None,
    checks: Checks = None,
    practice: Practice = None,
    order: Order = None,
    title: Title = None,
    seed: CampaignSeed = None,
    dry_run: DryRun = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Choose prompts and answers, and make a campaign: what is on each page, who judges what, in a balanced design.

    Example: crpo panel new samples.csv -o study --kind pairwise --prompts 4 --against SFT,GPT-4o --people answers.csv

    Example: crpo panel new samples.csv --kind ratings --dimensions creativity,quality --metric novelty --dry-run

    The folder holds campaign.yaml, answers.csv and items.csv (for you only: they name the models), and instructions.md
    and consent.md, which you should edit: consent.md has blanks in square brackets.
    """
    from crpo.panel.design import make_campaign
    from crpo.panel.folder import write_campaign
    from crpo.panel.settings import Settings

    if output is None and not dry_run:
        raise InputError("-o is missing", "Name the campaign's folder, or say --dry-run.")
    if output is not None:
        check_folder(output)
    choice = {"by": by or ("top" if metric else None), "metric": metric, "answers": answers, "prompts": prompts,
              "models": names_in(models) or None}  # fmt: skip
    settings = section(
        Settings, changes, kind=kind, dimensions=names_in(dimensions) or None, scale=_whole_scale(scale), ties=ties,
        best_of=best_of, against=names_in(against) or None, raters_per_item=raters_per_item, overlap=overlap,
        items_per_rater=items_per_rater, checks=checks, practice=practice, order=order, title=title, seed=seed,
        choice={key: value for key, value in choice.items() if value is not None} or None,
    )  # fmt: skip
    with naming(*samples):
        campaign, notes = make_campaign(samples, people, settings)
    facts = _facts(campaign, notes, json)
    if not dry_run and output is not None:
        facts["written"] = str(write_campaign(campaign, output))
    tell(facts, json)


def _facts(campaign: Campaign, notes: list[str], json: bool) -> dict[str, Any]:
    from crpo.panel.power import detectable, plan_of

    settings, items = campaign.settings, campaign.of_role("item")
    plan = plan_of(campaign)
    shown = {answer for item in items for answer in item.answer_ids}
    models = sorted({campaign.answer[answer].model for answer in shown})
    found = detectable(campaign, plan.raters)
    what = {"pairwise": "win rate", "best_of": "share of wins", "ratings": "difference in standard deviations"}
    facts: dict[str, Any] = {
        "kind": settings.kind,
        "prompts": len({item.prompt_id for item in items}),
        "models": models if json else f"{len(models)} ({', '.join(models)})",
        "answers": len(shown),
        "items": len(items),
        "raters": plan.raters,
        "pages of a rater": plan.pages_each,
        "judgements": plan.judgements,
        "minutes of a rater": round(plan.minutes_each, 1),
        "minutes of all raters": round(plan.minutes, 1),
        "seconds assumed": f"words read at {settings.reading_speed:g} a minute and {settings.decision_seconds:g} s for "
        "each judgement",
    }
    for who, value in found.items():
        facts[f"detectable {what[settings.kind]}, {who}"] = None if value != value else round(value, 3)
    near = settings.likeness
    facts["detectable means"] = (
        "with 80 % power at the 5 % level, in one comparison, if judgements are alike by "
        f"{near.prompt:g} (prompt), {near.page:g} (page), {near.rater:g} (rater)"
    )
    facts.update({f"note {number}": note for number, note in enumerate(notes, 1)})
    return facts


def _whole_scale(text: str | None) -> list[int] | None:
    if text is None:
        return None
    low, _, high = text.partition(":") if ":" in text else text.partition("-")
    try:
        return [int(low), int(high)]
    except ValueError:
        raise InputError(f"--scale {text!r} is not two whole numbers", "Write 1-5, or -2:2.") from None
