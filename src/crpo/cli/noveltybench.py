"""NoveltyBench: one command per step, and `run` for all four."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crpo.cli import judges
from crpo.cli.options import Changes, Json, check_folder, section, spec_of, tell
from crpo.recipe.sections import NoveltyBenchSection

if TYPE_CHECKING:
    from crpo.noveltybench.summary import Summary

app = typer.Typer(no_args_is_help=True, help="NoveltyBench: how many different answers a model gives, how good.")

Folder = Annotated[Path, typer.Argument(help="Folder of the benchmark's files.")]
Judge = Annotated[
    str | None, typer.Option(help="deberta, cross_encoder, words, paragraphs, embedding, exact, or {use: …, …}.")
]
ShortAnswers = Annotated[
    str | None, typer.Option(help="Rule for short answers: words (published since 2025), equal (2026) or model (none).")
]
QualityModel = Annotated[str | None, typer.Option(help="Reward model: hub id or folder; or a learned rater's .npz.")]
Calibrate = Annotated[
    list[Path] | None,
    typer.Option(help="Published scores.jsonl to calibrate another reward model on; may be repeated."),
]
K = Annotated[int | None, typer.Option("--k", min=2, help="Only the first K generations of each prompt count.")]
Patience = Annotated[float | None, typer.Option(help="Probability that a user looks at one more generation.")]
Model = Annotated[str, typer.Option(help="Hub id or folder; for a provider its name of the model.")]
Prompts = Annotated[str, typer.Option(help="curated, wildchat (crpo fetch noveltybench), or a table: id, prompt.")]
Generator = Annotated[str, typer.Option(help="Who draws: as crpo generate.")]
Label = Annotated[str | None, typer.Option("--name", help="The model's name in the files.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Most US dollars for all generations; then exit code 7.")]
MaxTokens = Annotated[int | None, typer.Option(min=0, help="Most tokens, input and output; then exit code 7.")]
Prices = Annotated[Path | None, typer.Option(help="YAML of prices of your own, as crpo generate.")]


@app.command()
def summarize(
    folder: Folder, k: K = None, patience: Patience = None, changes: Changes = None, json: Json = False
) -> None:
    """Count the classes and recompute the utilities of FOLDER/scores.jsonl; write FOLDER/summary.json.

    Example: crpo noveltybench summarize evaluation/my-model/nb-curated
    """
    from crpo.stages.noveltybench import summary

    settings = _settings(changes, patience=patience, k=k)
    counted = settings.k if "k" in settings.model_fields_set else None
    _tell_summary(summary(settings, folder, counted), {}, json)


@app.command()
def partition(
    folder: Folder,
    judge: Judge = None,
    short_answers: ShortAnswers = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Part the generations of FOLDER/generations.jsonl into classes of same answers; write FOLDER/partitions.jsonl.

    Example: crpo noveltybench partition results/my-model --judge words
    """
    from crpo.stages.noveltybench import partitions

    settings = _settings(changes, judge=_judge(judge, short_answers, changes))
    rows, counts = partitions(settings, folder)
    tell({"prompts": len(rows), "mean classes": f"{sum(row['distinct'] for row in rows) / len(rows):.3f}",
          **_told(counts), "judge": rows[0]["judge"], "written": str(folder / "partitions.jsonl")}, json)  # fmt: skip


