"""Other tools, filled in as they document their results."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

Choose = Callable[[str, str], str]  # page and dimension -> what is written on the page
LETTERS = "ABC"


def in_label_studio(folder: Path, choose: Choose, dimensions: list[str], out: Path) -> list[Path]:
    """Fill in tasks as Label Studio exports them (labelstud.io/guide/task_format)."""
    paths = []
    for number, file in enumerate(sorted(folder.glob("rater-*.json"))):
        tasks = json.loads(file.read_text())
        for task in tasks:
            results = [
                {"id": "x", "type": "choices", "origin": "manual", "from_name": f"dimension{n}", "to_name": "prompt",
                 "value": {"choices": [choose(task["data"]["page"], dimension)]}}
                for n, dimension in enumerate(dimensions, 1)
            ]  # fmt: skip
            given_up = {"id": 1, "result": results, "was_cancelled": True, "completed_by": 99, "lead_time": 1.0}
            done = {"id": 2, "result": results, "was_cancelled": False, "lead_time": 4.5,
                    "completed_by": number + 7 if number % 2 else {"id": number + 7, "email": "a@b.c"}}  # fmt: skip
            task |= {"id": 5, "annotations": [given_up, done], "predictions": [], "project": 3}
        paths.append(out / file.name)
        paths[-1].write_text(json.dumps(tasks))
    return paths


def in_potato(folder: Path, choose: Choose, dimensions: list[str], out: Path) -> list[Path]:
    """Fill in user states as Potato keeps them, in both forms (its docs/data-export, potato/export/cli.py)."""
    for number, file in enumerate(sorted((folder / "data").glob("*.json"))):
        done = {}
        for row in json.loads(file.read_text()):
            chosen = {f"dimension{n}": choose(row["id"], dimension) for n, dimension in enumerate(dimensions, 1)}
            pairs = [[{"schema": schema, "name": name}, "true"] for schema, name in chosen.items()]
            done[row["id"]] = pairs if number % 2 else {schema: {name: True} for schema, name in chosen.items()}
        state = out / "annotation_output" / file.stem / f"user{number}" / "user_state.json"
        state.parent.mkdir(parents=True)
        state.write_text(json.dumps({"user_id": f"user{number}", "instance_id_to_label_to_value": done}))
    return [out / "annotation_output"]


def in_pearmut(folder: Path, choose: Choose, dimensions: list[str], out: Path) -> list[Path]:
    """Fill in a log as Pearmut writes it (its server/results_export.py); the first entry of a page is taken back."""
    campaign = json.loads((folder / "campaign.json").read_text())
    lines = []
    for number, documents in enumerate(campaign["data"]):
        for place, document in enumerate(documents):
            item = document[0]
            sliders: dict[str, dict[str, float]] = {answer: {} for answer in item["tgt"]}
            for dimension in dimensions:
                label = choose(item["item_id"], dimension)
                for n, answer in enumerate(item["tgt"]):
                    score = int(label) if label.isdecimal() else 50 + 10 * (label == LETTERS[n])
                    sliders[answer][dimension.replace(" ", "_")] = score
            whole = {answer: {"score": None, "sliders": own, "error_spans": []} for answer, own in sliders.items()}
            first = {answer: {**own, "sliders": dict.fromkeys(own["sliders"], 1)} for answer, own in whole.items()}
            actions = [{"time": 100.0, "action": "load"}, {"time": 104.5, "action": "submit"}]
            about = {"item": document, "user_id": f"calm-cat-{number}", "item_i": place, "actions": actions}
            lines += [{"annotation": [first], **about}, {"annotation": [whole], **about}]
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [out / "log.jsonl"]


def in_spreadsheet(folder: Path, choose: Choose, dimensions: list[str], out: Path) -> list[Path]:
    """Fill in the sheets, and save them as Excel, or with other delimiters and cases, as people do."""
    paths = []
    for number, file in enumerate(sorted(folder.glob("rater-*.csv"))):
        with file.open(encoding="utf-8-sig", newline="") as stream:
            head, *rows = list(csv.reader(stream))
        heads = [next(place for place, name in enumerate(head) if dimension in name) for dimension in dimensions]
        for row in rows:
            for dimension, place in zip(dimensions, heads, strict=True):
                label = choose(row[0], dimension)
                row[place] = f" {label.lower()}" if number % 2 else label
        paths.append(out / file.with_suffix(".xlsx" if number % 3 == 2 else ".csv").name)
        if paths[-1].suffix == ".xlsx":
            pd.DataFrame(rows, columns=pd.Index(head)).to_excel(paths[-1], index=False)
            continue
        with paths[-1].open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, delimiter=";" if number % 2 else ",").writerows([head, *rows])
    return paths


FILL = {"label_studio": in_label_studio, "potato": in_potato, "pearmut": in_pearmut, "spreadsheet": in_spreadsheet}
