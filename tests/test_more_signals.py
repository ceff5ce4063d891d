"""Signals beyond the paper, judges and the partition, against plain definitions; and bad input to `crpo score`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.cli import main
from crpo.components import build
from crpo.contracts import check_signal
from crpo.distances import nearest_distances
from crpo.errors import InputError
from crpo.judges import JUDGES, PreparedJudge
from crpo.judges.embedding import Embedding
from crpo.judges.exact import Exact
from crpo.learned_rater import fit_learned_rater
from crpo.partition import AHEAD, partition
from crpo.signals import SIGNALS
from crpo.signals.dsi_signed import DsiSigned
from crpo.signals.equivalence_rarity import EquivalenceRarity
from crpo.signals.length import word_counts
from crpo.signals.local_novelty import LocalNovelty
from crpo.signals.novelty import Novelty
from crpo.signals.originality import Originality
from crpo.signals.quality import Quality
from crpo.signals.set_contribution import SetContribution
from crpo.signals.word_rarity import WordRarity
from crpo.vendi import vendi_contributions, vendi_score

TEXTS = ["hold a door open", "hold a door", "a paperweight", "grind it into red paint", "a paperweight", "a tiny grave"]


def table(texts: Sequence[str], **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"prompt_id": "p", "prompt": "Name a use for a brick", "response": list(texts), **columns})


def cosines(vectors: np.ndarray) -> np.ndarray:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units @ units.T


def test_nearest_distances_equal_a_sort_of_all_distances() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 6))
    distances = 1 - cosines(vectors)
    for count in (1, 5, 29, 100):
        plain = [np.sort(np.delete(distances[i], i))[:count].mean() for i in range(30)]
        assert nearest_distances(vectors, count) == pytest.approx(plain, abs=1e-6)
    outside = [np.sort(distances[i, 20:])[:3].mean() for i in range(20)]
    assert nearest_distances(vectors[:20], 3, vectors[20:]) == pytest.approx(outside, abs=1e-6)


def test_nearest_distances_do_not_depend_on_how_the_product_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 6))
    whole = nearest_distances(vectors, 4)
    monkeypatch.setattr("crpo.distances.BLOCK", 350)  # seven rows at once
    assert nearest_distances(vectors, 4) == pytest.approx(whole, abs=1e-6)


def test_with_all_neighbours_local_novelty_is_diversity_and_with_few_two_clusters_cannot_fool_it() -> None:
    from crpo.signals.diversity import Diversity

    answers = table(TEXTS)
    assert LocalNovelty(neighbours=50)(answers) == pytest.approx(Diversity()(answers), abs=1e-6)
    clusters = ["a door stop", "a door stopper", "stop a door", "a paper weight", "a paperweight", "weight for paper"]
    odd = LocalNovelty(neighbours=2)(table([*clusters, "a cenotaph for ants"]))
    assert odd.argmax() == 6
    assert odd[6] > 1.5 * np.delete(odd, 6).max()


def test_an_answer_given_twice_is_at_distance_zero_from_itself() -> None:
    assert LocalNovelty(neighbours=1)(table(TEXTS))[[2, 4]] == pytest.approx([0, 0], abs=1e-6)


def test_the_distance_to_the_prompt_is_a_factor_or_half_of_a_mean_rank() -> None:
    from crpo.embeddings import embedder

    answers = table(TEXTS, item="brick")
    near = LocalNovelty()(answers)
    vectors = embedder("minilm").encode([*TEXTS, "brick"])
    far = 1 - cosines(vectors)[-1, :-1]
    assert LocalNovelty(prompt_distance="product")(answers) == pytest.approx(near * far, abs=1e-6)
    ranks = [pd.Series(np.round(side, 5)).rank().sub(1).div(5).to_numpy() for side in (near, far)]
    assert LocalNovelty(prompt_distance="mean_rank")(answers) == pytest.approx(np.mean(ranks, axis=0))


def test_an_outside_corpus_is_searched_by_prompt_and_a_prompt_it_lacks_is_not_scored(tmp_path: Path) -> None:
    corpus = tmp_path / "others.csv"
    corpus.write_text(
        "task,item,response\nUses,Brick,a paperweight\nUses,brick,hold a door\nUses,rope,a swing\nUses,brick,\n"
    )
    answers = table(["a paperweight", "a swing", "a kite"], task="Uses", item=["brick", "brick", "kite"])
    answers["prompt_id"] = ["b", "b", "k"]
    found = LocalNovelty(neighbours=1, corpus=str(corpus))(answers)
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[1] > 0.3  # the swing of the rope is no answer to the brick
    assert np.isnan(found[2])
    corpus.write_text("response\na paperweight\na swing\n")
    assert LocalNovelty(neighbours=1, corpus=str(corpus))(answers)[:2] == pytest.approx([0, 0], abs=1e-6)


def test_a_corpus_that_is_not_there_or_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        build({"use": "local_novelty", "corpus": "nowhere.csv"}, SIGNALS, "signal")
    corpus = tmp_path / "others.csv"
    corpus.write_text("item,response\nbrick,a paperweight\n")
    with pytest.raises(InputError, match="no column 'item'"):
        LocalNovelty(corpus=str(corpus))(table(TEXTS))


def test_the_papers_novelty_is_the_pooled_dsi_minus_dsi_signed() -> None:
    answers = table(["doorstop", "hold open a door", "grind it into red paint", "build a wall"])
    novelty, dsi = Novelty()(answers), DsiSigned()(answers)
    assert dsi[0] == 0
    assert novelty == pytest.approx(np.abs(dsi - novelty[0]))  # that of one word is the pooled DSI itself
    assert DsiSigned()(answers.iloc[[1]]) == pytest.approx(dsi[[1]], abs=1e-6)  # needs no other answer


def test_word_rarity_is_the_mean_idf_of_the_rarest_words() -> None:
    answers = table(["a red door", "a door", "a door a door", "a kite"])
    n = np.log(4)  # a: 4 users, door: 3, red and kite: 1
    whole = [np.mean([0, n - np.log(3), n]), np.mean([0, n - np.log(3)]), np.mean([0, n - np.log(3)]), np.mean([0, n])]
    assert WordRarity(rarest=0)(answers) == pytest.approx(whole)
    assert WordRarity()(answers)[0] == pytest.approx(np.mean([n - np.log(3), n]))
    assert WordRarity(rarest=1)(answers)[[0, 3]] == pytest.approx([n, n])


def test_equivalence_rarity_is_minus_the_log_share_of_the_class() -> None:
    answers = table(["Door stop", "door  STOP", "a kite", "a door stop"])
    assert EquivalenceRarity(judge="exact")(answers) == pytest.approx(-np.log([0.5, 0.5, 0.25, 0.25]))
    assert EquivalenceRarity()(answers)[[0, 1, 3]] == pytest.approx(-np.log([0.75, 0.75, 0.75]))


def test_equivalence_rarity_does_not_depend_on_the_order_of_rows() -> None:
    generator = np.random.default_rng(0)
    signal = EquivalenceRarity(judge={"use": f"{__name__}:_Near"})
    for _ in range(20):
        texts = generator.integers(15, size=20).astype(str)
        values = signal(table(texts.tolist()))
        order = generator.permutation(20)
        assert signal(table(texts[order].tolist())) == pytest.approx(values[order])


@dataclass(frozen=True)
class _Near:
    """Same where two numbers are within 1; not transitive, so that only the right order gives the right classes."""

    threshold: float = 0.5

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        return np.array([abs(float(a) - float(b)) <= 1 for a, b in zip(left, right, strict=True)], float)


@dataclass(frozen=True)
class _NearPrepared(_Near):
    def prepared(self, texts: Sequence[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        numbers = np.array([float(text) for text in texts])
        return lambda left, right: (np.abs(numbers[left][:, None] - numbers[right]) <= 1).astype(float)


def plain_partition(numbers: Sequence[float]) -> list[int]:
    firsts: list[float] = []
    classes = []
    for number in numbers:
        same = [k for k, first in enumerate(firsts) if abs(first - number) <= 1]
        classes.append(same[0] if same else len(firsts))
        firsts += [] if same else [number]
    return classes


def test_the_partition_is_the_greedy_first_member_rule_however_it_is_batched() -> None:
    generator = np.random.default_rng(0)
    for _ in range(40):
        groups = generator.integers(3, size=24)
        numbers = generator.integers(12, size=24).astype(float)
        texts = [str(number) for number in numbers]
        for judge in (_Near(), _NearPrepared()):
            assert isinstance(judge, PreparedJudge) == isinstance(judge, _NearPrepared)
            found = partition(judge, texts, texts, groups)
            for group in range(3):
                assert found[groups == group].tolist() == plain_partition(numbers[groups == group].tolist())


def test_comparing_many_first_members_ahead_changes_nothing_beyond_one_block() -> None:
    numbers = np.random.default_rng(1).permutation(np.arange(3 * AHEAD)) / 1.0
    found = partition(_NearPrepared(), [""] * len(numbers), [str(n) for n in numbers], np.zeros(len(numbers), int))
    assert found.tolist() == plain_partition(numbers.tolist())


def test_a_model_judge_gets_the_comparisons_of_all_prompts_in_one_call_a_round() -> None:
    calls = []

    @dataclass(frozen=True)
    class Counting(_Near):
        def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
            calls.append(len(left))
            assert all(prompt == f"of {text[0]}" for prompt, text in zip(prompts, left, strict=True))
            return super().__call__(prompts, left, right)

    texts = ["10", "11", "15", "20", "25", "26"]
    found = partition(Counting(), [f"of {text[0]}" for text in texts], texts, np.array([0, 0, 0, 1, 1, 1]))
    assert found.tolist() == [0, 0, 1, 0, 1, 1]
    assert calls == [4, 1]


def test_judges_give_the_same_by_pairs_and_prepared() -> None:
    texts = ["A door stop", "a  door stop", "a kite", "hold a door"]
    for judge in (Exact(), Embedding()):
        pairs = list(itertools.product(range(4), range(4)))
        single = judge([""] * 16, [texts[i] for i, _ in pairs], [texts[j] for _, j in pairs])
        together = judge.prepared(texts)(np.arange(4), np.arange(4))
        assert together.ravel() == pytest.approx(single, abs=1e-5)
        assert single[1] >= judge.threshold  # case and spacing
        assert single[2] < judge.threshold
    assert {"exact", "embedding"} < set(JUDGES)  # the others are tested in test_judges.py


def leave_one_out(vectors: np.ndarray) -> np.ndarray:
    """Vendi scores from the eigenvalues of the whole matrix of cosines, one row removed after another."""

    def score(own: np.ndarray) -> float:
        shares = np.linalg.eigvalsh(cosines(own) / len(own))
        shares = shares[shares > 1e-14]
        return float(np.exp(-(shares * np.log(shares)).sum()))

    return np.array([score(vectors) - score(np.delete(vectors, i, axis=0)) for i in range(len(vectors))])


@pytest.mark.parametrize(("n", "d"), [(2, 5), (5, 5), (6, 5), (40, 12), (30, 100)])
def test_set_contribution_equals_removing_answers_one_by_one(n: int, d: int) -> None:
    vectors = np.random.default_rng(n).normal(size=(n, d)) + 0.5
    vectors[-1] = vectors[0]  # given twice
    assert vendi_contributions(vectors) == pytest.approx(leave_one_out(vectors), abs=1e-10)


def test_the_vendi_score_counts_distinct_answers() -> None:
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.eye(5)[[0, 0, 1, 1]]) == pytest.approx(2)
    assert vendi_score(np.ones((3, 4))) == pytest.approx(1)
    values = SetContribution()(table(TEXTS))
    assert values[2] == pytest.approx(values[4])
    assert values.argmin() in (2, 4)


@pytest.fixture(scope="module")
def rater_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a learned rater fitted on a few answers to three prompts."""
    rows = [
        {"prompt_id": f"p{p}", "task": "t", "response": f"{word} {p}", "creativity_score": 10.0 + 5 * i}
        for p in range(3)
        for i, word in enumerate(("rope", "paper", "dragon", "museum"))
    ]
    path = tmp_path_factory.mktemp("rater") / "rater.npz"
    fit_learned_rater(pd.DataFrame(rows), "minilm").save(path)
    return path


