"""The embedder of character n-grams: its cosines are those of counts, and it works wherever an embedder is named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.cli.options import check_models
from crpo.contracts import check_metric, check_signal
from crpo.distances import mean_distance_to_others, unit
from crpo.embeddings import characters, embedder
from crpo.embeddings.named import find_embedder, identity, pinned
from crpo.errors import MissingExtraError
from crpo.judges import JUDGES
from crpo.learned_rater import fit_learned_rater
from crpo.metrics import build_metric
from crpo.metrics.human_distance import HumanDistance
from crpo.signals.equivalence_rarity import build_judge
from crpo.stages.kept_values import kept_values
from crpo.stages.language_note import embedder_note

NAME = "character_ngrams"
TEXTS = [
    "Hold a door open",
    "hold open a DOOR",
    "a door-stop",
    "grind it into red paint",
    "用来砌墙",
    "לבנה אדומה",
    "x",
]


def cosines(vectors: np.ndarray) -> np.ndarray:
    units = unit(vectors)
    return units @ units.T


def test_cosines_are_those_of_counts_where_no_two_runs_share_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    counts = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(TEXTS)
    near = np.abs(cosines(embedder(NAME).encode(TEXTS)) - cosine_similarity(counts)).max()
    assert 0 < near < 0.1
    monkeypatch.setattr(characters, "DIMENSION", 2**20)
    assert cosines(embedder(NAME).encode(TEXTS)) == pytest.approx(cosine_similarity(counts), abs=1e-6)


def test_a_vector_is_a_function_of_its_text_alone() -> None:
    whole = dict(zip(TEXTS, embedder(NAME).encode(TEXTS), strict=True))
    for own in (TEXTS[:1], TEXTS[::-2], TEXTS * 3):
        for text, vector in zip(own, embedder(NAME).encode(own), strict=True):
            assert vector.dtype == np.float32
            assert vector.tobytes() == whole[text].tobytes()


def test_spelling_counts_and_the_order_of_words_does_not() -> None:
    same, other, far = (cosines(embedder(NAME).encode(["a red door", text]))[0, 1] for text in
                        ("Door  red a", "a rod deer", "用来砌墙"))  # fmt: skip
    assert same == pytest.approx(1, abs=1e-6)
    assert 0.1 < other < 0.9
    assert far == pytest.approx(0, abs=1e-6)


def test_texts_without_characters_are_zeros_at_distance_one_and_broken_ones_are_read() -> None:
    vectors = embedder(NAME).encode(["", " \n", "a door", "\ud800 x"])
    assert vectors.shape == (4, characters.DIMENSION)
    assert not vectors[:2].any()
    assert vectors[3].tobytes() == embedder(NAME).encode(["? x"])[0].tobytes()
    assert mean_distance_to_others(vectors[:3]).tolist() == [1, 1, 1]
    assert embedder(NAME).encode([]).shape == (0, 0)


def test_it_works_where_an_embedder_is_named(tmp_path: Path) -> None:
    for name in ("diversity", "novelty", "local_novelty", "set_contribution", "dsi_signed", "equivalence_rarity"):
        check_signal(build_metric({"use": name, "embedder": NAME}, {}).signal)  # type: ignore[attr-defined]
    check_metric(build_metric("vendi", {"embedder": NAME}))
    people = pd.DataFrame({"prompt_id": "a brick", "response": TEXTS})
    people.to_csv(tmp_path / "people.csv", index=False)
    check_metric(HumanDistance(str(tmp_path / "people.csv"), embedder=NAME))
    for judge in {"embedding", "paragraphs"} & set(JUDGES):
        same = build_judge(judge, NAME)(["", ""], ["a red door"] * 2, ["Red a door", "用来"])
        assert same == pytest.approx([1, 0], abs=1e-6)
    assert embedder_note(NAME, ["用来砌墙"], ["zh"]) is None
    check_models(NAME)


def test_a_rater_can_learn_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "DIMENSION", 64)  # the fit's time grows with its cube
    table = pd.DataFrame({"prompt_id": np.repeat(list("abc"), 20)})
    table["response"] = [f"{'zebra' if row % 2 else 'box'} {row}" for row in range(60)]
    table["creativity_score"] = np.where(table["response"].str.startswith("zebra"), 40.0, 20.0)
    predicted = fit_learned_rater(table, NAME).predict(table)
    assert predicted[1::2].min() > predicted[::2].max()


def test_values_measured_with_it_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRPO_CACHE", str(tmp_path))
    assert "scikit-learn" in str(identity(pinned(find_embedder(NAME))))
    samples = pd.DataFrame({"prompt_id": "x", "prompt": "?", "response": TEXTS, "status": "ok"})
    metric = build_metric({"use": "diversity", "embedder": NAME}, {})
    first = kept_values(samples)(metric, lambda: metric(samples))
    assert kept_values(samples)(metric, lambda: pytest.fail("measured twice")).equals(first)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    characters._hashing.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtraError, match=r"character_ngrams needs the train extra.*crpo\[train\]"):
        embedder(NAME).encode(["a"])
