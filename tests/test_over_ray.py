"""Many machines, here played by processes of a local Ray cluster: the same results as one process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.errors import InputError, MissingExtraError
from crpo.generators import Decoding, requests_for
from crpo.generators.canned import Canned
from crpo.generators.hf import HuggingFace
from crpo.over_ray import AHEAD, draw_over_ray, score_over_ray
from crpo.records.lines import decoded
from crpo.signals.diversity import Diversity
from crpo.signals.word_rarity import WordRarity
from malformed import Command

PROMPTS = [(f"p{i}", f"name a use for a {thing}") for i, thing in enumerate(["brick", "rope", "red door", "shoe"])]
GRID = (Decoding(0.7, 0.95, 0, 2), Decoding(1.3, 1.0, 20, 1))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Return ray, connected to a local cluster of two cores and a pretended GPU, whose workers know the tests."""
    ray = pytest.importorskip("ray", reason="the ray extra is not installed")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [before])])
    small = {"include_dashboard": False, "configure_logging": False, "log_to_driver": False}
    ray.init(num_cpus=2, num_gpus=1, object_store_memory=80_000_000, **small)
    yield ray
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def sorted_by_key(records: Any) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: record["key"])


@pytest.mark.slow
def test_samples_are_those_of_one_process_whatever_the_number_of_workers(
    cluster: Any, tiny: Any, tmp_path: Path
) -> None:
    model, chat = tiny()
    model.float().save_pretrained(tmp_path)
    chat.tokenizer.save_pretrained(tmp_path)
    generator = HuggingFace(str(tmp_path), GRID, 8)
    here = sorted_by_key(generator(PROMPTS, seed=3))
    assert len(here) == 12
    there = draw_over_ray(generator, PROMPTS, seed=3, had={}, workers=3)
    assert sorted_by_key(there) == here
    had = {record["key"]: record for record in here[::2]}
    rest = draw_over_ray(generator, PROMPTS, seed=3, had=had, workers=1)
    assert {r["key"]: r["response"] for r in rest} == {r["key"]: r["response"] for r in here[1::2]}


@pytest.mark.slow
def test_values_of_a_signal_are_those_of_one_process(cluster: Any, answers: pd.DataFrame) -> None:
    table = answers.assign(prompt_id=answers["task"] + answers["item"], prompt="p").sample(frac=1, random_state=0)
    table.loc[table.index[5], "response"] = " "
    for signal, workers, gpus in ((Diversity("minilm"), 2, 0), (WordRarity(), 9, 0.5)):
        here = np.asarray(signal(table.reset_index(drop=True)), dtype=float)
        np.testing.assert_array_equal(score_over_ray(signal, table, workers=workers, gpus=gpus), here)


@pytest.mark.slow
def test_an_error_in_a_worker_is_told_as_here(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "replies.csv").write_text("text\nx\n", "utf-8")
    with pytest.raises(InputError, match="has no columns response and prompt"):
        list(draw_over_ray(Canned(str(tmp_path / "replies.csv")), PROMPTS, seed=0, had={}, workers=2))


@dataclass(frozen=True)
class Noting:
    """Take a moment for each sample and leave a file when it is asked for."""

    folder: str
    grid: tuple[Decoding, ...] = (Decoding(),)
    seconds: float = 0.2

    def __call__(self, prompts: Any, *, seed: int, had: Any = ()) -> Iterator[dict[str, Any]]:
        for request in [r for pair in prompts for r in requests_for(*pair, self.grid, seed)]:
            if request.key not in had:
                Path(self.folder, request.key).touch()
                time.sleep(self.seconds)
                yield {
                    "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "tokens": 10,
                    "sample": request.sample, "response": f"a {request.random_seed}", "status": "ok", "seed": seed,
                    "finish_reason": "stop", "temperature": 1.0, "top_p": 1.0, "top_k": 0,
                }  # fmt: skip


class Draining(Noting):
    """The same; it looks into `had` before every request, and does."""

    drains = True


