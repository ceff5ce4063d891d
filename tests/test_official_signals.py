"""The paper's signals against the values the official code gave, and every deviation from it, stated exactly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from crpo.distances import mean_distance_to_others, mean_pairwise_distances
from crpo.embeddings import embedder
from crpo.recipe.sections import EvaluateSection
from crpo.signals.diversity import Diversity
from crpo.signals.dsi_signed import DsiSigned
from crpo.signals.novelty import Novelty, divergence, word_vectors
from crpo.stages.evaluate import evaluate
from crpo.words import distinct_words

NEAR = 1e-5
OURS = (
    "cosine",
    "dot",
    "strategy_direct",
    "strategy_by_sentence",
    "token_embeddings",
)  # one-sentence answers, unit vectors


def read(shared_data: Path, name: str) -> dict:
    return json.loads((shared_data / "signals" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def prompts(shared_data: Path) -> list[dict]:
    """Return the official code's metrics of two prompts with 200 answers each."""
    return read(shared_data, "official_metrics.json")["prompts"]


@pytest.fixture(scope="module")
def edge_cases(shared_data: Path) -> dict:
    """Return blank, one-word, emoji, doubled and other odd answers to one prompt, with the official code's values."""
    return read(shared_data, "official_edge_and_variants.json")["edge_cases"]


@pytest.fixture(scope="module")
def variants(shared_data: Path) -> dict:
    """Return 40 answers with the official code's values under each of its settings."""
    return read(shared_data, "official_edge_and_variants.json")["variants"]


def answers_to_one_prompt(texts: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"prompt_id": "x", "prompt": "a brick", "response": texts})


def white_space_words(text: str) -> list[str]:
    """Return what the official tokenizer makes of white space: a run of it beyond the one space after a word."""
    return sorted(set(re.findall(r"\s+", re.sub(r"(?<=\S) ", "", text))))


def official_novelty(words: list[list[str]]) -> np.ndarray:
    """Return the official value of answers given as words: twice ours."""
    own, pooled = divergence(words, word_vectors(words, "minilm"))
    return 2 * np.abs(own - pooled)


def test_diversity_equals_the_official_code(prompts: list[dict]) -> None:
    for prompt in prompts:
        assert np.abs(Diversity()(answers_to_one_prompt(prompt["responses"])) - prompt["diversity"]).max() < NEAR


def test_the_closed_form_equals_the_official_code_on_its_own_embeddings(shared_data: Path) -> None:
    vectors = np.load(shared_data / "signals" / "mini_2x40_embeddings.npz", allow_pickle=True)  # texts are objects
    texts = {str(text): vector for text, vector in zip(vectors["texts"], vectors["vectors"], strict=True)}
    for prompt in read(shared_data, "mini_2x40.json")["prompts"]:
        found = mean_distance_to_others(np.stack([texts[text] for text in prompt["responses"]]))
        assert np.abs(found - prompt["diversity"]).max() < 1e-6
        own, pooled = divergence(prompt["words"], texts)
        assert np.abs(own - prompt["dsi"]).max() < 1e-6
        assert pooled == pytest.approx(prompt["corpus_dsi"], abs=1e-6)


def test_dsi_and_novelty_equal_the_official_code_on_its_own_words(prompts: list[dict]) -> None:
    for prompt in prompts:
        own, pooled = divergence(prompt["words"], word_vectors(prompt["words"], "minilm"))
        assert np.abs(own - prompt["dsi"]).max() < NEAR
        assert pooled == pytest.approx(prompt["corpus_dsi"], abs=NEAR)
        assert np.abs(official_novelty(prompt["words"]) - prompt["novelty"]).max() < NEAR


def test_the_sum_over_length_is_the_official_mean_times_half_the_other_words(
    prompts: list[dict],
) -> None:
    for prompt in prompts:
        own, pooled = divergence(prompt["words"], word_vectors(prompt["words"], "minilm"), "sum_over_length")
        sizes = np.array([len(words) for words in prompt["words"]])  # the sum has m(m − 1)/2 distances, over m words
        assert np.abs(own - np.array(prompt["dsi"]) * (sizes - 1) / 2).max() < NEAR
        assert pooled == pytest.approx(prompt["corpus_dsi"] * (prompt["n_corpus_words"] - 1) / 2, rel=1e-6)


