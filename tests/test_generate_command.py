"""`crpo generate`: what is drawn once is there, is not drawn again, and its status and cost are told."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pandas as pd
import pytest

from crpo.budget import Caps, Price, Usage, estimate_tokens, read_prices, usage_of
from crpo.errors import InputError
from crpo.generators import Decoding, requests_for
from crpo.recipe.sections import EvaluateSection, GenerateSection, PolicySection
from crpo.stages.compare import estimate
from crpo.stages.evaluate import evaluate
from crpo.stages.order import plan_samples
from malformed import Command

PROMPTS = "prompt_id,prompt\na,A?\nb,B?\n"
REPLIES = "prompt_id,response,status\na,one,ok\na,I will not,refused\nb,two,ok\n"
COMPLETE = REPLIES + "b,three,ok\n"
CANNED = 'generate p.csv -o s.csv --set grid=[{"samples":2}] --generator {"use":"canned","replies":"r.csv"}'
FILES = {"p.csv": PROMPTS, "r.csv": REPLIES}


@dataclass(frozen=True)
class Paid:
    """Samples with counts of tokens; `under_way` of them are asked for before the first arrives."""

    grid: tuple[Decoding, ...] = (Decoding(),)
    model: str = "gpt-4o"
    max_new_tokens: int = 50
    under_way: int = field(default=1, repr=False)
    asked: ClassVar[list[str]] = []

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        waiting: list[Any] = []
        for request in [r for pair in prompts for r in requests_for(*pair, self.grid, seed)]:
            if request.key not in had:
                self.asked.append(request.key)
                waiting.append(request)
            while len(waiting) >= self.under_way:
                yield self._record(waiting.pop(0))
        yield from map(self._record, waiting)

    def _record(self, request: Any) -> dict[str, Any]:
        return {
            "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "sample": request.sample,
            "response": "a door stop", "status": "ok", "finish_reason": "stop", "tokens": 10, "temperature": 1.0,
            "top_p": 1.0, "top_k": 0, "seed": request.seed, "input_tokens": 20 if request.sample == 0 else 0,
            "output_tokens": 10, "thinking_tokens": 4,
        }  # fmt: skip


class Draining(Paid):
    """The same, and it looks into `had` before every request."""

    drains = True


class Unheard(Paid):
    """A status that nobody knows."""

    def _record(self, request: Any) -> dict[str, Any]:
        return {**super()._record(request), "status": "fine"}


@pytest.fixture(autouse=True)
def paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `paid:Paid` be a user's own module."""
    module = ModuleType("paid")
    vars(module).update(Paid=Paid, Draining=Draining, Unheard=Unheard)
    monkeypatch.setitem(sys.modules, "paid", module)
    Paid.asked.clear()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "s.records.jsonl").read_bytes().splitlines()]


def test_the_same_command_again_asks_only_for_what_failed_and_says_why(command: Command, tmp_path: Path) -> None:
    code, out, error = command(f"{CANNED} --set max_error_share=0.25 --json", FILES)
    assert code == 0
    assert json.loads(out) == {"samples": 4, "ok": 2, "refused": 1, "error": 1, "written": "s.csv"}
    assert "1 samples failed; the same command again asks for them once more" in error
    first = records(tmp_path)
    code, out, error = command(f"{CANNED} --json", {"r.csv": COMPLETE})
    assert code == 0
    assert json.loads(out) == {"samples": 4, "ok": 3, "refused": 1, "written": "s.csv"}
    assert "3 of 4 samples are there; 1 failed and are asked for again" in error
    assert "1 refused: these stay" in error
    assert records(tmp_path)[:5] == first
    assert len(records(tmp_path)) == 6
    table = pd.read_csv(tmp_path / "s.csv").set_index(["prompt_id", "sample"])
    assert table["attempts"].to_dict() == {("a", 0): 1, ("a", 1): 1, ("b", 0): 1, ("b", 1): 2}
    before = (tmp_path / "s.records.jsonl").read_bytes()
    assert command(CANNED, {"r.csv": REPLIES})[0] == 0
    assert (tmp_path / "s.records.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('--set grid=[{"samples":3}]', "grid.0.samples was 2, is 3"),
        ('--set grid=[{"samples":2,"temperature":0.5}]', "grid.0.temperature was 1.0, is 0.5"),
        ("--set seed=7", "seed was 42, is 7"),
        ('--generator {"use":"canned","replies":"q.csv"}', 'replies was "r.csv", is "q.csv"'),
        ("--generator paid:Paid", 'generator was "canned", is "paid:Paid"'),
    ],
)
def test_other_settings_on_the_same_records_end_with_exit_code_4_and_the_difference(
    command: Command, tmp_path: Path, change: str, told: str
) -> None:
    command(CANNED, {**FILES, "q.csv": REPLIES})
    before = (tmp_path / "s.records.jsonl").read_bytes()
    for more in ("", " --dry-run"):
        code, _, error = command(f"{CANNED} {change}{more}")
        assert code == 4
        assert error.startswith("error: s.records.jsonl holds records of other settings: ")
        assert told in error
    assert (tmp_path / "s.records.jsonl").read_bytes() == before


