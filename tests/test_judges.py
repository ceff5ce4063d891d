"""Judges of equivalence: models of pairs against the model itself, rules for short answers, agreement with people."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crpo.components import build
from crpo.errors import InputError
from crpo.judges import JUDGES
from crpo.judges.cross_encoder import CrossEncoder, Deberta
from crpo.judges.embedding import Embedding, Paragraphs
from crpo.judges.pair_scores import pair_scores
from crpo.judges.short_answers import without_model
from crpo.judges.words import Words
from crpo.noveltybench.agreement import (
    accuracy,
    auc,
    best_threshold,
    f1,
    out_of_fold,
    over_prompts,
    prompt_codes,
    read_human_pairs,
)
from crpo.noveltybench.partitioning import part
from crpo.stages.judging import judge_table

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Rows = list[dict[str, Any]]
WORDS = [
    "a",
    "dog",
    "lantern",
    "sang",
    "under",
    "the",
    "old",
    "bridge",
    "seven",
    "times",
    "while",
    "rain",
    "fell",
    "on",
]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "partition.py"
    spec = importlib.util.spec_from_file_location("partition_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRPO_CACHE", "kept as it is")  # the benchmark switches the cache off; these tests do not
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def answers() -> Rows:
    """Return invented answers to 12 prompts: short and long ones, longer than 128 tokens too, some of them equal."""
    random = np.random.default_rng(0)
    rows = []
    for prompt in range(12):
        sizes = random.choice([1, 2, 4, 6, 12, 40, 160], 10)
        texts = [" ".join(random.choice(WORDS, size)) for size in sizes]
        texts[7] = texts[2]
        rows.append({"id": f"p{prompt}", "prompt": f"prompt {prompt}", "generations": texts})
    return rows


@pytest.fixture(scope="module")
def deberta(tmp_path_factory: pytest.TempPathFactory, benchmark: ModuleType, answers: Rows) -> Path:
    texts = [text for row in answers for text in row["generations"]]
    return benchmark.make_deberta(tmp_path_factory.mktemp("deberta"), texts)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that forgets loaded judges, as a new process does; what is on disk stays, in a new folder."""
    monkeypatch.setenv("CRPO_CACHE", str(tmp_path / "cache"))
    pair_scores.cache_clear()
    return pair_scores.cache_clear