def test_originality_is_a_quality_under_another_field(rater_file: Path) -> None:
    answers = table(TEXTS)
    expected = Quality(quality_model=str(rater_file))(answers)
    assert (Originality(originality_model=str(rater_file))(answers) == expected).all()
    with pytest.raises(InputError, match="originality needs a model"):
        build("originality", SIGNALS, "signal")


def test_signals_beyond_the_paper_keep_the_contract(rater_file: Path) -> None:
    signals = [LocalNovelty(), LocalNovelty(prompt_distance="mean_rank"), DsiSigned(), DsiSigned("sum_over_length"),
               WordRarity(), EquivalenceRarity(), EquivalenceRarity("exact"), SetContribution(),
               Originality(str(rater_file))]  # fmt: skip
    for signal in signals:
        check_signal(signal)


def test_words_are_counted_with_and_without_spaces() -> None:
    assert word_counts(["hold a door", "用来砌墙", "לבנה אדומה", "🧱 brick", "  "]).tolist() == [3, 4, 2, 2, 0]


ODD = [
    "",
    "   ",
    "word",
    "hold a door",
    "hold a door",
    "🧱🔥",
    "לבנה אדומה יפה",
    "用来砌墙",
    "x" * 30,
    "null",
    "?!",
    "-5",
]
MODEL_FREE = "novelty,diversity,local_novelty,dsi_signed,word_rarity,equivalence_rarity,set_contribution"