def test_more_prompts_are_no_other_settings(command: Command, tmp_path: Path) -> None:
    command(CANNED, {**FILES, "r.csv": COMPLETE})
    before = (tmp_path / "s.records.jsonl").read_bytes()
    code, _, error = command(CANNED, {"p.csv": PROMPTS + "c,C?\n"})
    assert code == 6  # the table has no replies to c
    assert "4 of 6 samples are there" in error
    assert (tmp_path / "s.records.jsonl").read_bytes().startswith(before)


PAID = 'generate p.csv -o s.csv --generator {"use":"paid:Paid"} --set grid=[{"samples":4}] '


def test_a_dry_run_tells_samples_tokens_and_cost_and_draws_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    code, out, _ = command(PAID + "--model gpt-4o --dry-run", FILES)
    assert code == 0
    assert out.splitlines() == [
        "samples: 8", "already there: 0", "to draw: 8", "of them failed before: 0", "used so far: 0 tokens, $0.00",
        "input tokens: about 8", "output tokens: at most 512", "cost: at most $0.0051", "time: not known",
    ]  # fmt: skip
    assert Paid.asked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "r.csv"]


def test_after_some_samples_the_estimate_follows_them(command: Command) -> None:
    assert command(PAID + "--max-tokens 60", FILES)[0] == 7
    code, out, _ = command(PAID + "--dry-run --json")
    told = json.loads(out)
    assert code == 0
    assert (told["already there"], told["to draw"]) == (4, 4)
    assert told["used so far"] == "60 tokens (16 of them thinking), $0.00045"
    assert (told["input tokens"], told["output tokens"]) == ("about 20", "about 40")
    assert told["estimated_cost"] == pytest.approx((20 * 2.5 + 40 * 10) / 1e6)
    assert told["time"] == "about 0 s"


def test_a_cap_on_tokens_ends_with_exit_code_7_and_a_higher_one_continues(command: Command, tmp_path: Path) -> None:
    code, _, error = command(PAID + "--max-tokens 45", FILES)
    assert code == 7
    assert "50 tokens are used, of max_tokens 45; 3 of 8 samples are in s.records.jsonl" in error
    assert error.endswith("The same with a higher cap continues.\n")
    assert len(pd.read_csv(tmp_path / "s.csv")) == 3
    assert command(PAID + "--max-tokens 45")[0] == 7  # nothing more is asked for
    assert len(Paid.asked) == 3
    assert command(PAID + "--max-tokens 100")[0] == 7
    assert command(PAID)[0] == 0
    assert len(Paid.asked) == len(set(Paid.asked)) == 8
    assert len(pd.read_csv(tmp_path / "s.csv")) == 8
    assert command(PAID + "--max-tokens 1")[0] == 0  # everything is there: there is nothing to stop


