"""Prompts in several turns: data that is never run, over any generator, continued where it stopped."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crpo.errors import InputError
from crpo.generators import Decoding, hf, requests_for
from crpo.generators.hf import HuggingFace
from crpo.generators.in_turns import InTurns
from crpo.models import load_language_model
from crpo.recipe.sections import GenerateSection, PolicySection
from crpo.records import RecordStore
from crpo.stages.generate import generate
from crpo.tasks.protocols import Turn, fill_in, read_protocols

PROMPTS = [("p1", "a use for a brick"), ("p2", "a use for a {rope}")]
GRID = (Decoding(0.7, 1.0, 0, 2), Decoding(1.0, 1.0, 0, 1))
EVIL = [
    "__import__('os').system('touch owned')",
    "{0.__class__}",
    "{{prompt}} {prompt} {first}",
    "${HOME} %s \\g<0> \\1",
]
OWN = """
two:
  - {name: first, ask: "Think of {prompt}"}
  - {name: second, ask: "For {prompt} you said: {first} | say it better than {first}"}
three:
  - {name: a, ask: "{prompt}?"}
  - {name: b, ask: "{a}!"}
  - {name: c, ask: "{a} {b} {prompt}"}
"""


@dataclass(frozen=True)
class Echo:
    """Reply with the question, the sample's number and its temperature, and count what was asked."""

    asked: list[tuple[str, int]]
    grid: tuple[Decoding, ...] = GRID
    fails_at: tuple[str, int] | None = None
    text: str = "{} #{} at {}"

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        for prompt_id, prompt in prompts:
            for request in requests_for(prompt_id, prompt, self.grid, seed):
                if request.key not in had:
                    self.asked.append((prompt_id, request.sample))
                    failed = self.fails_at == (prompt_id, request.sample)
                    text = self.text.format(prompt, request.sample, request.decoding.temperature)
                    yield {"key": request.key, "prompt_id": prompt_id, "prompt": prompt, "sample": request.sample,
                           "response": "" if failed else text, "status": "error" if failed else "ok",
                           "finish_reason": "stop", "tokens": 3, "temperature": request.decoding.temperature,
                           "top_p": 1.0, "top_k": 0, "seed": seed}  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    return str(tmp_path / "own.yaml")


def over(own: str, name: str = "two", **settings: Any) -> tuple[InTurns, list[tuple[str, int]]]:
    asked: list[tuple[str, int]] = []
    return InTurns(name, {"use": "test_protocols:Echo", "asked": asked, **settings}, GRID, own), asked


def test_each_sample_quotes_its_own_earlier_replies(own: str) -> None:
    drawer, _ = over(own)
    records = list(drawer(PROMPTS, seed=0))
    assert [record["turn"] for record in records] == ["first"] * 6 + ["second"] * 6
    wanted = [request for pair in PROMPTS for request in requests_for(*pair, GRID, 0)]
    assert [record["key"] for record in records[6:]] == [request.key for request in wanted]
    for record, request in zip(records[6:], wanted, strict=True):
        first = f"Think of {request.prompt} #{request.sample} at {request.decoding.temperature}"
        question = f"For {request.prompt} you said: {first} | say it better than {first}"
        assert (record["prompt_id"], record["prompt"], record["asked"]) == (request.prompt_id, request.prompt, question)
        assert record["response"] == f"{question} #{request.sample} at {request.decoding.temperature}"


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_in_prompts_or_replies_is_run_or_filled_in(
    own: str, evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawer, _ = over(own, "three", text=evil.replace("{", "{{").replace("}", "}}"))
    records = list(drawer([("p", evil)], seed=0))
    asked = {record["turn"]: record.get("asked", record["prompt"]) for record in records}
    assert asked == {"a": f"{evil}?", "b": f"{evil}!", "c": f"{evil} {evil} {evil}"}
    assert {record["response"] for record in records} == {evil}
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


def test_a_place_is_a_name_and_nothing_that_is_looked_up_in_it() -> None:
    turn = Turn(name="a", ask="{prompt.__class__} {0.__class__}")
    with pytest.raises(KeyError, match=r"prompt\.__class__"):
        fill_in(turn, {"prompt": "x"})


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ("{0.__class__}", r"turn 'a' quotes \{0.__class__\}; until then there are prompt"),
        ("{prompt.__class__}", r"quotes \{prompt.__class__\}"),
        ("{__import__('os').getcwd()}", r"quotes \{__import__"),
        ("{b}", r"quotes \{b\}"),
        ("{{prompt}}", "has a brace that is no part"),
        ("{prompt} }", "has a brace that is no part"),
        ("", "at least 1 character"),
    ],
)
def test_a_protocol_may_quote_the_prompt_and_earlier_replies_and_hold_no_other_braces(
    tmp_path: Path, ask: str, told: str
) -> None:
    (tmp_path / "own.yaml").write_text(f'mine:\n  - name: a\n    ask: "{ask}"\n  - {{name: b, ask: "x"}}\n', "utf-8")
    with pytest.raises(InputError, match=told):
        InTurns("mine", "hf", protocols=str(tmp_path / "own.yaml"), model="m")


def test_yaml_that_would_make_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("mine: !!python/object/apply:os.system ['touch owned']\n", "utf-8")
    with pytest.raises(InputError, match="row 1: could not determine a constructor"):
        read_protocols(str(path))
    path.write_text("[]\n", "utf-8")
    with pytest.raises(InputError, match="valid dictionary"):
        read_protocols(str(path.rename(tmp_path / "other.yaml")))
    with pytest.raises(InputError, match="No such file"):
        read_protocols(str(tmp_path / "none.yaml"))