@pytest.mark.slow
def test_records_arrive_one_by_one_and_workers_stop_when_nobody_listens(cluster: Any, tmp_path: Path) -> None:
    generator = Noting(str(tmp_path), (Decoding(samples=20),), seconds=0.05)
    records = draw_over_ray(generator, PROMPTS[:2], seed=0, had={}, workers=2)
    first: list[str] = []
    while set(first) != {"p0", "p1"}:  # whichever worker is up first; there are 40 records
        first.append(next(records)["prompt_id"])
    time.sleep(1)
    asked = len(list(tmp_path.iterdir()))
    assert asked <= len(first) + 2 * (AHEAD + 1)  # of 40: while nobody takes records, no worker runs far ahead
    next(records)
    records.close()  # type: ignore[attr-defined]
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) <= asked + 2


GENERATE = (
    'generate p.csv -o {}.csv --set grid=[{{"samples":12}}] --generator {{"use":"test_over_ray:{}","folder":"asked"}} '
)
RAY = "--set engine=ray --set workers=2 "


@pytest.mark.slow
def test_the_command_over_ray_writes_what_it_writes_here_and_either_continues_the_other(
    cluster: Any, command: Command, tmp_path: Path
) -> None:
    prompts = pd.DataFrame(PROMPTS, columns=["prompt_id", "prompt"]).to_csv(index=False)  # type: ignore[arg-type]
    quick = GENERATE.replace('"asked"', f'"{tmp_path}/asked","seconds":0')
    assert command(quick.format("here", "Noting"), {"p.csv": prompts, "asked": None})[0] == 0
    assert command(quick.format("there", "Noting") + RAY)[0] == 0
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    lines = (tmp_path / "there.records.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "there.records.jsonl").write_bytes(b"".join(lines[:20]))
    assert command(quick.format("there", "Noting"))[0] == 0
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    code, _, error = command(quick.format("none", "Noting") + RAY + "--set worker_gpus=9")
    assert (code, "no machine of the Ray cluster has 1 cores and 9 GPUs" in error) == (2, True)


@pytest.mark.slow
def test_at_a_cap_what_workers_have_asked_for_still_arrives(cluster: Any, command: Command, tmp_path: Path) -> None:
    prompts = pd.DataFrame(PROMPTS, columns=["prompt_id", "prompt"]).to_csv(index=False)  # type: ignore[arg-type]
    line = GENERATE.replace('"asked"', f'"{tmp_path}/asked"').format("s", "Draining") + RAY
    code, _, error = command(line + "--max-tokens 60", {"p.csv": prompts, "asked": None})
    assert (code, "of max_tokens 60" in error) == (7, True)
    asked = {path.name for path in (tmp_path / "asked").iterdir()}
    assert 6 <= len(asked) <= 6 + 2 * (AHEAD + 2)
    kept = [decoded(row)["key"] for row in (tmp_path / "s.records.jsonl").read_bytes().splitlines()[1:]]
    assert sorted(kept) == sorted(asked)
    assert len(pd.read_csv(tmp_path / "s.csv")) == len(asked)


@pytest.mark.slow
def test_the_command_scores_over_ray_as_here(cluster: Any, command: Command, answers: pd.DataFrame) -> None:
    files = {"a.csv": answers.to_csv(index=False)}
    here = command("score a.csv -o here.csv --use word_rarity,diversity", files)
    there = command(f"score a.csv -o there.csv --use word_rarity,diversity {RAY}")
    assert here[0] == there[0] == 0
    assert Path("there.csv").read_bytes() == Path("here.csv").read_bytes()
    code, _, error = command(f"score a.csv -o none.csv --use word_rarity {RAY} --set worker_cpus=9")
    assert (code, "no machine of the Ray cluster has 9 cores and 0 GPUs" in error) == (2, True)


def test_without_ray_the_extra_is_named_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, command: Command, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="needs the ray extra"):
        score_over_ray(WordRarity(), pd.DataFrame({"prompt_id": ["p"], "response": ["a"]}), workers=1)
    files = {"p.csv": "prompt_id,prompt\np,P?\n", "asked": None}
    code, _, error = command(GENERATE.format("s", "Noting") + RAY, files)
    assert (code, "engine: ray needs the ray extra" in error) == (3, True)
    assert not (tmp_path / "s.records.jsonl").exists()
