"""How long the full evaluation of a study takes, the first time and again.

    python benchmarks/evaluation.py

12 models × 40 prompts × 16 samples through `crpo evaluate` as a person calls it: every metric but the experimental
signals `covo` and `llm_judge`, with MiniLM, a small Llama for surprise, one with a reward head for quality, and 200
people's answers a prompt. Samples are made of the bundled corpus' words, of 4 to 24 words, one in ten said twice. Each
call is a process of its own with one thread, the first one with an empty cache; what is told is its processor time, its
time by the clock, and its largest memory.

The peer is one model's four signals in plain loops (`plain_signals.py`: each text embedded alone, distances pair by
pair, the prompt repeated for each answer), timed on the first prompts of that model and told for all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

METRICS = (
    "novelty,diversity,surprise,quality,local_novelty,dsi_signed,word_rarity,equivalence_rarity,set_contribution,"
    "words,length_fit,readability,distinct_2,self_bleu,compression,vendi,unique,themes,common_answers,"
    "statistical_rarity,human_distance"
)
FOUR = "novelty,diversity,surprise,quality"
PEOPLE = 200  # answers a prompt
FEW = 2  # prompts of the peer


def vocabulary() -> list[str]:
    """Return the words of the bundled corpus, sorted."""
    from crpo.plan import bundled_ratings
    from crpo.words import distinct_words

    texts = pd.read_csv(bundled_ratings(), dtype=str)["response"].unique()
    return sorted({word for text in texts for word in distinct_words(text)})


def answers_of(count: int, words: list[str], generator: np.random.Generator) -> list[str]:
    """Return answers of 4 to 24 words, one in ten of them a repetition."""
    texts: list[str] = []
    for _ in range(count):
        if texts and generator.random() < 0.1:
            texts.append(texts[int(generator.integers(len(texts)))])
        else:
            texts.append(" ".join(generator.choice(words, int(generator.integers(4, 25)))) + ".")
    return texts


def tables(models: int, prompts: int, samples: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the samples of all models, and people's answers."""
    generator, words = np.random.default_rng(0), vocabulary()
    rows, people = [], []
    for prompt in range(prompts):
        about = {"prompt_id": f"p{prompt:03d}", "task": "Alternate Uses", "item": f"thing {prompt}"}
        about["prompt"] = f"Come up with an original and creative use for the following object: thing {prompt}"
        people += [{**about, "response": text} for text in answers_of(PEOPLE, words, generator)]
        for model in range(models):
            own = answers_of(samples, words, generator)
            rows += [{**about, "model": f"model {model:02d}", "sample": k, "response": text, "status": "ok"}
                     for k, text in enumerate(own)]  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(people)


def small_models(folder: Path, texts: list[str]) -> None:
    """Write a small Llama and one with a reward head."""
    import torch
    from transformers import LlamaForSequenceClassification

    from crpo.tiny import tiny_llama

    model, chat = tiny_llama(texts, hidden_size=192, layers=3, heads=4, vocabulary=2048, seed=0)
    torch.manual_seed(0)
    reward = LlamaForSequenceClassification(model.config.__class__(**{**model.config.to_dict(), "num_labels": 1}))
    for name, own in (("language", model), ("reward", reward)):
        own.save_pretrained(folder / name)
        chat.tokenizer.save_pretrained(folder / name)


def call(folder: Path, metrics: str) -> tuple[float, float, float]:
    """Run `crpo evaluate`; return processor seconds, seconds by the clock, and MB at its largest."""
    arguments = ["evaluate", "samples.csv", "-o", "scores.csv", "--use", metrics, "--people", "people.csv",
                 "--language-model", "language", "--quality-model", "reward"]  # fmt: skip
    environment = {**os.environ, "CRPO_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "crpo.cli", *arguments], cwd=folder, env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    errors = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(errors.decode())
    return used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss / 1024


def plain_seconds(samples: pd.DataFrame, folder: Path) -> float:
    """Return processor seconds of one model's four signals in plain loops, from those of its first prompts."""
    import plain_signals as plain
    import torch

    from crpo.embeddings import Embedder
    from crpo.models import load_language_model, load_reward_model
    from crpo.words import distinct_words

    torch.set_num_threads(1)
    model = Embedder("minilm")._loaded()
    language, chat = load_language_model(str(folder / "language"))
    reward, _ = load_reward_model(str(folder / "reward"))
    own = samples[samples["model"] == samples["model"].iloc[0]]
    start = time.process_time()
    for _, prompt in list(own.groupby("prompt_id"))[:FEW]:
        texts, embed = prompt["response"].tolist(), plain.PlainEmbedder(model)
        plain.diversity(texts, embed)
        plain.novelty([distinct_words(text) for text in texts], embed)
        with torch.no_grad():
            for text in texts:
                turns = [{"role": "user", "content": prompt["prompt"].iloc[0]}, {"role": "assistant", "content": text}]
                ids = chat.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
                language(torch.tensor([ids])).logits.float().log_softmax(-1)
                reward(torch.tensor([ids]))
    return (time.process_time() - start) * own["prompt_id"].nunique() / FEW


def main() -> None:
    """Time and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 12), ("prompts", 40), ("samples", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples, people = tables(asked.models, asked.prompts, asked.samples)
        samples.to_csv(folder / "samples.csv", index=False)
        people.to_csv(folder / "people.csv", index=False)
        small_models(folder, samples["response"].tolist()[:2000])
        print(f"{asked.models} models × {asked.prompts} prompts × {asked.samples} samples, "
              f"{METRICS.count(',') + 1} metrics")  # fmt: skip
        times = {}
        for what, metrics in (("first", METRICS), ("again", METRICS), ("four signals, all kept", FOUR)):
            times[what] = call(folder, metrics)
            used, clock, memory = times[what]
            print(f"{what}: {used:.1f} CPU s, {clock:.1f} s by the clock, {memory:,.0f} MB at its largest", flush=True)
        (folder / "cache").rename(folder / "old cache")
        four = call(folder, FOUR)[0]
        plain = plain_seconds(samples, folder) * asked.models
        print(
            f"four signals, nothing kept: {four:.1f} CPU s; plain loops about {plain:.0f} s, {plain / four:.1f} times"
        )


if __name__ == "__main__":
    main()