def scored(tmp_path: Path, use: str, answers: pd.DataFrame, *more: str) -> tuple[int, pd.DataFrame | None]:
    answers.to_csv(tmp_path / "answers.csv", index=False)
    out = tmp_path / "out.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.syspath_prepend(str(tmp_path))
        patch.setattr("sys.argv", ["crpo", "score", "answers.csv", "-o", "out.csv", "--use", use, *more])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), pd.read_csv(out) if out.exists() else None
    return 0, pd.read_csv(out)


def test_odd_answers_are_scored_or_counted_as_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("Uses", "brick", text) for text in [*ODD, "very " * 200_000]] + [("Uses", "rope", "a lonely answer")]
    code, found = scored(tmp_path, MODEL_FREE, pd.DataFrame(rows, columns=["task", "item", "response"]))
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "Traceback" not in said.err
    assert found is not None
    assert len(found) == len(rows)
    for name in MODEL_FREE.split(","):
        values = found[name]
        assert values.iloc[[0, 1, -1]].isna().all(), name  # blank, blank, the only answer to its prompt
        assert values.iloc[[3, 6, 7]].notna().all(), name
        assert values.dropna().between(0, 1).all()
        assert values[3] == pytest.approx(values[4], abs=1e-6)  # the same answer twice
        assert f"answers without {name}: {values.isna().sum()}" in said.out


