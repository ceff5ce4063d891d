"""A campaign's folder: read as written, whole or not at all, and told in one line when something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crpo.errors import InputError
from crpo.panel.campaign import Answer, Campaign, Item, allowed_values, is_passed
from crpo.panel.folder import read_campaign, write_campaign
from crpo.panel.inert import inert, restored
from crpo.panel.settings import Settings

NASTY = [
    "=1+1", "'=x", "''@x", "a\r\nb\rc", 'q"uo,te', "; | \t", "\n lead", "  ", "\uff1dx", " +1", "null", "- a", "'tis",
    "x\u2028y", "\ttab", "@SUM(A1)", "\x00nul",
]  # fmt: skip


def tiny(**settings: Any) -> Campaign:
    answers = [
        Answer(f"a{n:02}", "q", "Name a\nuse", text, f"m{n % 2}", f"{n}", 1, "model") for n, text in enumerate(NASTY)
    ]
    items = [Item(f"i{n:02}", "pairwise", "q", (f"a{n:02}", f"a{n + 1:02}"), "item", "") for n in range(len(NASTY) - 1)]
    return Campaign(Settings.model_validate(settings), tuple(answers), tuple(items), "do this\n", "agree?\n")


def item(*answers: str, **fields: str) -> dict[str, tuple[Item, ...]]:
    own = {"item_id": "i1", "kind": "pairwise", "prompt_id": "q", "role": "item", "expected": "", **fields}
    return {"items": (Item(answer_ids=answers, **own),)}


def test_a_campaign_is_read_as_it_was_written_whatever_the_answers_hold(tmp_path: Path) -> None:
    campaign = tiny()
    write_campaign(campaign, tmp_path / "study")
    found = read_campaign(tmp_path / "study")
    assert replace(found, folder=None) == campaign
    assert found.of == campaign.of
    assert len(found.of) == 12


def test_no_cell_of_a_campaigns_tables_can_run_as_a_formula_and_each_is_restored_exactly() -> None:
    for text in NASTY:
        cell = inert(text)
        assert cell.lstrip(" ")[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"), cell
        assert restored(cell) == text
        assert restored(inert(inert(text))) == inert(text)


def test_a_campaigns_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crpo.panel import folder

    written = []

    def fails_at_the_third(path: Path, text: str) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        path.write_text(text)

    monkeypatch.setattr(folder, "_write", fails_at_the_third)
    with pytest.raises(InputError, match="No space left"):
        write_campaign(tiny(), tmp_path / "study")
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_is_never_written_over_another(tmp_path: Path) -> None:
    write_campaign(tiny(), tmp_path / "study")
    with pytest.raises(InputError, match="is there already"):
        write_campaign(tiny(), tmp_path / "study")


def test_texts_and_the_number_of_raters_may_be_edited_and_what_is_judged_may_not(tmp_path: Path) -> None:
    folder = write_campaign(tiny(), tmp_path / "study")
    settings = folder / "campaign.yaml"
    settings.write_text(settings.read_text().replace("raters_per_item: 3", "raters_per_item: 5"))
    (folder / "consent.md").write_text("Dear rater")
    changed = read_campaign(folder)
    assert (changed.settings.raters_per_item, changed.consent) == (5, "Dear rater")
    for file, old, new in (
        ("campaign.yaml", b"\nseed: 0", b"\nseed: 1"),
        ("items.csv", b"a00 a01", b"a00 a02"),
        ("answers.csv", b"'tis", b"'twas"),
    ):
        before = (folder / file).read_bytes()
        assert old in before
        (folder / file).write_bytes(before.replace(old, new))
        with pytest.raises(InputError, match="not those it was made with"):
            read_campaign(folder)
        (folder / file).write_bytes(before)
    assert read_campaign(folder).of == changed.of


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"items": ()}, "nothing to judge"),
        (item("a00", kind="ratings"), "is ratings in a campaign of pairwise"),
        (item("a00", "a99"), "a99 does not exist"),
        (item("a00", "a00"), "2 different ones"),
        (item("a00", "a01", prompt_id="z"), "mixes answers to prompts"),
        (item("a00", "a01", role="check"), "'' cannot be expected"),
        (item("a00", "a01", expected="a00"), "'a00' cannot be expected"),
        (item("a00", "a01", role="joke"), "role 'joke' is none of"),
        (item("a00", "a01", item_id="i 1"), "letters and digits"),
        ({"settings": Settings(title="Is M0 better?")}, "names a model"),
    ],
)
def test_an_unsound_campaign_is_told_in_one_line(tmp_path: Path, change: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found) as error:
        write_campaign(replace(tiny(), **change), tmp_path / "study")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("campaign.yaml", "a: [", "campaign.yaml row"),
        ("campaign.yaml", "kind: pairwse", "key 'kind'"),
        ("campaign.yaml", "", "holds no settings"),
        ("items.csv", "a,b\n1,2\n", "row 1: columns a, b"),
        ("answers.csv", '"answer_id"\n', "row 1: columns answer_id"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: str, found: str) -> None:
    folder = write_campaign(tiny(), tmp_path / "study")
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=found):
        read_campaign(folder)


def test_a_folder_that_is_no_campaign_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no campaign"):
        read_campaign(tmp_path)


def test_what_a_judgement_may_be_and_when_a_check_is_passed() -> None:
    pair, rated = Settings(), Settings(kind="ratings", scale=(0, 3), dimensions=["creativity", "quality"])
    check = Item("i1", "pairwise", "q", ("a1", "a2"), "check", "a2")
    assert allowed_values(pair, check) == ["a1", "a2", "tie"]
    assert allowed_values(Settings(ties=False), check) == ["a1", "a2"]
    assert is_passed(pair, check, ["a2"])
    assert not is_passed(pair, check, ["tie"])
    assert not is_passed(pair, check, [])
    lowest = Item("i2", "ratings", "q", ("a1",), "check", "lowest")
    assert allowed_values(rated, lowest) == ["0", "1", "2", "3"]
    assert is_passed(rated, lowest, ["0", "0"])
    assert not is_passed(rated, lowest, ["0", "1"])