def test_a_cap_on_the_cost_counts_what_was_spent_before(command: Command, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("gpt-4o: {input: 1000, output: 100000}\n")
    priced = PAID + "--prices prices.yaml "
    assert command(priced + "--max-cost 1.03", FILES)[0] == 7
    assert len(Paid.asked) == 2  # 20 input tokens are $0.02, 10 output tokens $1
    code, _, error = command(priced + "--max-cost 3")
    assert (code, len(Paid.asked)) == (7, 3)
    assert "$3.02 are spent, of max_cost $3.00" in error


@pytest.mark.parametrize(("generator", "arrived"), [("Paid", 2), ("Draining", 5)])
def test_what_is_under_way_when_a_cap_is_reached_still_arrives_where_the_generator_promises_to_stop(
    command: Command, tmp_path: Path, generator: str, arrived: int
) -> None:
    line = PAID.replace('{"use":"paid:Paid"}', f'{{"use":"paid:{generator}","under_way":4}}')
    assert command(line + "--max-tokens 40", FILES)[0] == 7
    assert len(Paid.asked) == 5
    assert "under_way" not in records(tmp_path)[0]["about"]  # left out of its repr: may change between runs
    assert len(pd.read_csv(tmp_path / "s.csv")) == arrived


def test_an_unknown_price_refuses_a_cap_on_the_cost_before_anything_is_spent(command: Command, tmp_path: Path) -> None:
    code, _, error = command(f"{PAID}--model no-such-model --max-cost 5", FILES)
    assert code == 2
    assert "the price of no-such-model is not known" in error
    assert (Paid.asked, (tmp_path / "s.records.jsonl").exists()) == ([], False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "--model is missing: generator hf needs one"),
        ("--generator nobody", "there is no component 'nobody'. Known names: "),
        ("--generator {use:", "is not YAML"),
        ('--generator {"use":"canned"}', "replies"),
        ('--generator {"use":"canned","replys":"r.csv"}', 'Did you mean "replies"?'),
        ('--generator {"use":"canned","replies":"r.csv","grid":[]}', "has a grid of its own"),
        ("--generator paid:Unheard", "has status 'fine'. A generator's statuses are ok, error,"),
        ("--generator pathlib:Path", "is no dataclass with a field grid"),
        ("--generator paid:Paid --prices none.yaml", "prices none.yaml cannot be read"),
        ("--generator paid:Paid --prices p.csv", "prices p.csv names no models"),
    ],
)
def test_a_wrong_generator_gets_one_line(command: Command, arguments: str, told: str) -> None:
    code, out, error = command(f"generate p.csv -o s.csv {arguments}", FILES)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert told in error


def test_no_usable_sample_is_an_error_that_says_what_to_do(command: Command) -> None:
    for status, fix in (("truncated", "Raise generate.max_new_tokens"), ("error", "asks for them once more")):
        replies = f"prompt_id,response,status\na,x,{status}\na,x,{status}\nb,x,{status}\nb,x,{status}\n"
        code, _, error = command(CANNED.replace("s.csv", f"{status}.csv"), {**FILES, "r.csv": replies})
        assert code == 6
        assert fix in error


def test_a_run_beside_another_on_the_same_records_ends_with_exit_code_5(command: Command, tmp_path: Path) -> None:
    from crpo.records import RecordStore

    with RecordStore(tmp_path / "s.records.jsonl", {}):
        code, _, error = command(CANNED, FILES)
    assert code == 5
    assert error.startswith("error: another process writes into s.records.jsonl")


def test_settings_that_no_sample_depends_on_and_the_order_of_prompts_change_no_key() -> None:
    prompts = pd.DataFrame({"prompt_id": ["a", "b"], "prompt": ["A?", "B?"]})
    section, hf = GenerateSection(), {"use": "hf", "model": "some/model"}
    plain = plan_samples(section, PolicySection(), "", prompts, generator=hf)
    other = plan_samples(section, PolicySection(), "", prompts[::-1], generator={**hf, "tokens_per_batch": 64})
    assert plain.about == other.about
    assert plain.requests == other.requests
    assert plain.about["model"] == "some/model"
    revised = plan_samples(section, PolicySection(model="m/m", revision="abc"), "m/m", prompts)
    assert (revised.about["model"], revised.about["revision"]) == ("m/m", "abc")


