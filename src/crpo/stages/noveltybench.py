"""NoveltyBench from prompts to its four files: generations, partitions, scores, summary."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from crpo.budget import Caps
from crpo.cache_folder import cache_folder
from crpo.components import Spec, build
from crpo.datasets import read_data
from crpo.errors import InputError, TooManyFailuresError
from crpo.judges import JUDGES
from crpo.noveltybench.calibration import Calibration, calibrate
from crpo.noveltybench.marks import is_the_benchmarks, refuse_others
from crpo.noveltybench.partitioning import Counts, part
from crpo.noveltybench.rows import (
    GENERATIONS,
    PARTITIONS,
    SCORES,
    SUMMARY,
    Row,
    generations_that_count,
    read_rows,
    write_rows,
)
from crpo.noveltybench.scoring import QualityModel, score
from crpo.noveltybench.summary import Summary, about_earlier, summarise
from crpo.progress import say
from crpo.recipe.sections import GenerateSection, NoveltyBenchSection, PolicySection
from crpo.records import RecordStore
from crpo.stages.generate import NO_CAPS, generate
from crpo.stages.order import Order, plan_samples
from crpo.tables import write_whole

PROMPT_SETS = {"curated": "curated.jsonl", "wildchat": "wildchat-1k.jsonl"}


def prompts_file(prompts: str) -> Path:
    """Return the table of a prompt set: "curated" and "wildchat" as `crpo fetch noveltybench` keeps them, or a file."""
    if prompts not in PROMPT_SETS:
        if not (own := Path(prompts).expanduser()).exists():
            raise InputError(f"{prompts} does not exist", "Write curated, wildchat, or name a table of prompts.")
        return own
    folder = cache_folder()
    if folder is not None and (path := folder / "noveltybench" / PROMPT_SETS[prompts]).exists():
        return path
    raise InputError(f"NoveltyBench's {prompts} prompts are not on this machine",
                     "Fetch them with: crpo fetch noveltybench; or name a file of prompts.")  # fmt: skip


def prompt_set(prompts: str) -> str:
    """Return a prompt set's name for tables and folders: curated, wildchat, or the file's."""
    stem = Path(prompts).stem
    return {Path(file).stem: name for name, file in PROMPT_SETS.items()}.get(stem, stem)


def generations(
    section: NoveltyBenchSection,
    policy: PolicySection,
    model: str,
    label: str,
    prompts: str,
    out: Path,
    source: str | None = None,
    generator: Spec = "hf",
    caps: Caps = NO_CAPS,
    prices: Path | None = None,
) -> list[Row]:
    """Draw k generations of each prompt into OUT/generations.jsonl, in the order of the prompts.

    Every one is kept in OUT/generations.records.jsonl as it arrives, and the same call continues. What a model cut
    off, refused or left blank counts as it is; what failed on the way does not, and nothing is written before every
    prompt has all of its generations.

    Parameters
    ----------
    section : NoveltyBenchSection
    prompts : str
        See `prompts_file`.
    policy, model, label, source, generator, caps, prices
        See `crpo.stages.generate.generate`.

    Returns
    -------
    list of Row
        id, prompt, model (the label), generations.

    Raises
    ------
    TooManyFailuresError
        Where a generation failed (exit code 6).
    """
    cell = {"temperature": section.temperature, "top_p": section.top_p, "samples": section.k}
    settings = GenerateSection.model_validate(
        {"grid": [cell], "max_new_tokens": section.max_new_tokens, "seed": section.seed}
    )
    table = read_data(prompts_file(prompts), "prompts").iloc[: section.limit]
    records, pace = (out / f"generations.{kind}" for kind in ("records.jsonl", "pace.json"))
    with contextlib.suppress(TooManyFailuresError):  # raised where every one was cut off, say, which counts here
        generate(settings, policy, model, label, table, records, source, generator, caps, prices, pace)
    drawn = _drawn(plan_samples(settings, policy, model, table, source, generator), records, label)
    turns = zip(table["prompt_id"], table["prompt"], strict=True)
    rows = [{"id": str(name), "prompt": text, "model": label, "generations": drawn[name]} for name, text in turns]
    write_rows(rows, out / GENERATIONS)
    return rows


def _drawn(order: Order, records: Path, label: str) -> dict[Any, list[str]]:
    """Return the generations of each prompt, in the order of drawing."""
    with RecordStore(records, order.about) as store:
        failed = len(order.missing(store))
        if failed:
            raise TooManyFailuresError(f"{failed:,} of {len(order.requests):,} generations of {label} failed",
                                       "The same command again asks for them once more.")  # fmt: skip
        drawn: dict[Any, list[str]] = {}
        for request in order.requests:
            drawn.setdefault(request.prompt_id, []).append(str(store[request.key]["response"] or ""))
        return drawn


def partitions(section: NoveltyBenchSection, folder: Path) -> tuple[list[Row], Counts]:
    """Part the generations of FOLDER/generations.jsonl into classes, into FOLDER/partitions.jsonl."""
    judge = build(section.judge, JUDGES, "judge")
    rows = read_rows(folder / GENERATIONS, "prompt", "generations")
    parted, counts = part(judge, rows)
    write_rows(parted, folder / PARTITIONS)
    return parted, counts


def scores(section: NoveltyBenchSection, folder: Path, quality_model: str | None) -> list[Row]:
    """Score the classes of FOLDER/partitions.jsonl, into FOLDER/scores.jsonl; without a model every score is null.

    Raises
    ------
    InputError
        For a quality model that is not the benchmark's, without `calibrate`.
    """
    check_quality_model(section, quality_model)
    rows = read_rows(folder / PARTITIONS, "prompt", "generations", "partition")
    model = QualityModel(quality_model, section.quality_dtype, section.quality_revision) if quality_model else None
    scored = score(rows, model, section.patience, _calibration(section, model))
    write_rows(scored, folder / SCORES)
    return scored


def check_quality_model(section: NoveltyBenchSection, quality_model: str | None) -> None:
    """Fail before any work where a quality model's rewards cannot become scores."""
    if quality_model and not section.calibrate:
        refuse_others(quality_model)
    for path in section.calibrate if quality_model else ():
        if not Path(path).is_file():
            raise InputError(f"{path} does not exist", "Name a published scores.jsonl that has its generations.")


def _calibration(section: NoveltyBenchSection, model: QualityModel | None) -> Calibration | None:
    if model is None or not section.calibrate:
        return None
    if is_the_benchmarks(model.name):
        say(f"  {model.name} is the benchmark's own: it is not calibrated")
        return None
    found = calibrate([Path(path) for path in section.calibrate], model)
    say(f"  scores are calibrated on {found.texts:,} published ones (rank correlation {found.spearman:.2f}): "
        "compare them with each other, not with published utilities")  # fmt: skip
    return found


def summary(section: NoveltyBenchSection, folder: Path, k: int | None = None) -> Summary:
    """Summarise FOLDER/scores.jsonl, into FOLDER/summary.json; utilities are recomputed.

    Without `k` every generation counts, and all prompts must have equally many.
    """
    rows = read_rows(folder / SCORES, "partition", "generation_scores")
    k = generations_that_count(rows, "partition", k, str(folder / SCORES))
    found = summarise(rows, k, section.patience, draws=section.draws, seed=section.seed)
    found.notes.extend(about_earlier(folder / SUMMARY, found))
    content = json.dumps(found.content(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(content.encode("utf-8", "replace"), folder / SUMMARY)
    return found
