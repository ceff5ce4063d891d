"""Write docs/results.md, docs/results-samples.md and docs/results/ from a finished run of the study.

    .venv/bin/python study/write_results.py runs/study docs
    .venv/bin/python study/write_results.py runs/study-quick runs/study-quick/results --png

Interpretation written by hand stands in study/findings-NAME.md, NAME being the recipe's, and is put below the short
answer. `--people` puts samples of people's own answers above those of the arms; they are the data's, so they are left
out unless asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from crpo.errors import CrpoError
from crpo.report.drawing import Picture, styled
from crpo.report.files import DOTS_PER_INCH
from crpo.tables import write_table, write_whole
from page import Page, page_of
from run_folder import Run, read_run
from samples import COUNT, PEOPLE, SEED, samples_page
from wording import spaced

HERE = Path(__file__).parent
HELD_OUT = "unseen"  # how the sides of the split begin whose prompts are held out


def main(arguments: list[str] | None = None) -> int:
    """Write the page; exit code 2 with one line where the folder is not a finished run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run folder")
    parser.add_argument("out", type=Path, help="where to write results.md, results-samples.md and results/")
    parser.add_argument("--png", action="store_true", help="also write every figure as PNG")
    parser.add_argument("--people", action="store_true", help="also show samples of people's answers")
    chosen = parser.parse_args(arguments)
    try:
        run = read_run(chosen.run)
        page = page_of(run)
        write(page, run, chosen.out, png=chosen.png, people=chosen.people)
    except CrpoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"results: {chosen.out / 'results.md'}")
    return 0


def write(page: Page, run: Run, out: Path, *, png: bool = False, people: bool = False) -> None:
    """Write the page, its samples, its figures and the tables behind it."""
    _write_text(page_text(page), out / "results.md")
    arms = list(run.samples())
    if people:
        answers = run.answers()
        arms.insert(0, (PEOPLE, answers[answers["split"].str.startswith(HELD_OUT)].reset_index(drop=True)))
    opening = (
        f"{COUNT} answers of each arm to held-out prompts, drawn by the seed {SEED} over all its seeds and decoding "
        "settings, every prompt being as likely as any other; not picked. See [results](results.md)."
    )
    _write_text(samples_page(arms, opening), out / "results-samples.md")
    for name, table in page.tables.items():
        write_table(table, out / "results" / f"{name}.csv")
    for picture in page.pictures:
        _write_picture(picture, out / "results", png=png)


def page_text(page: Page) -> str:
    """Return the page as Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, autoescape=False
    )
    captions = {picture.drawing.name: picture.caption for picture in page.pictures}
    findings = HERE / f"findings-{page.parts['recipe'].name}.md"
    told = findings.read_text(encoding="utf-8").strip() if findings.exists() else ""
    text = templates.get_template("results.md.jinja").render(captions=captions, findings=told, **page.parts)
    return spaced(text)


def _write_picture(picture: Picture, folder: Path, *, png: bool) -> None:
    name, table = picture.drawing.name, picture.table
    assert isinstance(table, pd.DataFrame), f"{name} has no table"
    _write_text(
        picture.drawing.file.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif"), folder / f"{name}.svg"
    )
    write_table(table, folder / f"{name}.csv")
    if png:
        with styled(name):
            picture.drawing.figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH)


def _write_text(text: str, path: Path) -> None:
    write_whole(text.encode("utf-8", "replace"), path)


if __name__ == "__main__":
    sys.exit(main())
