"""NoveltyBench's partition in rounds and as the one-by-one loop of its own code: the same classes, times and calls.

    OMP_NUM_THREADS=2 python benchmarks/partition.py RUNS/gpt-4o-mini-2024-07-18/scores.jsonl
    python benchmarks/partition.py FILE --model yimingzhang/deberta-v3-large-generation-similarity \\
        --tokenizer microsoft/deberta-v3-large --threshold 0.102

Without --model the classifier is a DeBERTa-v3 with random weights, made here (--size), and the threshold is put where
the share of pairs that are the same (--same) is that of a real run: what is compared is the work, not the judgement.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ["CRPO_CACHE"] = "off"  # every pair is judged, in every run of this

SIZES = {  # hidden size, layers, heads, feed-forward, vocabulary; large is the official judge's
    "tiny": (32, 2, 2, 64, 600),
    "small": (256, 6, 4, 1024, 8000),
    "base": (768, 12, 12, 3072, 32000),
    "large": (1024, 24, 16, 4096, 128100),
}


def make_deberta(folder: Path, texts: list[str], size: str = "tiny", seed: int = 0) -> Path:
    """Write a DeBERTa-v3 for pairs with random weights, and a tokenizer trained on the texts; return the folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

    hidden, layers, heads, feed_forward, vocabulary = SIZES[size]
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    trainer = trainers.UnigramTrainer(vocab_size=vocabulary, special_tokens=special, unk_token="[UNK]",
                                      show_progress=False)  # fmt: skip
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )  # fmt: skip
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "unk", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    torch.manual_seed(seed)
    config = DebertaV2Config(
        vocab_size=max(backend.get_vocab_size(), vocabulary), hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=feed_forward, relative_attention=True, position_buckets=256,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0,
        position_biased_input=False, max_relative_positions=-1, num_labels=2, initializer_range=0.2,
    )  # fmt: skip
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    return folder


class OneByOne:
    """The judge as the benchmark's own code calls it: one pair at a time, tokenised every time."""

    def __init__(self, model: Any, tokenizer: Any, threshold: float, short_answers: str = "words") -> None:
        self.model, self.tokenizer, self.threshold = model, tokenizer, threshold
        self.short_answers, self.calls = short_answers, 0

    def score(self, left: str, right: str) -> float:
        """Return the probability that the second text says the same as the first."""
        import torch

        self.calls += 1
        one, other = (self.tokenizer(text, add_special_tokens=False)["input_ids"][:128] for text in (left, right))
        begin, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        ids = torch.tensor([[begin, *one, end, *other, end]], device=self.model.device)
        with torch.inference_mode():
            return float(self.model(input_ids=ids).logits.float().softmax(-1)[0, 1])

    def same(self, left: str, right: str) -> bool:
        """Return whether two answers are the same, short ones by their words."""
        one, other = left.strip().lower().split(), right.strip().lower().split()
        longer = max(len(one), len(other))
        if self.short_answers == "words" and longer <= 5:
            return 2 * len(set(one) & set(other)) >= longer
        return self.score(left, right) > self.threshold

    def classes(self, texts: list[str]) -> list[int]:
        """Return the class of each answer: every one is compared with the first of each class, in order."""
        heads: list[str] = []
        found = []
        for text in texts:
            number = next((n for n, head in enumerate(heads) if self.same(head, text)), len(heads))
            heads += [text] if number == len(heads) else []
            found.append(number)
        return found


def main() -> None:
    """Run both and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generations", type=Path, help="A file of the benchmark with generations.")
    parser.add_argument("--model", help="Hub id or folder of a classifier of pairs.")
    parser.add_argument("--tokenizer")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--same", type=float, default=0.25, help="Share of pairs that a made model calls the same.")
    parser.add_argument("--prompts", type=int, default=100)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.generations.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        compare(rows[: options.prompts], options, Path(folder))


def compare(rows: list[dict[str, Any]], options: argparse.Namespace, folder: Path) -> None:
    """Part the rows both ways and print times, calls and whether the classes are the same."""
    from crpo.judges.cross_encoder import CrossEncoder
    from crpo.noveltybench.partitioning import part

    texts = [text for row in rows for text in row["generations"]]
    model = options.model or str(make_deberta(folder, texts, options.size))
    judge = CrossEncoder(model, options.threshold or 0.5, options.tokenizer, "words")
    scores = judge.scores()
    plain = OneByOne(scores.model, scores.tokenizer, 0.0)
    sample = [plain.score(texts[n], texts[n + 1]) for n in range(0, min(len(texts) - 1, 60))]
    threshold = options.threshold or round(float(np.quantile(sample, 1 - options.same)), 6)
    plain = OneByOne(scores.model, scores.tokenizer, threshold)
    clock, unit = (time.perf_counter, "s") if scores.model.device.type == "cuda" else (time.process_time, "CPU s")
    start = clock()
    expected = [plain.classes(row["generations"]) for row in rows]
    middle = clock()
    judge = CrossEncoder(model, threshold, options.tokenizer, "words")
    found, counts = part(judge, rows)
    end = clock()
    same = sum(row["partition"] == own for row, own in zip(found, expected, strict=True))
    print(f"{len(rows)} prompts, {scores.model.num_parameters():,} weights on {scores.model.device}, "
          f"mean classes {np.mean([row['distinct'] for row in found]):.2f}")  # fmt: skip
    print(f"one by one: {middle - start:.1f} {unit}, {plain.calls:,} calls of one pair")
    print(f"in rounds:  {end - middle:.1f} {unit}, {counts.judged:,} pairs in {counts.rounds} rounds, "
          f"{counts.compared:,} compared")  # fmt: skip
    print(f"the same classes for {same} of {len(rows)} prompts; {(middle - start) / (end - middle):.1f} times as fast")


if __name__ == "__main__":
    main()
