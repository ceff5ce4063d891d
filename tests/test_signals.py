"""Signals against the official code's values, and the contract every signal keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crpo.contracts import check_metric, check_signal, example_answers
from crpo.distances import unit
from crpo.learned_rater import fit_learned_rater, rater_agreement
from crpo.metrics.mean import Mean
from crpo.metrics.words import Words
from crpo.models import embedder
from crpo.signals import SIGNALS
from crpo.signals.diversity import Diversity
from crpo.signals.novelty import Novelty, divergence
from crpo.signals.quality import Quality
from crpo.signals.surprise import Surprise
from crpo.signals.words import distinct_words


@pytest.fixture(scope="module")
def official(shared_data: Path) -> list[dict]:
    """Return the official code's metrics of two prompts with 200 answers each."""
    return json.loads((shared_data / "signals" / "official_metrics.json").read_text(encoding="utf-8"))["prompts"]


@pytest.fixture(scope="module")
def model_folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny language model."""
    model, chat = tiny()
    folder = tmp_path_factory.mktemp("model")
    model.float().save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rater_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a learned rater fitted on a few answers to four prompts."""
    words = ["rope", "paper", "dragon", "museum", "door", "galaxy", "hammer", "lullaby"]
    rows = [
        {"prompt_id": f"p{p}", "task": "t", "response": f"{w} for {v}", "creativity_score": 10.0 + 5 * i + j}
        for p in range(4)
        for i, w in enumerate(words)
        for j, v in enumerate(words[: p + 2])
    ]
    path = tmp_path_factory.mktemp("rater") / "rater.npz"
    fit_learned_rater(pd.DataFrame(rows), "minilm").save(path)
    return path


def vectors_of(words: list[list[str]]) -> dict[str, np.ndarray]:
    vocabulary = sorted({word for own in words for word in own})
    return dict(zip(vocabulary, embedder("minilm").encode(vocabulary), strict=True))


def test_a_vector_does_not_depend_on_what_was_embedded_before() -> None:
    texts = [f"{'very ' * (n % 7)}odd thing number {n}" for n in range(60)]
    first = embedder("minilm").encode(texts)
    embedder("minilm").encode(texts[::3])
    assert (embedder("minilm").encode(texts[::-1])[::-1] == first).all()


def test_diversity_equals_the_official_code(official: list[dict]) -> None:
    for prompt in official:
        found = Diversity()(pd.DataFrame({"prompt_id": "x", "response": prompt["responses"]}))
        assert np.abs(found - prompt["diversity"]).max() < 1e-5


def test_dsi_and_novelty_equal_the_official_code_on_its_own_words(official: list[dict]) -> None:
    for prompt in official:
        own, pooled = divergence(prompt["words"], vectors_of(prompt["words"]))
        assert np.abs(own - prompt["dsi"]).max() < 1e-5
        assert pooled == pytest.approx(prompt["corpus_dsi"], abs=1e-5)
        assert np.abs(2 * np.abs(own - pooled) - prompt["novelty"]).max() < 1e-5  # the official value is doubled


def test_our_words_are_the_official_ones_without_white_space(official: list[dict]) -> None:
    seen = 0
    for prompt in official:
        for text, words in zip(prompt["responses"], prompt["words"], strict=True):
            assert distinct_words(text) == [word for word in words if word.strip()], text
            seen += 1
    assert seen == 400


def test_one_word_answers_get_the_highest_novelty_as_the_paper_defines_it() -> None:
    texts = ["doorstop", "hold open a door", "a red paint of clay", "build a wall"]
    values = Novelty()(pd.DataFrame({"prompt_id": "x", "response": texts}))
    assert values.argmax() == 0


def test_the_printed_equation_divides_the_sum_of_distances_by_the_number_of_words() -> None:
    words = [["door", "hold", "open"], ["wall", "build"]]
    vectors = vectors_of(words)
    mean, _ = divergence(words, vectors)
    summed, pooled = divergence(words, vectors, "sum_over_length")
    assert summed == pytest.approx(mean * np.array([3, 1]) / np.array([3, 2]))  # 3 and 1 pairs over 3 and 2 words
    assert pooled > summed.max()


def test_surprise_equals_the_models_own_perplexity(model_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder)
    table = example_answers().drop(index=3).reset_index(drop=True)
    found = Surprise(language_model=str(model_folder))(table)
    bits = Surprise("bits", language_model=str(model_folder))(table)
    for row, perplexity, own_bits in zip(table.itertuples(), found, bits, strict=True):
        turns = [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.response}]
        whole = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        start = len(tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)["input_ids"])
        with torch.no_grad():
            logps = model(whole).logits.double().log_softmax(-1)[0, start - 1 : -1]
        own = logps.gather(1, whole[0, start:, None]).sum().item()
        assert own_bits == pytest.approx(-own / np.log(2), rel=1e-5)
        assert perplexity == pytest.approx(np.exp(-own / (whole.shape[1] - start)), rel=1e-5)


def test_a_learned_rater_never_scores_a_prompt_by_coefficients_that_saw_it() -> None:
    generator = np.random.default_rng(0)
    words = ["rope", "paper", "dragon", "museum", "door", "galaxy", "hammer", "lullaby", "river", "engine"]
    rows = [
        {"prompt_id": f"p{p}", "task": "t", "response": " ".join(generator.choice(words, 3)),
         "creativity_score": generator.normal()}
        for p in range(5) for _ in range(40)
    ]  # fmt: skip
    noise = pd.DataFrame(rows)
    rater = fit_learned_rater(noise, "minilm")
    honest = rater_agreement(rater, noise)["correlation"][0]
    everything = rater.coefficients[-1]
    seen = np.corrcoef(
        unit(embedder("minilm").encode(noise["response"].tolist())) @ everything, noise["creativity_score"]
    )
    assert abs(honest) < 0.2
    assert seen[0, 1] > honest


def test_every_built_in_signal_keeps_the_contract(model_folder: Path, rater_file: Path) -> None:
    signals = {
        "diversity": Diversity(),
        "novelty": Novelty(),
        "surprise": Surprise(language_model=str(model_folder)),
        "quality": Quality(quality_model=str(rater_file)),
    }
    assert set(signals) == set(SIGNALS)
    for signal in signals.values():
        check_signal(signal)


def test_the_metrics_keep_their_contract() -> None:
    for metric in (Words(), Mean(Diversity())):
        check_metric(metric)


class _Leaky:
    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        return responses["response"].str.len().to_numpy(float) - responses["response"].str.len().mean()


def test_the_contract_check_finds_a_signal_that_mixes_prompts() -> None:
    with pytest.raises(AssertionError, match="must not depend on other prompts"):
        check_signal(_Leaky())


def test_the_only_answer_to_a_prompt_is_not_scored() -> None:
    table = pd.DataFrame({"prompt_id": ["x"], "response": ["hold open a door"]})
    assert np.isnan(Diversity()(table)).all()
    assert np.isnan(Novelty()(table)).all()


def test_a_reward_model_scores_like_its_own_forward_pass(shared_data: Path) -> None:
    numbers = json.loads((shared_data / "signals" / "official_metrics.json").read_text(encoding="utf-8"))
    folder = shared_data / "signals" / numbers["meta"]["rm"]
    prompt = numbers["prompts"][0]
    table = pd.DataFrame({"prompt_id": "x", "prompt": prompt["full_prompt"], "response": prompt["responses"][:20]})
    found = Quality(quality_model=str(folder))(table)
    # The official input has a doubled beginning of sequence: the order agrees, the numbers do not.
    assert np.corrcoef(found, prompt["quality"][:20])[0, 1] > 0.85