def test_a_wrong_name_or_generator_is_told_when_the_drawer_is_made(own: str) -> None:
    with pytest.raises(InputError, match=r"no protocol 'tow'.*\n?.*\"two\""):
        InTurns("tow", "hf", protocols=own, model="m")
    with pytest.raises(InputError, match="no component 'hff'"):
        InTurns("two", "hff", protocols=own)
    with pytest.raises(InputError, match="two called 'prompt'"):
        read_protocols(_written(Path(own).parent / "twice.yaml", 'x: [{name: prompt, ask: "y"}]'))


def _written(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_a_killed_protocol_continues_and_asks_nothing_twice(own: str, tmp_path: Path) -> None:
    drawer, asked = over(own, "three")
    whole = list(drawer(PROMPTS, seed=0))
    assert len(asked) == len(whole) == 18
    for stop in (1, 5, 7, 12, 17, 18):
        again, asked = over(own, "three")
        store = RecordStore(tmp_path / f"{stop}.jsonl", {})
        for record in whole[:stop]:
            store.append(record)
        rest = [record for record in again(PROMPTS, seed=0, had=store) if store.append(record)]
        assert rest == whole[stop:]
        assert len(asked) == 18 - stop
        store.close()


def test_keys_without_their_records_are_not_enough_to_continue(own: str) -> None:
    drawer, _ = over(own)
    first = next(drawer(PROMPTS, seed=0))
    with pytest.raises(TypeError, match="must have `get`"):
        list(drawer(PROMPTS, seed=0, had={first["key"]}))


def test_a_sample_whose_earlier_turn_failed_has_its_status_and_is_tried_again(own: str, tmp_path: Path) -> None:
    drawer, _ = over(own, fails_at=("p1/first", 1))
    store = RecordStore(tmp_path / "records.jsonl", {})
    for record in drawer(PROMPTS, seed=0, had=store):
        store.append(record)
    lost = requests_for(*PROMPTS[0], GRID, 0)[1].key
    assert {k: store[lost][k] for k in ("response", "status", "finish_reason")} == {
        "response": "", "status": "error", "finish_reason": "turn first",
    }  # fmt: skip
    mended, asked = over(own)
    for record in mended(PROMPTS, seed=0, had=store):
        store.append(record)
    assert asked == [("p1/first", 1), ("p1/second", 1)]
    assert store[lost]["status"] == "ok"
    store.close()


def test_the_package_has_brainstorm_then_select_in_five_turns_over_recorded_replies(tmp_path: Path) -> None:
    turns = read_protocols()["brainstorm then select"]
    assert [turn.name for turn in turns] == ["features", "ideas", "further", "verdict", "answer"]
    assert [sorted(turn.quotes()) for turn in turns[1:]] == [
        ["features", "prompt"], ["ideas", "prompt"], ["further", "ideas", "prompt"], ["prompt", "verdict"],
    ]  # fmt: skip
    rows = [(f"p1/{turn.name}", f"reply of {turn.name} {i}") for turn in turns for i in range(2)]
    pd.DataFrame(rows, columns=["prompt_id", "response"]).to_csv(tmp_path / "replies.csv", index=False)  # type: ignore[arg-type]
    spec = {"use": "canned", "replies": str(tmp_path / "replies.csv")}
    section = GenerateSection(grid=[{"samples": 2}])  # type: ignore[list-item]
    prompts = pd.DataFrame([PROMPTS[0]], columns=["prompt_id", "prompt"])  # type: ignore[arg-type]
    drawer = {"use": "in_turns", "protocol": "brainstorm then select", "generator": spec}
    table = generate(section, PolicySection(), "", "m", prompts, tmp_path / "records.jsonl", generator=drawer)
    assert table["response"].tolist() == ["reply of answer 0", "reply of answer 1"]
    assert table[["prompt_id", "prompt"]].drop_duplicates().to_numpy().tolist() == [list(PROMPTS[0])]
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 1 + 10


def test_a_local_model_goes_through_a_protocol_loaded_once_and_its_samples_do_not_depend_on_the_batch(
    own: str, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(
        hf, "load_language_model", lambda *of, **how: loaded.append(of) or load_language_model(*of, **how)
    )
    model, chat = tiny()
    model.lm_head.weight.data[2] += 0.3
    model.float().save_pretrained(tmp_path / "m")
    chat.tokenizer.save_pretrained(tmp_path / "m")
    local = {"use": "hf", "model": str(tmp_path / "m")}
    found = {}
    for tokens in (1, 16384):
        drawer = InTurns("two", {**local, "tokens_per_batch": tokens}, GRID, own, max_new_tokens=60)
        found[tokens] = {r["key"]: (r["response"], r["status"]) for r in drawer(PROMPTS, seed=0)}
    assert found[1] == found[16384]
    assert len(loaded) == 2  # once for each drawer, and not for each of its turns
    plain = HuggingFace(str(tmp_path / "m"), GRID, 60)
    turn = Turn(name="first", ask="Think of {prompt}")
    asked = [(f"{key}/first", fill_in(turn, {"prompt": text})) for key, text in PROMPTS]
    for record in plain(asked, seed=0):
        assert found[1][record["key"]] == (record["response"], record["status"])
