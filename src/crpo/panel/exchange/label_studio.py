"""Label Studio: a labelling configuration and tasks out, its JSON export in.

Format: labelstud.io/guide/task_format (tasks with `data`; `annotations` with `result`, `completed_by`, `lead_time`,
`was_cancelled`) and labelstud.io/tags/choices (value {"choices": [...]}).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from crpo.errors import InputError
from crpo.panel.campaign import Campaign
from crpo.panel.exchange.sheets import LETTERS, Judged, Sheets, json_text, labels, question, read_json, value_of

FIX = "Export the project as JSON (not JSON-MIN or CSV)."


def files(sheets: Sheets) -> dict[str, str]:
    """Return `config.xml` and a file of tasks for each rater: import each into a project of its own."""
    out = {"config.xml": _configuration(sheets)}
    for own in sheets.raters:
        tasks = [
            {"data": {"page": sheet.key, "place": sheet.place, "prompt": sheet.answers[0].prompt,
                      **{f"answer{n}": answer.response for n, answer in enumerate(sheet.answers, 1)}}}
            for sheet in own
        ]  # fmt: skip
        out[f"{sheets.name(own[0].rater)}.json"] = json_text(tasks)
    return out


def _configuration(sheets: Sheets) -> str:
    settings, answers = sheets.campaign.settings, sheets.raters[0][0].answers
    view = Xml.Element("View")
    Xml.SubElement(view, "Header", value="Task")
    Xml.SubElement(view, "Text", name="prompt", value="$prompt")
    beside = Xml.SubElement(view, "View", style="display: flex; gap: 2em")
    for number in range(1, len(answers) + 1):
        column = Xml.SubElement(beside, "View", style="flex: 1")
        Xml.SubElement(column, "Header", value=LETTERS[number - 1] if len(answers) > 1 else "Answer")
        Xml.SubElement(column, "Text", name=f"answer{number}", value=f"$answer{number}")
    for number, dimension in enumerate(settings.dimensions, 1):
        Xml.SubElement(view, "Header", value=question(settings, dimension))
        group = Xml.SubElement(view, "Choices", name=f"dimension{number}", toName="prompt", choice="single-radio",
                               showInline="true", required="true")  # fmt: skip
        for key, label in enumerate(labels(settings, answers), 1):
            choice = Xml.SubElement(group, "Choice", value=label)
            if len(settings.dimensions) == 1 and key < 10:
                choice.set("hotkey", str(key))
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"


def judged(sheets: Sheets, path: Path) -> Iterator[Judged]:
    """Yield the judgements of a JSON export; cancelled annotations do not count."""
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise InputError(f"{path} holds no list of tasks", FIX)
    for number, task in enumerate(tasks, 1):
        where = f"{path}, task {number}"
        if not isinstance(task, dict) or not isinstance(task.get("annotations"), list):
            raise InputError(f"{where} has no annotations", FIX)
        sheet = sheets.find(str(task.get("data", {}).get("page")), where)
        for annotation in task["annotations"]:
            if annotation.get("was_cancelled"):
                continue
            for name, label in _chosen(sheets.campaign, annotation, where):
                value = value_of(sheet, sheets.campaign.settings, label, where)
                yield Judged(_who(annotation, sheet.rater), sheet.item_id, sheet.answer_ids, name, value,
                             float(annotation.get("lead_time") or math.nan))  # fmt: skip


def _chosen(campaign: Campaign, annotation: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    names = {f"dimension{number}": name for number, name in enumerate(campaign.settings.dimensions, 1)}
    for result in annotation.get("result", []):
        if result.get("type") != "choices" or result.get("from_name") not in names:
            continue
        choices = result.get("value", {}).get("choices", [])
        if len(choices) != 1:
            raise InputError(f"{where}: {len(choices)} choices where one is made", FIX)
        yield names[result["from_name"]], choices[0]


def _who(annotation: dict[str, Any], number: int) -> str:
    by = annotation.get("completed_by")
    found = by.get("id") if isinstance(by, dict) else by
    return f"page of rater {number}" if found is None else str(found)
