"""Potato: a configuration and a data file for each rater out, `user_state.json` files in.

Format: github.com/davidjurgens/potato, docs/configuration, docs/annotation-types/instance_display.md and
docs/data-export/export_formats.md. Its user state keeps labels as [[{"schema", "name"}, value], …] or as
{schema: {name: value}}; both are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from crpo.errors import InputError
from crpo.panel.exchange.sheets import LETTERS, Judged, Sheets, json_text, labels, question, read_json, value_of

STATE = "user_state.json"


def files(sheets: Sheets) -> dict[str, str]:
    """Return a configuration (`potato start rater-01.yaml`) and `data/rater-01.json` for each rater."""
    out = {}
    for own in sheets.raters:
        name = sheets.name(own[0].rater)
        out[f"{name}.yaml"] = yaml.safe_dump(_configuration(sheets, name), sort_keys=False, allow_unicode=True)
        rows = [
            {"id": sheet.key, "text": sheet.answers[0].prompt,
             **{f"answer{n}": answer.response for n, answer in enumerate(sheet.answers, 1)}}
            for sheet in own
        ]  # fmt: skip
        out[f"data/{name}.json"] = json_text(rows)
    return out


def _configuration(sheets: Sheets, name: str) -> dict[str, Any]:
    settings, answers = sheets.campaign.settings, sheets.raters[0][0].answers
    shown = [("text", "Task"), *((f"answer{n}", LETTERS[n - 1]) for n in range(1, len(answers) + 1))]
    return {
        "annotation_task_name": settings.title,
        "task_dir": ".",
        "output_annotation_dir": f"annotation_output/{name}/",
        "data_files": [f"data/{name}.json"],
        "item_properties": {"id_key": "id", "text_key": "text"},
        "user_config": {"allow_all_users": True, "users": []},
        "instance_display": {
            "fields": [
                {"key": key, "type": "text", "label": label, "display_options": {"preserve_whitespace": True}}
                for key, label in shown
            ]
        },
        "annotation_schemes": [
            {"annotation_type": "radio", "name": f"dimension{number}", "description": question(settings, dimension),
             "labels": list(labels(settings, answers)), "label_requirement": {"required": True}}
            for number, dimension in enumerate(settings.dimensions, 1)
        ],
    }  # fmt: skip


def judged(sheets: Sheets, path: Path) -> Iterator[Judged]:
    """Yield the judgements of a `user_state.json`, or of all of them in a folder and the folders in it."""
    states = sorted(path.rglob(STATE)) if path.is_dir() else [path]
    if not states:
        raise InputError(f"{path} holds no {STATE}", "Name potato's annotation_output folder.")
    for state in states:
        yield from _of_state(sheets, state)


def _of_state(sheets: Sheets, path: Path) -> Iterator[Judged]:
    settings, content = sheets.campaign.settings, read_json(path)
    pages = content.get("instance_id_to_label_to_value") if isinstance(content, dict) else None
    if not isinstance(pages, dict):
        raise InputError(f"{path} holds no instance_id_to_label_to_value", f"Give potato's {STATE}.")
    rater = str(content.get("user_id") or path.parent.name)
    for key, raw in pages.items():
        where = f"{path}, instance {key}"
        sheet = sheets.find(str(key), where)
        for number, dimension in enumerate(settings.dimensions, 1):
            chosen = [label for name, label in _labels(raw) if name == f"dimension{number}"]
            if len(chosen) > 1:
                raise InputError(f"{where}: {len(chosen)} choices where one is made", "Correct the file.")
            for label in chosen:
                value = value_of(sheet, settings, label, where)
                yield Judged(rater, sheet.item_id, sheet.answer_ids, dimension, value, math.nan)


def _labels(raw: Any) -> Iterator[tuple[str, str]]:
    """Yield (schema, label) of what is chosen, in either form of the file."""
    if isinstance(raw, dict):
        raw = [({"schema": schema, "name": name}, value) for schema, own in raw.items() for name, value in own.items()]
    for about, value in raw:
        if value not in (False, None, "", "false"):
            yield str(about.get("schema")), str(about.get("name"))
