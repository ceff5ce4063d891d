"""One epoch of DPO: TRL's trainer and ours in turn, on the same pairs, in one run; prints the ratio of their times.

    python benchmarks/training.py

Data shaped like MuCE: few prompts, many answers each, every answer in several pairs; random tokens, a small Llama with
random weights, float32 on the CPU. The reference is precomputed for both and timed apart. A first look, one round: the
times of a busy machine mean little, their ratio a little more.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time

import numpy as np
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from crpo.models import quiet
from crpo.pairs import pair_up
from crpo.tiny import tiny_llama
from crpo.training import CrPOConfig, CrPOTrainer


def make_pairs(prompts: int, answers: int, uses: int) -> list[dict]:
    """Return conversational preference pairs of made-up words."""
    generator = np.random.Generator(np.random.PCG64(0))
    words = ["".join(generator.choice(list("abcdefghij"), 4)) for _ in range(400)]
    rows = []
    for _ in range(prompts):
        prompt = [{"role": "user", "content": " ".join(generator.choice(words, 20))}]
        texts = [" ".join(generator.choice(words, 16)) for _ in range(answers)]
        scores = generator.uniform(20, 50, answers)
        for chosen, rejected in pair_up(scores, np.zeros(answers, int), order="random", max_uses=uses):
            sides = {"chosen": texts[chosen], "rejected": texts[rejected]}
            rows.append(
                {
                    "prompt": prompt,
                    **{k: [{"role": "assistant", "content": v}] for k, v in sides.items()},
                    "weight": 1.0,
                }
            )
    return rows


def main() -> None:
    """Time both trainers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--uses", type=int, default=10)
    parser.add_argument("--pairs-per-prompt", type=int, nargs="+", default=[8, 32])
    arguments = parser.parse_args()
    quiet()
    rows = make_pairs(arguments.prompts, arguments.answers, arguments.uses)
    texts = [turn["content"] for row in rows for side in ("prompt", "chosen", "rejected") for turn in row[side]]
    model, chat = tiny_llama(texts, hidden_size=256, layers=6, heads=4, vocabulary=2000, seed=0)
    print(f"{len(rows)} pairs, {arguments.prompts} prompts, {model.num_parameters() / 1e6:.1f} million parameters")
    shared = {"report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1000,
              "num_train_epochs": 1, "dataloader_pin_memory": False}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trl_config = DPOConfig(
            output_dir=folder, **shared, bf16=False, max_length=None, per_device_train_batch_size=16,
            precompute_ref_log_probs=True, gradient_checkpointing=False,
        )  # fmt: skip
        trainer = DPOTrainer(
            copy.deepcopy(model),
            args=trl_config,
            train_dataset=Dataset.from_list(rows),
            processing_class=chat.tokenizer,
        )
        trainer.get_train_dataloader()
        setup = time.perf_counter() - start
        start = time.perf_counter()
        trainer.train()
        theirs = time.perf_counter() - start
        print(f"TRL, batches of 16: set-up with reference {setup:.1f} s, training {theirs:.1f} s")
        for size in arguments.pairs_per_prompt:
            start = time.perf_counter()
            config = CrPOConfig(
                output_dir=folder, **shared, pairs_per_prompt=size, tokens_per_row=512,
                per_device_train_batch_size=max(1, 16 // size),
            )  # fmt: skip
            ours = CrPOTrainer(copy.deepcopy(model), config, rows, chat.tokenizer)
            own_setup = time.perf_counter() - start
            start = time.perf_counter()
            ours.train()
            taken = time.perf_counter() - start
            print(f"ours, groups of {size}: set-up with reference {own_setup:.1f} s, training {taken:.1f} s")
            print(f"  TRL takes {theirs / taken:.1f} times as long to train, {setup / own_setup:.1f} times to set up")


if __name__ == "__main__":
    main()