def middle_threshold(judge: CrossEncoder, rows: Rows) -> float:
    """Return a threshold in the middle of all pairs' scores that no score is near: batches round differently."""
    pairs = [(one, other) for row in rows for one in row["generations"] for other in row["generations"]]
    scores = np.sort(judge.scores()(*map(list, zip(*pairs, strict=True))).astype(float))
    middle = scores[len(scores) * 2 // 5 : len(scores) * 3 // 5]
    widest = int(np.argmax(np.diff(middle)))
    assert middle[widest + 1] - middle[widest] > 1e-4
    return float(middle[widest : widest + 2].mean())


def greedy(same: Callable[[str, str], bool], texts: Sequence[str]) -> list[int]:
    """Part answers as the paper says: an answer joins the first class whose first member it matches, or opens one."""
    heads: list[str] = []
    classes = []
    for text in texts:
        fitting = [number for number, head in enumerate(heads) if same(head, text)]
        if not fitting:
            heads.append(text)
        classes.append(fitting[0] if fitting else len(heads) - 1)
    return classes


def test_a_pair_is_put_together_as_the_benchmark_does(deberta: Path, fresh: Callable[[], None], answers: Rows) -> None:
    scores = CrossEncoder(str(deberta)).scores()
    long, short = max(answers[0]["generations"], key=len), "a dog"
    plain = [scores.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (long, short)]
    assert len(plain[0]) > 128
    for one, other in ((0, 1), (1, 0)):
        ids = [[1, *plain[n][:128], 2] for n in (one, other)]
        found = scores.encoded([(long, short)[one]], [(long, short)[other]])[0]
        assert found.ids == [*ids[0], *ids[1][1:]]
        assert found.type_ids == [0] * len(ids[0]) + [1] * (len(ids[1]) - 1)
    with torch.no_grad():
        alone = scores.model(input_ids=torch.tensor([found.ids])).logits.softmax(-1)[0, 1].item()
    batch = [short, *(text for row in answers[:3] for text in row["generations"])]
    assert scores(batch, [long] * len(batch))[0] == pytest.approx(alone, abs=2e-6)


@pytest.mark.parametrize("rule", ["words", "model"])
def test_rounds_give_the_classes_of_the_plain_loop(
    deberta: Path,
    fresh: Callable[[], None],
    answers: Rows,
    benchmark: ModuleType,
    rule: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threshold = middle_threshold(CrossEncoder(str(deberta)), answers)
    scores = CrossEncoder(str(deberta)).scores()
    plain = benchmark.OneByOne(scores.model, scores.tokenizer, threshold, rule)
    expected = [greedy(plain.same, row["generations"]) for row in answers]
    assert [plain.classes(row["generations"]) for row in answers] == expected
    monkeypatch.setenv("CRPO_CACHE", str(tmp_path / "empty"))
    fresh()
    found, counts = part(CrossEncoder(str(deberta), threshold, short_answers=rule), answers)
    assert [row["partition"] for row in found] == expected
    assert 3 < np.mean([row["distinct"] for row in found]) < 8
    assert counts.rounds <= 9
    assert 0 < counts.judged < counts.compared <= sum(range(10)) * len(answers)


def test_the_benchmark_finds_the_same_classes_and_counts_calls(
    deberta: Path, fresh: Callable[[], None], answers: Rows, benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(model=str(deberta), tokenizer=None, threshold=None, size="tiny", same=0.4)
    benchmark.compare(answers[:6], options, deberta)
    told = capsys.readouterr().out
    calls, judged = (int(found) for found in re.findall(r"s, (\d+) (?:calls|pairs)", told))
    assert 0 < judged <= calls
    assert "the same classes for 6 of 6 prompts" in told


def test_no_ordered_pair_is_judged_twice_and_the_order_counts(
    deberta: Path, fresh: Callable[[], None], answers: Rows
) -> None:
    judge = CrossEncoder(str(deberta))
    left, right = answers[0]["generations"], answers[1]["generations"]
    there = judge([""] * 10, left, right)
    assert judge.scores().judged == len({*zip(left, right, strict=True)})
    back = judge([""] * 10, right, left)
    assert np.abs(there - back).max() > 1e-3
    assert judge.scores().judged == 2 * len({*zip(left, right, strict=True)})
    again = judge([""] * 10, left, right)
    assert (again == there).all()
    fresh()
    assert (judge([""] * 20, [*left, *right], [*right, *left]) == [*there, *back]).all()
    assert judge.scores().judged == 0  # all of it was on disk
    assert judge.scores().asked == 20
    assert CrossEncoder(str(deberta), tokens=4)([""] * 10, left, right).tolist() != there.tolist()


def test_models_of_one_and_of_three_outputs_are_read(
    deberta: Path, fresh: Callable[[], None], tmp_path: Path, answers: Rows
) -> None:
    left, right = answers[0]["generations"], answers[1]["generations"]
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(deberta)
    tokenizer = transformers.AutoTokenizer.from_pretrained(deberta)
    for outputs in (1, 3):
        loaded.config.num_labels = outputs
        torch.manual_seed(outputs)
        model = type(loaded)(loaded.config)
        model.config.id2label = {n: f"label {n}" for n in range(outputs)}
        model.save_pretrained(tmp_path / str(outputs))
        tokenizer.save_pretrained(tmp_path / str(outputs))
    single = CrossEncoder(str(tmp_path / "1"))
    encoded = single.scores().encoded(left, right)
    with torch.no_grad():
        logits = [single.scores().model(input_ids=torch.tensor([pair.ids])).logits[0, 0].item() for pair in encoded]
    assert single([""] * 10, left, right) == pytest.approx(1 / (1 + np.exp(-np.array(logits))), abs=1e-5)
    with pytest.raises(InputError, match=r"3 outputs.* label 0, label 1, label 2"):
        CrossEncoder(str(tmp_path / "3"))([""], ["a dog"], ["the rain"])
    three = [CrossEncoder(str(tmp_path / "3"), same=name)([""] * 10, left, right) for name in ("label 2", 0, 1)]
    assert np.sum(three, axis=0) == pytest.approx(np.ones(10), abs=1e-5)


def test_models_that_are_no_judges_are_one_line(deberta: Path, fresh: Callable[[], None], tmp_path: Path) -> None:
    def judged(**settings: Any) -> np.ndarray:
        return CrossEncoder(str(deberta), **settings)([""], ["a"], ["b"])

    with pytest.raises(InputError, match=r"two texts of 300 tokens do not fit into the judge's 512.* 254 or less"):
        judged(tokens=300)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(deberta)
    loaded.deberta.save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match="lacks trained weights"):
        CrossEncoder(str(tmp_path / "headless"), tokenizer=str(deberta))([""], ["a"], ["b"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(deberta)
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match="puts nothing between the two texts"):
        judged(tokenizer=str(tmp_path / "bare"))
    with pytest.raises(InputError, match="cannot be loaded"):
        CrossEncoder("no/such-model")([""], ["a"], ["b"])
    for wrong in ({"model": ""}, {"threshold": 0}, {"tokens": 0}, {"dtype": "int8"}, {"short_answers": "five"}):
        with pytest.raises(ValueError, match=r"it needs a model|choose"):
            CrossEncoder(**{"model": "m", **wrong})
    assert build("deberta", JUDGES, "judge") == Deberta()
    assert build({"use": "deberta", "short_answers": "model"}, JUDGES, "judge").threshold == 0.102


def test_the_three_rules_for_short_answers() -> None:
    left = ["Do it", "Paris", "paris  ", "", "a b c d e", "a b c d e f", "a b c d e f", "Rose Red"]
    right = ["do not do it", "Paris", "Paris", "", "a b", "a b c d e f", "a b", "red"]
    words = [1, 1, 1, 1, 0, np.nan, np.nan, 1]
    assert without_model("words", left, right) == pytest.approx(words, nan_ok=True)
    equal = [np.nan, 1, np.nan, 1, np.nan, 1, np.nan, np.nan]
    assert without_model("equal", left, right) == pytest.approx(equal, nan_ok=True)
    assert np.isnan(without_model("model", left, right)).all()
    with pytest.raises(ValueError, match="choose one of words, equal, model"):
        without_model("some", left, right)


def test_shared_words_are_counted_as_often_as_both_have_them() -> None:
    left = ["the dog, the cat", "One two", "", "", "Ünïcode!", "a_b"]
    right = ["The cat the the", "two ONE", "", "a", "ünïcode", "a b"]
    assert Words()([""] * 6, left, right) == pytest.approx([3 / 4, 1, 1, 0, 1, 1])


def test_the_judge_for_paragraphs_differs_from_the_one_for_words_in_its_threshold_only() -> None:
    assert Paragraphs().threshold > Embedding().threshold == 0.7
    texts = ["a dog sang under the bridge", "rain fell on the lantern"]
    assert Paragraphs()([""], texts[:1], texts[1:]) == Embedding()([""], texts[:1], texts[1:])
    assert build("paragraphs", JUDGES, "judge") == Paragraphs()


def test_agreement_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    same = random.random(300) < 0.3
    scores = np.round(same * 0.4 + random.random(300), 1)  # with ties
    decided = scores >= 0.7
    assert accuracy(decided, same) == pytest.approx(metrics.accuracy_score(same, decided))
    assert f1(decided, same) == pytest.approx(metrics.f1_score(same, decided))
    assert auc(scores, same) == pytest.approx(metrics.roc_auc_score(same, scores))
    assert np.isnan(auc(scores[same], same[same]))
    tried = [metrics.f1_score(same, scores >= value) for value in np.unique(scores)]
    assert f1(scores >= best_threshold(scores, same), same) == pytest.approx(max(tried))


def test_no_prompt_has_a_say_in_its_own_threshold() -> None:
    random = np.random.default_rng(1)
    prompts = np.repeat(np.arange(3), 80)
    same = random.random(240) < 0.4
    scores = same + random.random(240) * 1.5
    decided = out_of_fold(scores, same, prompts)
    for prompt in range(3):
        own = prompts == prompt
        turned = np.where(own, scores < 0.2, same)  # labels that would pull the threshold to the other end
        assert (out_of_fold(scores, turned, prompts)[own] == decided[own]).all()
    interval = over_prompts(accuracy, decided, same, prompts)
    by_pair = over_prompts(accuracy, decided, same, np.arange(240))
    assert interval.low < interval.value < interval.high
    assert interval.prompts == 3
    assert by_pair.value == interval.value


def test_shared_words_agree_with_people_as_measured(shared_data: Path) -> None:
    pairs = read_human_pairs(shared_data / "noveltybench" / "human_similarity_pairs.jsonl")
    assert len(pairs) == 1000
    assert pairs["same"].sum() == 327
    assert prompt_codes(pairs).max() == 999
    row = judge_table(pairs, ["words"]).iloc[0]
    assert row["auc"] == pytest.approx(0.774, abs=5e-4)  # ROUGE-1; findings: .77 on the authors' held-out labels
    for name in ("accuracy", "f1", "auc", "fitted_accuracy", "fitted_f1"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row["accuracy"] < row["fitted_accuracy"]


@pytest.mark.slow
def test_the_judge_for_paragraphs_agrees_better_with_people_than_the_one_for_words(shared_data: Path) -> None:
    pairs = read_human_pairs(shared_data / "noveltybench" / "human_similarity_pairs.jsonl").iloc[:60]
    found = judge_table(pairs.reset_index(drop=True), ["embedding", "paragraphs"]).set_index("judge")
    assert found.loc["embedding", "auc"] == found.loc["paragraphs", "auc"] > 0.65
    assert found.loc["paragraphs", "accuracy"] > found.loc["embedding", "accuracy"] + 0.05


def test_judged_pairs_that_are_wrong_are_named(tmp_path: Path) -> None:
    good = {"prompt": "p", "generation_0": "a", "generation_1": "b", "similar": 1}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "similar": "maybe"}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 2, field 'similar': found 'maybe'"):
        read_human_pairs(path)
    path.write_text(json.dumps({"prompt": "p", "similar": 1}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="'generation_0' is missing"):
        read_human_pairs(path)