FAILING = """
import numpy as np

class Nothing:
    def __call__(self, responses):
        return np.full(len(responses), np.nan)

class Endless:
    def __call__(self, responses):
        return np.array([np.inf, -np.inf, 3.0, 4.0])

class Short:
    def __call__(self, responses):
        return np.zeros(len(responses) - 1)

class Table:
    def __call__(self, responses):
        return np.zeros((len(responses), 2))

class One:
    def __call__(self, responses):
        return 1.0

class Words:
    def __call__(self, responses):
        return responses["response"].tolist()

class Broken:
    def __call__(self, responses):
        return responses["no such column"]

class Wanting:
    def __init__(self, size):
        pass
"""
BAD = {
    "Short": "gives values of shape 3 for 4 answers",
    "Table": "gives values of shape 4×2 for 4 answers",
    "One": "gives a single number for 4 answers",
    "Words": "fails: ValueError: could not convert string to float",
    "Broken": "fails: KeyError: 'no such column'",
    "Wanting": "size",
    "Missing": "cannot be imported",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_signal_of_the_users_own_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"own_{name.lower()}"
    (tmp_path / f"{module}.py").write_text(FAILING)
    code, found = scored(tmp_path, f"{module}:{name}", four_answers())
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2, said
    assert found is None
    assert len(said) == 1
    assert BAD[name] in said[0]


@pytest.mark.parametrize("content", ["def broken(:\n", "raise RuntimeError('on import')\n", "import no_such_module\n"])
def test_a_users_file_that_cannot_be_imported_is_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"own_import_{abs(hash(content))}"
    (tmp_path / f"{module}.py").write_text(content)
    code, _ = scored(tmp_path, f"{module}:Name", four_answers())
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(said) == 1
    assert "cannot be imported" in said[0]


@pytest.mark.parametrize(("name", "lost"), [("Nothing", 4), ("Endless", 2)])
def test_nan_and_infinite_values_are_not_scored_and_counted(
    name: str, lost: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"own_{name.lower()}"
    (tmp_path / f"{module}.py").write_text(FAILING)
    code, found = scored(tmp_path, f"{module}:{name}", four_answers())
    assert code == 0
    assert found is not None
    assert found[f"{module}:{name}"].isna().sum() == lost
    assert found[f"{module}:{name}_raw"].isna().sum() == lost
    assert f"answers without {module}:{name}: {lost}" in capsys.readouterr().out


def four_answers() -> pd.DataFrame:
    return pd.DataFrame({"task": "Uses", "item": "brick", "response": ["a", "b c", "d", "e"]})