def test_our_words_are_the_official_ones_without_white_space(prompts: list[dict], edge_cases: dict) -> None:
    pairs = [pair for p in prompts for pair in zip(p["responses"], p["words"], strict=True)]
    pairs += list(zip(edge_cases["texts"], edge_cases["words"], strict=True))
    assert len(pairs) == 417
    for text, words in pairs:
        assert distinct_words(text) == [word for word in words if word.strip()], text
        assert sorted(distinct_words(text) + white_space_words(text)) == sorted(words), text


def test_from_raw_answers_novelty_and_dsi_are_the_official_ones_without_white_space(
    prompts: list[dict],
) -> None:
    for prompt in prompts:
        rows = [i for i, words in enumerate(prompt["words"]) if all(word.strip() for word in words)]
        assert len(rows) > 150
        table = answers_to_one_prompt([prompt["responses"][i] for i in rows])
        expected = official_novelty([prompt["words"][i] for i in rows])
        assert np.abs(2 * Novelty()(table) - expected).max() < NEAR
        assert np.abs(DsiSigned()(table) - np.array(prompt["dsi"])[rows]).max() < NEAR


def test_edge_cases_equal_the_official_code_but_for_blank_answers(edge_cases: dict) -> None:
    texts = edge_cases["texts"]
    assert np.abs(mean_distance_to_others(embedder("minilm").encode(texts)) - edge_cases["diversity"]).max() < NEAR
    assert np.abs(official_novelty(edge_cases["words"]) - edge_cases["novelty"]).max() < NEAR
    own, pooled = divergence(edge_cases["words"], word_vectors(edge_cases["words"], "minilm"))
    assert np.abs(own - edge_cases["dsi"]).max() < NEAR
    assert pooled == pytest.approx(edge_cases["corpus_dsi"], abs=NEAR)


def test_a_blank_answer_is_nobodys_neighbour_where_the_official_code_counts_it(
    edge_cases: dict,
) -> None:
    texts = edge_cases["texts"]
    filled = [i for i, text in enumerate(texts) if text.strip()]
    assert set(range(len(texts))) - set(filled) == {0}
    found = Diversity()(answers_to_one_prompt(texts))
    assert np.isnan(found[0])
    n, encode = len(texts), embedder("minilm").encode
    to_blank = 1 - encode(texts)[filled] @ encode([""])[0]  # the official mean has this distance in it, ours does not
    expected = (np.array(edge_cases["diversity"])[filled] * (n - 1) - to_blank) / (n - 2)
    assert np.abs(found[filled] - expected).max() < NEAR


def test_an_answer_without_words_has_no_novelty_where_the_official_one_is_the_highest(edge_cases: dict) -> None:
    wordless = np.array([not words for words in edge_cases["words"]])
    assert wordless.sum() == 2
    official = np.array(edge_cases["novelty"])
    assert (official[wordless] == official.max()).all()
    found = Novelty()(answers_to_one_prompt(edge_cases["texts"]))
    assert np.isnan(found).tolist() == wordless.tolist()
    # Three answers have white-space words; without these the pooled DSI differs, and the others' novelty by that alone.
    same = [i for i, text in enumerate(edge_cases["texts"]) if not wordless[i] and not white_space_words(text)]
    assert len(same) == 12
    words = [[word for word in own if word.strip()] for own in edge_cases["words"]]
    _, pooled = divergence(words, word_vectors(words, "minilm"))
    assert abs(pooled - edge_cases["corpus_dsi"]) > 0.01
    assert np.abs(found - np.abs(np.array(edge_cases["dsi"]) - pooled))[same].max() < NEAR


def test_a_lone_answer_is_not_scored_where_the_official_code_gives_zero(edge_cases: dict) -> None:
    lone = edge_cases["single_response"]
    assert (lone["diversity"], lone["novelty"]) == ([0], [0.0])
    table = answers_to_one_prompt(["hold open a door"])
    assert np.isnan([*Diversity()(table), *Novelty()(table)]).all()


