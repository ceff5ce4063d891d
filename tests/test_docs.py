"""The documentation cannot drift: generated pages are current, links resolve, commands parse, the tutorial runs."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

import crpo
from crpo.components import build, load, with_models
from crpo.contracts import example_answers
from crpo.metrics import build_metric
from crpo.recipe import Recipe, check_section
from crpo.recipe.sections import ScoreSection
from crpo.signals import SIGNALS
from crpo.tables import KINDS

ROOT = Path(__file__).parent.parent
GENERATED = ("cli.md", "recipe.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    tops = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*sorted((ROOT / "docs").glob("*.md")), *(page for page in tops if page.exists())]


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield each `crpo …` line of a page's shell and indented blocks as arguments, without variables set before it."""
    indented = re.findall(r"^    (?=\S*crpo )(.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    for block in [*blocks(page, "bash"), *indented]:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words and Path(words[0]).name == "crpo":
                yield words[1:]


def command_of(words: list[str], known: Collection[str]) -> tuple[str, list[str]]:
    """Return a command's name, of two words for one that is part of another, and its arguments."""
    size = 2 if " ".join(words[:2]) in known else 1
    return " ".join(words[:size]), words[size:]


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_current(name: str) -> None:
    expected = make_docs().PAGES[name]()
    found = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert found == expected, f"docs/{name} is out of date: run python tools/make_docs.py"


def test_the_recipe_page_holds_every_key_and_the_comments_beside_them() -> None:
    text = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    tool, seen = make_docs(), 0
    for kind in (Recipe, *(kind for _, kind in tool.sections(Recipe))):
        for name in kind.model_fields:
            assert f"| `{name}` |" in text
            assert tool.comment(kind, name).replace("|", "\\|") in text
            seen += 1
    assert seen >= 90
    assert sum(map(bool, tool.COMMENTS.values())) >= 20


def test_every_relative_link_leads_somewhere() -> None:
    seen = 0
    for page in pages():
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            seen += 1
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name} links to {target}, which is not there"
            assert not anchor or anchor in heading_anchors(file), f"{page.name}: no heading #{anchor} in {file.name}"
    assert len(pages()) >= 11
    assert seen >= 18


def test_every_command_shown_exists_with_its_options() -> None:
    known, seen = make_docs().commands(), 0
    for page in pages():
        for words in commands_in(page):
            seen += 1
            assert words, f"{page.name} shows crpo without a command"
            name, arguments = command_of(words, known)
            assert name in known, f"{page.name} shows the command {name!r}, which does not exist"
            known[name].make_context(name, list(arguments))  # raises for an unknown option or a missing argument
    assert seen >= 34
    assert {command_of(words, known)[0] for page in pages() for words in commands_in(page)} == set(known)


def test_every_recipe_shown_is_valid() -> None:
    whole, parts = 0, 0
    for page in pages():
        for block in blocks(page, "yaml") if page.name not in GENERATED else []:
            content: dict[str, Any] = yaml.safe_load(block)
            whole, parts = whole + ("name" in content), parts + ("name" not in content)
            check_section(Recipe, {"name": "x", "data": {"ratings": "bundled"}, **content}, page.name)
    assert whole >= 2
    assert parts >= 1


def test_the_settings_of_signals_shown_are_accepted() -> None:
    block = next(b for b in blocks(ROOT / "docs" / "which-signal.md", "yaml") if "score:" in b)
    section = check_section(ScoreSection, yaml.safe_load(block)["score"], "which-signal.md")
    models = {"embedder": "minilm", "language_model": "a/model", "quality_model": "rater.npz"}
    built = [build(with_models(spec, SIGNALS, models), SIGNALS, "signal") for spec in section.signals.values()]
    assert len(built) == len(SIGNALS)


def test_the_tutorial_runs_and_its_recipe_names_what_it_defines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "add-a-signal.md"
    found = blocks(page, "python")
    assert len(found) == 3
    (tmp_path / "my_signals.py").write_text("\n\n".join(found), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = check_section(Recipe, yaml.safe_load(blocks(page, "yaml")[0]), page.name)
    own = load(recipe.score.signals["own_words"]["use"], {}, "signal")
    values = own(shortest=4)(tutorial_answers())
    assert values[[2, 4]].tolist() == [1.0, 0.5]
    metric = build_metric(recipe.evaluate.metrics["own_words"], {})(tutorial_answers())
    assert metric.between(0, 1).all()


def tutorial_answers() -> pd.DataFrame:
    """Return the contract's answers, one changed: it shares one of its two long words with another."""
    answers = example_answers()
    answers.loc[4, "response"] = "hold a hamster"
    return answers


def test_the_tables_page_names_every_kind_with_its_required_columns() -> None:
    lines = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8").splitlines()
    seen = 0
    for name, kind in KINDS.items():
        rows = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert len(rows) == 1, f"tables.md needs one row for the kind {name!r}"
        for column in kind.required:
            assert f"**{column}**" in rows[0], f"tables.md: {name!r} requires {column!r}"
        seen += 1
    assert seen >= 18


def test_the_architecture_page_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    source = Path(crpo.__file__).parent
    rooms = {path.stem for path in source.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__pycache__",
    }
    assert len(rooms) >= 30
    assert {room for room in rooms if f"`{room}`" not in text} == set()
