"""Every metric against a library, a published example or a plain count, and all against their contract."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sacrebleu
import yaml
from scipy import linalg
from sklearn.metrics.pairwise import cosine_similarity

from crpo.contracts import check_metric
from crpo.embeddings import embedder
from crpo.errors import InputError
from crpo.metrics import METRICS, build_metric
from crpo.metrics.compression import Compression
from crpo.metrics.descriptions import describe, descriptions
from crpo.metrics.distinct import Distinct
from crpo.metrics.length_fit import LengthFit
from crpo.metrics.readability import Readability
from crpo.metrics.self_bleu import SelfBleu
from crpo.metrics.themes import Themes
from crpo.metrics.unique import Unique
from crpo.metrics.vendi import Vendi
from crpo.recipe import Recipe, check_section
from crpo.signals import SIGNALS
from crpo.words import distinct_words, words_in_order

DOCS = Path(__file__).parent.parent / "docs"
TEXTS = ["hold a door open", "hold a heavy door open", "grind it to paint", "Hold a door open!", "a tiny stage"]


def samples_of(texts: list[str], **columns: str) -> pd.DataFrame:
    """Return a model's usable samples of one prompt."""
    table = pd.DataFrame({"prompt_id": "x", "prompt": "Uses of a brick?", "response": texts, "status": "ok"})
    return table.assign(model="m", sample=range(len(texts)), **columns)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a table of people's answers to the contract's prompts."""
    path = tmp_path_factory.mktemp("people") / "people.csv"
    rows = ["a brick,a paperweight", "a brick,a door stop", "a rope,climb a tree", "a rope,a swing"]
    path.write_text("\n".join(["prompt_id,response", *rows]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_contract(name: str, people: str) -> None:
    check_metric(build_metric(name, {"people": people}))


def test_a_metric_that_breaks_the_contract_is_found_out() -> None:
    def by_order(samples: pd.DataFrame) -> pd.Series:
        return Unique()(samples) + (samples["response"].iloc[0] == "hold a door open")

    def by_others(samples: pd.DataFrame) -> pd.Series:
        return Unique()(samples) / samples["prompt_id"].nunique()

    def all_statuses(samples: pd.DataFrame) -> pd.Series:
        return samples.groupby("prompt_id").size().astype(float)

    for metric, words in ((by_order, "order of samples"), (by_others, "other prompts"), (all_statuses, "not ok")):
        with pytest.raises(AssertionError, match=words):
            check_metric(metric)


def test_distinct_n_is_a_count_of_different_neighbours() -> None:
    words = [words_in_order(text) for text in TEXTS]
    pairs = [pair for own in words for pair in pairwise(own)]
    assert Distinct(n=2)(samples_of(TEXTS))["x"] == len(set(pairs)) / len(pairs) == 10 / 15
    singles = [word for own in words for word in own]
    assert Distinct(n=1)(samples_of(TEXTS))["x"] == len(set(singles)) / len(singles)
    assert np.isnan(Distinct(n=2)(samples_of(["kite", "wall"]))["x"])
    assert set(words[0]) == set(distinct_words(TEXTS[0]))


def test_self_bleu_is_the_mean_of_sacrebleus_sentence_scores() -> None:
    clean = [" ".join(words_in_order(text)) for text in TEXTS]
    expected = [
        sacrebleu.sentence_bleu(text, [other for j, other in enumerate(clean) if j != i], smooth_method="exp",
                                tokenize="none", use_effective_order=True).score / 100
        for i, text in enumerate(clean)
    ]  # fmt: skip
    assert SelfBleu()(samples_of(TEXTS))["x"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert SelfBleu()(samples_of(["one two three"] * 3))["x"] == pytest.approx(1)
    assert SelfBleu()(samples_of(["one two", "three four"]))["x"] == 0
    assert np.isnan(SelfBleu()(samples_of(["one two"]))["x"])


def test_vendi_is_the_exponential_entropy_of_the_eigenvalues_of_sklearns_cosines() -> None:
    texts = [*TEXTS, "a kite", "a kite"]
    likeness = cosine_similarity(embedder("minilm").encode(texts).astype(float))
    shares = linalg.eigvalsh(likeness / len(texts))  # as the vendi-score package has it
    shares = shares[shares > 1e-12]
    assert Vendi()(samples_of(texts))["x"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=1e-5)
    assert Vendi()(samples_of(["a kite"] * 4))["x"] == pytest.approx(1)


def test_compression_is_the_ratio_that_gzip_gives() -> None:
    if shutil.which("gzip") is None:
        pytest.skip("no gzip here")
    texts = [f"hold a door open with brick number {number % 7}, or build a wall" for number in range(40)]
    whole = "\n".join(sorted(texts)).encode()
    packed = subprocess.run(["gzip", "-9", "-n", "-c"], input=whole, capture_output=True, check=True).stdout
    found = Compression()(samples_of(texts))["x"]
    assert found == pytest.approx(len(whole) / len(packed), rel=0.05)  # another implementation of the same format
    assert found > 5 > 1.5 > Compression()(samples_of(TEXTS))["x"]


def test_unique_answers_are_counted_after_case_and_punctuation() -> None:
    assert Unique()(samples_of(TEXTS))["x"] == 4 / 5
    assert Unique()(samples_of([*TEXTS, "  ", "\u200b"]))["x"] == 4 / 5  # blank ones are no answers


def test_themes_under_the_exact_judge_are_the_different_texts_and_under_another_fewer() -> None:
    assert Themes(judge="exact")(samples_of(TEXTS))["x"] == 5  # it minds punctuation
    assert Themes()(samples_of(TEXTS))["x"] == 3
    assert Themes(judge={"use": "embedding", "threshold": 1.0})(samples_of(["a kite", "a wall"]))["x"] == 2


def test_the_length_a_task_asks_for_is_its_templates(tmp_path: Path) -> None:
    texts = ["word " * 25, "word " * 26, "字" * 25, "字" * 26]
    assert LengthFit()(samples_of(texts, task="Alternate Uses"))["x"] == 0.5
    assert LengthFit()(samples_of(texts, task="Essays of no known kind")).isna().all()
    assert LengthFit()(samples_of(texts)).isna().all()
    own = tmp_path / "tasks.yaml"
    own.write_text('Haiku:\n  prompt: "A haiku on {item}"\n  length: {sentences: 1, words: 3}\n', encoding="utf-8")
    assert LengthFit(tasks=str(own))(samples_of(["one two three", "one two three four"], task="Haiku"))["x"] == 0.5


def test_readability_is_that_of_the_published_example() -> None:
    # Coleman & Liau's index of 639 letters in 119 words and 5 sentences is 14.5.
    words = ["abcde"] * 75 + ["abcdef"] * 44
    sentences = [" ".join(words[start : start + 24]) + ". " for start in range(0, 119, 24)]
    assert sum(map(len, words)) == 639
    assert len(sentences) == 5
    assert round(Readability()(samples_of(["".join(sentences)]))["x"], 1) == 14.5
    assert round(Readability()(samples_of(sentences))["x"], 1) == 14.5  # answers are read as one text


def test_readability_is_of_english_only() -> None:
    texts = ["Ein Ziegel hält die Tür auf.", "Man baut damit eine Mauer."]
    assert Readability()(samples_of(texts, language="German")).isna().all()
    assert Readability()(samples_of(texts, language="en")).notna().all()
    assert Readability()(samples_of(["לבנה אדומה"])).isna().all()


def test_the_official_codes_n_gram_diversity_is_distinct_n_where_words_agree(shared_data: Path) -> None:
    path = shared_data / "signals" / "official_edge_and_variants.json"
    official = json.loads(path.read_text(encoding="utf-8"))["variants"]
    texts = official["responses"]  # a second space in a row is a word to the official code
    plain = [i for i, text in enumerate(texts) if text.replace(" ", "").isalpha() and "  " not in text]
    assert len(plain) > 20
    for i in plain:
        found = [Distinct(n=n)(samples_of([texts[i]]))["x"] for n in range(1, len(official["ngram_each"][i]) + 1)]
        assert found == pytest.approx(official["ngram_each"][i], abs=1e-12)


def test_every_metric_and_signal_says_what_it_is() -> None:
    assert set(descriptions()) == {*METRICS, *SIGNALS}
    for name in descriptions():
        found = describe(name)
        assert found.meaning
        assert found.unit
        assert found.population
    bits = describe({"use": "surprise", "form": "bits_per_token", "tokens_per_row": 64})
    assert bits.unit == "bits per token"
    assert "form: bits_per_token" in bits.meaning


def test_a_metric_of_the_users_own_says_it_by_class_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "said.py").write_text(
        "class Said:\n    '''Share that rhymes.\n\n    More.'''\n    unit, kind, sizes = 'share', 'set', True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = describe("said:Said")
    told = (found.meaning, found.unit, found.kind, found.sizes)
    assert told == ("Share that rhymes.", "share", "set", True)


WRONG = [
    ({"use": "distinct", "n": 0}, "choose 1"),
    ({"use": "self_bleu", "n": 0}, "choose 1"),
    ({"use": "themes", "judge": "exat"}, "exact"),
    ("human_distance", "needs people's answers"),
]


@pytest.mark.parametrize(("spec", "words"), WRONG)
def test_a_wrong_setting_is_one_line(spec: str | dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_metric(spec, {})


def test_self_bleu_without_sacrebleu_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from crpo.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(MissingExtraError, match=r"crpo\[metrics\]"):
        build_metric("self_bleu", {})


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_tutorial_runs_and_its_recipe_names_what_it_defines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = blocks("add-a-metric.md", "python")
    assert len(code) == 2
    (tmp_path / "my_metrics.py").write_text("\n\n".join(code), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    content = {"name": "x", "data": {"ratings": "bundled"}, **yaml.safe_load(blocks("add-a-metric.md", "yaml")[0])}
    spec = check_section(Recipe, content, "add-a-metric.md").evaluate.metrics["same_start"]
    assert build_metric(spec, {})(samples_of(["a b", "a b c", "a c", "b a"]))["x"] == 0.5
    check_metric(build_metric(spec, {}))
    found = describe(spec)
    assert (found.unit, found.kind, found.higher_is, found.sizes) == ("share", "set", "worse", True)


def test_the_page_on_metrics_names_every_one() -> None:
    text = (DOCS / "which-metric.md").read_text(encoding="utf-8")
    for name in METRICS:
        assert f"| `{name}`" in text, name
