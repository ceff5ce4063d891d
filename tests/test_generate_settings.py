"""`crpo generate`: too many failures, lengths of one's own tasks, and the settings of a protocol's generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crpo.generators import Decoding, requests_for
from crpo.generators.in_turns import InTurns
from crpo.recipe.sections import GenerateSection, PolicySection
from crpo.records import RecordStore
from crpo.stages.order import plan_samples
from malformed import Command

PROMPTS = "prompt_id,prompt,task\na,A?,Haiku\nb,B?,Uses\n"
REPLIES = "prompt_id,response,status\na,one,ok\na,two,ok\nb,three,ok\n"
CANNED = 'generate p.csv -o s.csv --set grid=[{"samples":2}] --generator {"use":"canned","replies":"r.csv"}'
FILES = {"p.csv": PROMPTS, "r.csv": REPLIES}
PROTOCOL = """
own:
  - {name: first, ask: "Think of {prompt}"}
  - {name: second, ask: "For {prompt} you said: {first}. Now {first} again, better."}
"""


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "s.records.jsonl").read_bytes().splitlines()]


def test_more_failed_samples_than_the_share_allows_end_with_exit_code_6_and_the_table_is_there(
    command: Command, tmp_path: Path
) -> None:
    code, out, error = command(f"{CANNED} --json", FILES)
    assert code == 6
    assert json.loads(out) == {"samples": 4, "ok": 3, "error": 1, "written": "s.csv"}
    assert error.splitlines()[-1] == (
        "error: 1 of 4 samples of canned failed, more than max_error_share 0.02. "
        "The same command again asks for these once more."
    )
    assert pd.read_csv(tmp_path / "s.csv")["status"].tolist() == ["ok", "ok", "ok", "error"]
    assert command(f"{CANNED} --set max_error_share=0.25")[0] == 0  # no other records: the share changes no sample
    assert command(CANNED)[0] == 6
    assert command(CANNED, {"r.csv": REPLIES + "b,four,ok\n"})[0] == 0
    assert pd.read_csv(tmp_path / "s.csv")["attempts"].tolist() == [1, 1, 1, 4]


def test_lengths_are_those_of_ones_own_tasks(command: Command, tmp_path: Path) -> None:
    own = 'Haiku:\n  prompt: "Write a haiku on {item}."\n  length: {sentences: 1, words: 17}\n'
    files = {**FILES, "r.csv": REPLIES + "b,four,ok\n", "tasks.yaml": own}
    assert command(f"{CANNED} --set lengths=true --tasks tasks.yaml", files)[0] == 0
    prompts = pd.read_csv(tmp_path / "s.csv").drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    assert prompts["a"] == "A?\nAnswer in about 1 sentence and at most 17 words."
    assert "at most 17" not in prompts["b"]


def in_turns(**inner: Any) -> str:
    spec = {"use": "in_turns", "protocol": "own", "protocols": "own.yaml", "generator": inner}
    return f"generate p.csv -o s.csv --generator {json.dumps(spec, separators=(',', ':'))}"


def test_a_dry_run_of_a_protocol_estimates_every_turn(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ' --set grid=[{"samples":4}] --set max_new_tokens=10'
    line = in_turns(use="openai", model="gpt-4o") + grid + " --dry-run --json"
    code, out, _ = command(line, {**FILES, "own.yaml": PROTOCOL})
    told = json.loads(out)
    assert code == 0
    assert told["to draw"] == 8
    first, second = len("Think of A?"), len("For A? you said: . Now  again, better.")
    texts = 8 * (-(-first // 4) + -(-second // 4))
    assert told["input tokens"] == f"at most {texts + 8 * 2 * 10}"  # each second turn quotes the first twice
    assert told["output tokens"] == "at most 160"
    assert told["estimated_cost"] == pytest.approx(((texts + 160) * 2.5 + 160 * 10) / 1e6)


def test_turns_that_are_there_are_not_estimated_again(command: Command, tmp_path: Path) -> None:
    replies = "prompt_id,response,status\n" + "".join(f"{p}/first,x,ok\n" for p in "aab") + "a/second,y,ok\n"
    line = in_turns(use="canned", replies="r.csv") + ' --set grid=[{"samples":2}]'
    assert command(line, {"p.csv": PROMPTS, "r.csv": replies, "own.yaml": PROTOCOL})[0] == 6
    drawer = InTurns("own", {"use": "canned", "replies": "r.csv"}, (Decoding(samples=2),), "own.yaml")
    requests = [r for pair in (("a", "A?"), ("b", "B?")) for r in requests_for(*pair, drawer.grid, 42)]
    second = "For {}? you said: . Now  again, better."
    assert drawer.will_ask(requests[1:], records(tmp_path)[1:]) == (
        [second.format("A"), second.format("B"), "Think of B?", second.format("B")], 6
    )  # fmt: skip
    assert json.loads(command(f"{line} --dry-run --json")[1])["input tokens"] == "not known"  # nor are replies' lengths


HF = {"use": "hf", "model": "some/model"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokens_per_batch": 7}, None),
        ({"chat_template": "plain"}, 'over.chat_template was not there, is "plain"'),
        ({"model": "some/other"}, 'model was "some/model", is "some/other"'),
        ({"max_new_tokens": 9}, "max_new_tokens was 64, is 9"),
    ],
)
def test_of_a_protocols_generator_only_settings_that_matter_make_other_records(
    command: Command, tmp_path: Path, change: dict[str, Any], told: str | None
) -> None:
    files = {"p.csv": PROMPTS, "own.yaml": PROTOCOL, "moved.yaml": PROTOCOL}
    assert command(in_turns(**HF) + " --dry-run", files)[0] == 0
    spec = {"use": "in_turns", "protocol": "own", "protocols": "moved.yaml", "generator": HF}
    prompts = pd.read_csv(tmp_path / "p.csv")
    about = plan_samples(GenerateSection(), PolicySection(), "", prompts, generator=spec).about
    assert about["generator"] == "in_turns"
    assert about["over"] == {"generator": "hf"}
    RecordStore(tmp_path / "s.records.jsonl", about).close()
    code, _, error = command(in_turns(**{**HF, **change}) + " --dry-run")
    assert (code, error) == (0, "") if told is None else code == 4
    assert told is None or told in error


def test_settings_of_an_interface_inside_a_protocol_that_change_no_sample_may_change(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(PROTOCOL)
    section = GenerateSection(grid=[{"samples": 2}])  # type: ignore[list-item]
    prompts = pd.DataFrame({"prompt_id": ["a"], "prompt": ["A?"]})

    def about(**inner: Any) -> dict[str, Any]:
        own = {"use": "openai", "model": "gpt-4o", **inner}
        spec = {"use": "in_turns", "protocol": "own", "protocols": str(tmp_path / "own.yaml"), "generator": own}
        return plan_samples(section, PolicySection(), "", prompts, generator=spec).about

    plain = about()
    assert plain["over"] == {
        "generator": "openai", "base_url": "", "seeded": False, "choices": None, "extra": {},
    }  # fmt: skip
    assert about(concurrency=2, tries=3, deadline=9, first_wait=0.5, longest_wait=2, key_variable="K") == plain
    assert about(seeded=True) != plain
    assert about(extra={"reasoning_effort": "low"})["over"]["extra"] == {"reasoning_effort": "low"}