def test_prices_are_per_million_tokens_and_ones_own_go_before(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("gpt-4o: {input: 1, output: 2}\nmine: {input: 0, output: 0.5}\n")
    own = read_prices(tmp_path / "own.yaml")
    assert (own["gpt-4o"], own["mine"]) == (Price(1, 2), Price(0, 0.5))
    usage = usage_of([{"input_tokens": 1_000_000, "output_tokens": 500_000, "status": "error"}, {"tokens": 500_000}])
    assert usage.cost(own["gpt-4o"]) == 3.0
    assert math.isnan(usage.cost(None))
    assert (usage.samples, usage.counted, usage.tokens) == (2, 1, 2_000_000)
    for wrong in ("{input: 1}", "3", "{input: a, output: 1}", "{input: -1, output: 1}", "{input: .nan, output: 1}"):
        (tmp_path / "own.yaml").write_text(f"m: {wrong}")
        with pytest.raises(InputError, match="is no price"):
            read_prices(tmp_path / "own.yaml")


def test_an_estimate_without_any_figure_says_so_and_never_zero() -> None:
    nothing = estimate_tokens(["x" * 40] * 3, Usage(), None, Price(1, 1)).facts()
    assert nothing == {
        "input tokens": "about 30", "output tokens": "not known", "cost": "not known", "time": "not known",
    }  # fmt: skip
    most = estimate_tokens(["x" * 40] * 3, Usage(), 100, Price(1, 1), seconds=2.0)
    assert (most.output_tokens, most.cost, most.seconds) == (300, 330e-6, 6.0)
    assert Caps().reached(Usage(samples=1, output_tokens=10**9), None) is None


def test_every_status_that_is_left_out_is_counted_by_its_name() -> None:
    statuses = ["ok", "ok", "refused", "error", "truncated", "truncated", "filtered", "empty"]
    rows = [{"prompt_id": "a", "response": "one two", "status": status} for status in statuses]
    rows += [{"prompt_id": "b", "response": "x", "status": "refused"}]
    samples = pd.DataFrame(rows).assign(model="m", prompt="p", task="t")
    section = EvaluateSection(metrics={"words": "words"})
    scores = evaluate(section, samples, {}, seed=0)
    row = scores.set_index("prompt_id").loc["a"]
    counts = {"used": 2, "left_out": 6, "left_out_error": 1, "left_out_refused": 1, "left_out_empty": 1}
    counts |= {"left_out_truncated": 2, "left_out_filtered": 1}
    assert {name: row[name] for name in counts} == counts
    assert row["value"] == 2.0
    assert math.isnan(scores.set_index("prompt_id").loc["b", "value"])  # none used: not scored, never 0
    total = estimate(section, scores).iloc[0]
    # Seven of b are missing.
    assert (total["samples_used"], total["samples_left_out"], total["samples_left_out_refused"]) == (2, 14, 2)
    with pytest.raises(InputError, match="'OK' is no status"):
        evaluate(section, samples.replace("ok", "OK"), {}, seed=0)


def test_every_part_of_a_request_changes_its_key_and_spelling_does_not() -> None:
    request = requests_for("p", "P?", (Decoding(0.7, 0.95, 50),), 1)[0]
    cell = request.decoding
    others = [
        replace(request, prompt_id="q"), replace(request, prompt="Q?"), replace(request, sample=1),
        replace(request, seed=2), *(replace(request, decoding=replace(cell, **{name: value})) for name, value in
                                    (("temperature", 0.8), ("top_p", 0.9), ("top_k", 49))),
    ]  # fmt: skip
    assert len({r.key for r in [request, *others]}) == 8
    one = replace(request, decoding=Decoding(1, 1, 0))
    assert one.key == replace(request, decoding=Decoding(1.0, 1.0, 0)).key