@pytest.mark.parametrize("words", ["no_spacy", "no_lower", "no_stopwords", "keep_punct"])
def test_novelty_equals_the_official_code_on_words_made_otherwise(variants: dict, words: str) -> None:
    assert np.abs(official_novelty(variants[f"words_prep_{words}"]) - variants[f"novelty_prep_{words}"]).max() < NEAR


def test_with_repeated_words_the_closed_form_still_equals_the_official_code(variants: dict) -> None:
    texts = variants["words_prep_not_unique"]
    vectors = word_vectors(texts, "minilm")
    place = {word: number for number, word in enumerate(vectors)}
    counts = np.zeros((len(texts), len(place)))
    for row, words in enumerate(texts):
        for word in words:
            counts[row, place[word]] += 1
    assert counts.max() > 1
    sets = sparse.csr_matrix(np.vstack([counts, counts.sum(axis=0)]))
    *own, pooled = mean_pairwise_distances(sets, np.stack(list(vectors.values())))
    assert np.abs(2 * np.abs(np.array(own) - pooled) - variants["novelty_prep_not_unique"]).max() < NEAR


@pytest.mark.parametrize("variant", OURS)
def test_diversity_is_that_of_every_official_variant_that_means_the_same(variants: dict, variant: str) -> None:
    found = Diversity()(answers_to_one_prompt(variants["responses"]))
    assert np.abs(found - variants[f"diversity_{variant}"]).max() < NEAR


@pytest.fixture(scope="module")
def official_scores(shared_data: Path) -> pd.DataFrame:
    """Return our evaluation of the official code's answers as if a model had given them, by metric and prompt."""
    folder = shared_data / "signals"
    own = read(shared_data, "official_metrics.json")["prompts"]
    rows = [{"prompt_id": entry["prompt"], "prompt": entry["full_prompt"], "response": text, "sample": float(k)}
            for entry in own for k, text in enumerate(entry["responses"])]  # fmt: skip
    metrics = {"diversity": "diversity", "novelty": "novelty", "dsi": "dsi_signed",
               "surprise": {"use": "surprise", "form": "official"},
               "quality": {"use": "quality", "doubled_bos": True}}  # fmt: skip
    models: dict[str, str | None] = {"embedder": "minilm", "language_model": str(folder / "models" / "lm-tiny"),
                                     "quality_model": str(folder / "models" / "rm-tiny")}  # fmt: skip
    samples = pd.DataFrame(rows).assign(model="people", status="ok", task="AUT")
    scores = evaluate(EvaluateSection(metrics=metrics), samples, models, seed=0)
    return scores.set_index(["metric", "prompt_id"])


@pytest.mark.parametrize(("metric", "theirs"), [("diversity", "diversity"), ("surprise", "perplexity"),
                                                ("quality", "quality")])  # fmt: skip
def test_the_metric_of_a_model_is_the_mean_of_the_official_values_by_prompt(
    official_scores: pd.DataFrame, prompts: list[dict], metric: str, theirs: str
) -> None:
    for prompt in prompts:
        found = official_scores.loc[(metric, prompt["prompt"])]
        assert found["value"] == pytest.approx(np.mean(prompt[theirs]), rel=1e-5)
        assert (found["used"], found["left_out"]) == (200, 0)


def test_the_metrics_of_words_are_the_official_means_but_for_white_space_words(
    official_scores: pd.DataFrame, prompts: list[dict]
) -> None:
    for prompt in prompts:
        seen = [[word for word in own if word.strip()] for own in prompt["words"]]
        own, pooled = divergence(seen, word_vectors(seen, "minilm"))
        plain = [i for i, words in enumerate(prompt["words"]) if words == seen[i]]
        assert np.abs(own - prompt["dsi"])[plain].max() < NEAR  # the official values, where no white space is a word
        assert official_scores.loc[("dsi", prompt["prompt"]), "value"] == pytest.approx(own.mean(), abs=NEAR)
        novelty = official_scores.loc[("novelty", prompt["prompt"]), "value"]
        assert 2 * novelty == pytest.approx(2 * np.abs(own - pooled).mean(), abs=NEAR)
        assert abs(2 * novelty - np.mean(prompt["novelty"])) < 0.02  # all 200 answers, white space words and all
