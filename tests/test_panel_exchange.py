"""Campaigns in other tools: out blind, filled in as the tools document their results, and back as votes and ratings."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
import yaml

from crpo.datasets.ratings import read_ratings
from crpo.errors import InputError
from crpo.panel.assign import Dealing
from crpo.panel.campaign import Campaign
from crpo.panel.exchange import TOOLS, exported, imported
from crpo.panel.folder import write_campaign, write_folder
from crpo.panel.inert import inert
from crpo.panel.tidy import JUDGEMENT_COLUMNS, ratings_of, votes_of, write_inert
from panel_samples import campaign_of, samples
from panel_tools import FILL, LETTERS, Choose, in_label_studio, in_spreadsheet

NASTY = [
    "=1+1 & <b>bold</b>",
    "+SUM(A1);x",
    '-"quoted", yes',
    "@home\nline two",
    "<img src=x onerror=alert(1)>",
    "'tis",
]


def awkward_samples() -> pd.DataFrame:
    frame = samples(3, 4, 2)
    frame["response"] = [f"{NASTY[row % len(NASTY)]} {row}" for row in range(len(frame))]
    return frame


def study(tmp_path: Path, kind: str, **settings: Any) -> Campaign:
    own = {"dimensions": ["creativity", "good fit"], "items_per_rater": 6, "raters_per_item": 2, **settings}
    return campaign_of(tmp_path, awkward_samples(), kind=kind, **own)


def chooser(campaign: Campaign) -> Choose:
    """Return made-up raters: any label of the page, the same each time."""
    if campaign.settings.kind == "ratings":
        known = [str(value) for value in range(campaign.settings.scale[0], campaign.settings.scale[1] + 1)]
    else:
        known = list(LETTERS[: 2 if campaign.settings.kind == "pairwise" else 3])
        known += ["Tie"] if campaign.settings.kind == "pairwise" and campaign.settings.ties else []
    return lambda page, dimension: known[sum(map(ord, page + dimension)) % len(known)]


def expected(campaign: Campaign, choose: Choose, key: Callable[[int, str], str]) -> pd.DataFrame:
    """Return the judgements of the made-up raters on what is dealt, without the exchange."""
    rows, dealing = [], Dealing(campaign)
    for number in range(dealing.raters):
        for page in dealing.pages(number):
            for dimension in campaign.settings.dimensions:
                label = choose(key(number + 1, page.item_id), dimension)
                value = page.answer_ids[LETTERS.index(label)] if label in LETTERS else label.lower()
                rows.append((number, page.item_id, " ".join(page.answer_ids), dimension, value))
    return pd.DataFrame(rows, columns=pd.Index(JUDGEMENT_COLUMNS[:-1]))


def page_key(number: int, item_id: str) -> str:
    return f"r{number:02}{item_id}"


def there_and_back(campaign: Campaign, tool: str, tmp_path: Path) -> tuple[pd.DataFrame, list[str]]:
    folder, out = write_folder(exported(campaign, tool), tmp_path / tool), tmp_path / "back"
    out.mkdir()
    paths = FILL[tool](folder, chooser(campaign), campaign.settings.dimensions, out)
    return imported(campaign, tool, paths)


@pytest.mark.parametrize("kind", ["pairwise", "best_of", "ratings"])
@pytest.mark.parametrize("tool", list(TOOLS))
def test_what_is_judged_in_another_tool_comes_back_as_it_was_judged(tmp_path: Path, tool: str, kind: str) -> None:
    campaign = study(tmp_path, kind)
    found, notes = there_and_back(campaign, tool, tmp_path)
    true = expected(campaign, chooser(campaign), page_key)
    assert notes == []
    names = dict(zip(true["rater"].unique(), found["rater"].unique(), strict=True))
    true["rater"] = true["rater"].map(names)
    by = ["rater", "item_id", "dimension"]
    pd.testing.assert_frame_equal(
        found[JUDGEMENT_COLUMNS[:-1]].sort_values(by).reset_index(drop=True),
        true.sort_values(by).reset_index(drop=True),
        check_dtype=False,
    )
    assert all(name[0] == "r" and len(name) == 9 for name in names.values())
    timed = {"label_studio": 4.5, "pearmut": 4.5}.get(tool, np.nan)
    assert found["seconds"].unique() == pytest.approx([timed], nan_ok=True)


@pytest.mark.parametrize("tool", list(TOOLS))
def test_an_export_names_no_model_and_shows_answers_as_produced(tmp_path: Path, tool: str) -> None:
    campaign = study(tmp_path, "pairwise", against=["alpha0"])
    texts = exported(campaign, tool)
    whole = "\n".join(texts.values())
    assert "alpha" not in whole
    assert "score" not in whole
    assert "seed" not in whole
    answer = next(answer.response for answer in campaign.answers if answer.response.startswith("=1+1"))
    shown = inert(answer) if tool == "spreadsheet" else json.dumps(answer)
    assert shown in whole
    assert campaign.instructions == texts["instructions.md"]


def test_no_cell_of_an_exported_sheet_or_table_can_run_as_a_formula(tmp_path: Path) -> None:
    campaign = study(tmp_path, "ratings")
    found, _ = there_and_back(campaign, "spreadsheet", tmp_path)
    written = write_inert(ratings_of(campaign, found), tmp_path / "ratings.csv")
    texts = [text for name, text in exported(campaign, "spreadsheet").items() if name.endswith("csv")]
    seen = 0
    for text in (*texts, written.read_text(encoding="utf-8")):
        for row in csv.reader(text.lstrip("\ufeff").splitlines(keepends=True)):
            assert not [cell for cell in row if cell.strip()[:1] in tuple("=+-@")]
            seen += sum(cell.startswith(("'=", "'+", "'-", "'@")) for cell in row)
    assert seen > 10


def test_the_label_studio_configuration_asks_every_dimension_of_every_answer(tmp_path: Path) -> None:
    view = Xml.fromstring(exported(study(tmp_path, "best_of"), "label_studio")["config.xml"])
    assert view.tag == "View"
    shown = [text.attrib["value"] for text in view.iter("Text")]
    assert shown == ["$prompt", "$answer1", "$answer2", "$answer3"]
    groups = list(view.iter("Choices"))
    assert [group.attrib["name"] for group in groups] == ["dimension1", "dimension2"]
    for group in groups:
        assert group.attrib["toName"] in {text.attrib["name"] for text in view.iter("Text")}
        assert [choice.attrib["value"] for choice in group] == ["A", "B", "C"]


def test_a_potato_configuration_shows_what_its_data_hold(tmp_path: Path) -> None:
    texts = exported(study(tmp_path, "pairwise", ties=False), "potato")
    config = yaml.safe_load(texts["rater-01.yaml"])
    rows = json.loads(texts[config["data_files"][0]])
    keys = [field["key"] for field in config["instance_display"]["fields"]]
    assert all({config["item_properties"]["id_key"], *keys} == set(row) for row in rows)
    assert [scheme["labels"] for scheme in config["annotation_schemes"]] == [["A", "B"]] * 2


def test_pearmut_shows_no_answer_as_an_element_and_keeps_our_order(tmp_path: Path) -> None:
    campaign = study(tmp_path, "pairwise")
    content = json.loads(exported(campaign, "pearmut")["campaign.json"])
    assert content["info"]["shuffle"] is False
    pages = Dealing(campaign).pages(0)
    assert [list(document[0]["tgt"]) for document in content["data"][0]] == [list(page.answer_ids) for page in pages]
    shown = [text for user in content["data"] for document in user for text in document[0]["tgt"].values()]
    assert not [text for text in shown if text.startswith("<img ")]
    assert [text for text in shown if text.startswith("\u200b<img ")]


def test_equal_sliders_are_a_tie_where_ties_are_allowed_and_else_no_judgement(tmp_path: Path) -> None:
    for ties in (True, False):
        folder = tmp_path / str(ties)
        folder.mkdir()
        campaign = study(folder, "pairwise", ties=ties)
        content = json.loads(exported(campaign, "pearmut")["campaign.json"])
        lines = []
        for place, item in enumerate((content["data"][0][0][0], content["data"][0][1][0])):
            scores = dict(zip(item["tgt"], (40, 40 + place), strict=True))
            annotation = {
                answer: {"sliders": {"creativity": score, "good_fit": score}} for answer, score in scores.items()
            }
            lines.append(json.dumps({"annotation": [annotation], "item": [item], "user_id": "u"}))
        (folder / "log.jsonl").write_text("\n".join(lines))
        found, _ = imported(campaign, "pearmut", [folder / "log.jsonl"])
        assert len(found) == (4 if ties else 2)
        assert (found["value"] == "tie").sum() == (2 if ties else 0)


def test_votes_name_the_models_and_who_stood_left(tmp_path: Path) -> None:
    campaign = study(tmp_path, "pairwise", against=["alpha0"])
    found, _ = there_and_back(campaign, "label_studio", tmp_path)
    votes = votes_of(campaign, found)
    own = found[[campaign.item[item].role == "item" for item in found["item_id"]]].reset_index(drop=True)
    assert len(votes) == len(own)
    assert set(votes["model_b"]) == {"alpha0"}
    for vote, judged in zip(votes.itertuples(), own.itertuples(), strict=True):
        left = campaign.answer[str(judged.answer_ids).split()[0]].model
        assert left == (vote.model_a if vote.left == "a" else vote.model_b)
        winner = {"a": vote.model_a, "b": vote.model_b, "tie": ""}[str(vote.winner)]
        assert winner == ("" if judged.value == "tie" else campaign.answer[str(judged.value)].model)
        assert vote.words_b == next(
            campaign.answer[answer].words
            for answer in str(judged.answer_ids).split() if campaign.answer[answer].model == "alpha0"
        )  # fmt: skip


def test_the_best_of_three_has_beaten_the_two_others(tmp_path: Path) -> None:
    campaign = study(tmp_path, "best_of")
    item = campaign.of_role("item")[0]
    shown = item.answer_ids[::-1]
    judgements = pd.DataFrame([("r1", item.item_id, " ".join(shown), "creativity", shown[1], 3.0)],
                              columns=pd.Index(JUDGEMENT_COLUMNS))  # fmt: skip
    votes = votes_of(campaign, judgements)
    best = campaign.answer[shown[1]].model
    winners = [vote.model_a if vote.winner == "a" else vote.model_b for vote in votes.itertuples()]
    losers = [vote.model_b if vote.winner == "a" else vote.model_a for vote in votes.itertuples()]
    assert winners == [best, best]
    assert sorted([best, *map(str, losers)]) == ["alpha0", "alpha1", "alpha2"]


def test_ratings_flow_into_crpo_rate_unchanged(command: Any, tmp_path: Path) -> None:
    frame = samples(3, 4, 3)
    campaign = campaign_of(tmp_path, frame, kind="ratings", dimensions=["creativity", "quality"], raters_per_item=4,
                           choice={"by": "all"}, items_per_rater=36)  # fmt: skip
    write_campaign(campaign, tmp_path / "study")
    assert command("panel export study -o out --to spreadsheet")[0] == 0
    back = tmp_path / "back"
    back.mkdir()
    truth = {answer.answer_id: sum(map(ord, answer.answer_id)) % 5 for answer in campaign.answers}
    random = np.random.default_rng(0)

    def choose(page: str, dimension: str) -> str:
        answer = campaign.item[page[3:]].answer_ids[0]
        liked = truth[answer] if dimension == "creativity" else 4 - truth[answer]
        return str(int(np.clip(1 + liked + random.integers(-1, 2), 1, 5)))

    paths = in_spreadsheet(tmp_path / "out", choose, campaign.settings.dimensions, back)
    files = " ".join(f"back/{path.name}" for path in paths)
    code, out, error = command(f"panel import study {files} --from spreadsheet -o ratings.csv --json")
    assert (code, error) == (0, "")
    facts = json.loads(out)
    assert (facts["raters"], facts["ratings"]) == (4, 4 * 36 * 2)
    assert facts["attention checks passed"].endswith(" of 8")
    table = read_ratings(tmp_path / "ratings.csv")
    assert set(table["answer_id"]) == {campaign.item[item.item_id].answer_ids[0] for item in campaign.of_role("item")}
    code, _, error = command("rate ratings.csv -o scores.csv --by dimension")
    assert code == 0, error
    scores = pd.read_csv(tmp_path / "scores.csv")
    for dimension, sign in (("creativity", 1), ("quality", -1)):
        own = scores[scores["dimension"] == dimension]
        assert len(own) == 36
        assert sign * own["theta"].corr(own["answer_id"].map(truth)) > 0.8


def test_one_rater_who_judges_an_item_twice_counts_once(tmp_path: Path) -> None:
    campaign = study(tmp_path, "ratings")
    folder, out = write_folder(exported(campaign, "label_studio"), tmp_path / "out"), tmp_path / "back"
    out.mkdir()
    paths = in_label_studio(folder, chooser(campaign), campaign.settings.dimensions, out)
    once, _ = imported(campaign, "label_studio", paths)
    twice, notes = imported(campaign, "label_studio", [*paths, *paths])
    pd.testing.assert_frame_equal(once, twice)
    assert notes == [f"left out {len(once):,} second judgements of a rater on the same item"]


@pytest.mark.parametrize(
    ("tool", "content", "found"),
    [
        ("label_studio", "{", "row 1"),
        ("label_studio", "{}", "holds no list of tasks"),
        ("label_studio", '[{"id": 1, "data": {"page": "r01i0"}}]', "task 1 has no annotations"),
        ("label_studio", '[{"data": {"page": "r01i0"}, "annotations": []}]', "'r01i0' is no page of this campaign"),
        ("label_studio", "[]", "no judgement"),
        ("potato", "[]", "holds no instance_id_to_label_to_value"),
        ("potato", '{"instance_id_to_label_to_value": {"x": {}}}', "'x' is no page"),
        ("pearmut", '{"item": 3}', "row 1 is no annotation of pearmut"),
        ("pearmut", '{"item": [{"item_id": "x"}], "annotation": [{}]}', "'x' is no page"),
        ("spreadsheet", "page,task\nr01,x\n", "has no column"),
        ("excel", "", "no tool is called 'excel'"),
    ],
)
def test_a_file_that_did_not_come_from_the_tool_is_told_in_one_line(
    tmp_path: Path, tool: str, content: str, found: str
) -> None:
    file = tmp_path / ("back.csv" if tool == "spreadsheet" else "back.json")
    file.write_text(content)
    with pytest.raises(InputError, match=found) as error:
        imported(study(tmp_path, "pairwise"), tool, [file])
    assert "\n" not in str(error.value)


def test_a_label_the_page_does_not_have_is_refused(tmp_path: Path) -> None:
    campaign = study(tmp_path, "pairwise", ties=False)
    folder, out = write_folder(exported(campaign, "label_studio"), tmp_path / "out"), tmp_path / "back"
    out.mkdir()
    paths = in_label_studio(folder, lambda page, dimension: "Tie", campaign.settings.dimensions, out)
    with pytest.raises(InputError, match="'Tie' is none of A, B"):
        imported(campaign, "label_studio", paths)


def test_prolific_gets_the_open_address_with_its_placeholders_and_the_places(tmp_path: Path) -> None:
    campaign = study(tmp_path, "pairwise")
    text = exported(campaign, "prolific", "https://panel.example.org/")["prolific.csv"]
    ((address, places),) = csv.reader(text.splitlines())
    assert address == (
        "https://panel.example.org/join?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}"
        "&SESSION_ID={{%SESSION_ID%}}"
    )
    assert places == str(Dealing(campaign).raters)
    for url in ("", "panel.example.org"):
        with pytest.raises(InputError, match="no address of a server"):
            exported(campaign, "prolific", url)