@app.command()
def score(
    folder: Folder,
    quality_model: Annotated[str, typer.Option(help="Reward model: hub id or folder; or a learned rater's .npz.")],
    calibrate: Calibrate = None,
    patience: Patience = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Score the first generation of each class of FOLDER/partitions.jsonl from 1 to 10; write FOLDER/scores.jsonl.

    The scores are cut from one reward model's numbers. Another is refused, unless it is calibrated on published scores.

    Example: crpo noveltybench score results/my-model --quality-model Skywork/Skywork-Reward-Gemma-2-27B-v0.2
    """
    from crpo.stages.noveltybench import scores

    settings = _settings(changes, patience=patience, calibrate=_names(calibrate))
    rows = scores(settings, folder, quality_model)
    missing = sum(row["utility"] != row["utility"] for row in rows)
    tell({"prompts": len(rows), "prompts not scored": missing, "quality model": quality_model,
          "calibrated": "calibration" in rows[0], "written": str(folder / "scores.jsonl")}, json)  # fmt: skip


@app.command()
def generate(
    folder: Folder,
    model: Model = "",
    prompts: Prompts = "curated",
    generator: Generator = "hf",
    name: Label = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: Prices = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Draw the generations into FOLDER/generations.jsonl; the same command again continues.

    Example: crpo noveltybench generate results/my-model --model models/crpo --prompts prompts.jsonl
    """
    settings = _settings(changes)
    rows = _generate(settings, folder, model, prompts, generator, name, (max_tokens, max_cost, prices))
    written = str(folder / "generations.jsonl")
    tell({"prompts": len(rows), "generations": settings.k * len(rows), "written": written}, json)


@app.command()
def run(
    folder: Folder,
    model: Model = "",
    prompts: Prompts = "curated",
    generator: Generator = "hf",
    name: Label = None,
    judge: Judge = None,
    short_answers: ShortAnswers = None,
    quality_model: QualityModel = None,
    calibrate: Calibrate = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: Prices = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Do all four steps: generations, partitions, scores, summary. Without a quality model there is no utility.

    Example: crpo noveltybench run results/my-model --model models/crpo --prompts prompts.jsonl --judge words
    """
    from crpo.stages.noveltybench import check_quality_model, partitions, scores, summary

    settings = _settings(changes, judge=_judge(judge, short_answers, changes), calibrate=_names(calibrate))
    check_quality_model(settings, quality_model)
    _generate(settings, folder, model, prompts, generator, name, (max_tokens, max_cost, prices))
    _, counts = partitions(settings, folder)
    scores(settings, folder, quality_model)
    _tell_summary(summary(settings, folder), _told(counts), json)


app.command()(judges.judge)


def _settings(changes: list[str] | None, **options: Any) -> NoveltyBenchSection:
    return section(NoveltyBenchSection, changes, **options)


def _judge(text: str | None, short_answers: str | None, changes: list[str] | None) -> Any:
    """Return the judge of the options; a rule for short answers is a setting of it."""
    spec = None if text is None else spec_of(text, "--judge")
    if short_answers is None:
        return spec
    named = spec if spec is not None else _settings(changes).judge
    return {**({"use": named} if isinstance(named, str) else named), "short_answers": short_answers}


def _names(paths: list[Path] | None) -> list[str] | None:
    return [str(path) for path in paths] if paths else None


def _generate(
    settings: NoveltyBenchSection, folder: Path, model: str, prompts: str, generator: str, name: str | None, limits: Any
) -> list[Any]:
    from crpo.budget import Caps
    from crpo.cli.generate import _check_model, _name
    from crpo.recipe.sections import PolicySection
    from crpo.stages.noveltybench import generations

    max_tokens, max_cost, prices = limits
    check_folder(folder)
    spec = spec_of(generator, "--generator")
    _check_model(spec, model)
    label = name or Path(model).name or _name(spec)
    policy = section(PolicySection, None, model=model or None)
    return generations(settings, policy, model, label, prompts, folder, None, spec, Caps(max_tokens, max_cost), prices)


def _told(counts: Any) -> dict[str, int]:
    return {"rounds": counts.rounds, "pairs compared": counts.compared, "pairs a model scored": counts.judged}


def _tell_summary(found: Summary, before: dict[str, Any], json: bool) -> None:
    from crpo.progress import say

    for note in found.notes:
        say(f"note: {note}")
    if json:
        return tell({**before, **found.content()}, True)
    means = {"mean_distinct": found.distinct, "mean_utility": found.utility}
    numbers = {name: "not scored" if mean.value != mean.value else mean.value for name, mean in means.items()}
    spread = {f"{name} 95 % interval": f"{mean.low:.3f} to {mean.high:.3f}"
              for name, mean in means.items() if mean.low == mean.low}  # fmt: skip
    facts = {name: value for name, value in found.facts.items() if name != "calibration" and value is not None}
    if "calibration" in found.facts:
        facts["calibrated"] = "yes; do not compare this utility with published ones"
    return tell({**numbers, **spread, **before, **facts}, False)
