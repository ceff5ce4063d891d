"""Scores of ordered pairs of texts by a sequence-classification model, each pair scored once."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crpo.cache_folder import cache_folder
from crpo.errors import InputError, needs_extra
from crpo.kept_numbers import KeptNumbers, key_of
from crpo.models import device_name, find_model, fingerprint, loading_error, quiet
from crpo.progress import track

TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}  # on a CPU more only leaves its cache


class PairScores:
    """A cross-encoder: the probability that the second text says the same as the first.

    The two texts are tokenised apart, each cut at its end to `tokens` tokens, and put together as the tokenizer puts
    pairs together: for DeBERTa [CLS] first [SEP] second [SEP]. A model with two outputs gives the softmax of `same`
    (the second where nothing is said), one with a single output its logistic function.

    Attributes
    ----------
    asked, judged : int
        Pairs asked for so far, and how many of them the model had to score.
    """

    def __init__(self, model: Any, tokenizer: Any, *, tokens: int, same: int | str | None, kept: KeptNumbers) -> None:
        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens
        self.output = _output(model.config, same)
        self.asked = self.judged = 0
        self._kept = kept
        _check_room(model.config, tokenizer, tokens)

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """Return the probabilities of ordered pairs (n,), float32."""
        keys = [key_of(*pair) for pair in zip(left, right, strict=True)]
        self.asked += len(keys)
        return self._kept.of(keys, lambda places: self._scored([left[i] for i in places],
                                                               [right[i] for i in places], places))  # fmt: skip

    def _scored(
        self, left: Sequence[str], right: Sequence[str], places: Sequence[int]
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        pairs = self.encoded(left, right)
        with track("pairs of answers judged", len(pairs)) as advance:
            for batch in _by_length(pairs, TOKENS_PER_BATCH[self.model.device.type]):
                found = self._probabilities([pairs[n] for n in batch])
                self.judged += len(batch)
                advance(len(batch))
                yield [places[n] for n in batch], found

    def encoded(self, left: Sequence[str], right: Sequence[str]) -> list[Any]:
        """Return the pairs as the tokenizers library's encodings: ids, type_ids."""
        distinct = list(dict.fromkeys([*left, *right]))
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        alone = dict(zip(distinct, backend.encode_batch(distinct, add_special_tokens=False), strict=True))
        for encoding in alone.values():
            encoding.truncate(self.tokens)
        return [backend.post_process(alone[one], alone[other]) for one, other in zip(left, right, strict=True)]

    def _probabilities(self, pairs: Sequence[Any]) -> np.ndarray:
        import torch

        width, padding = max(len(pair.ids) for pair in pairs), self.tokenizer.pad_token_id or 0
        given = {"input_ids": [pair.ids + [padding] * (width - len(pair.ids)) for pair in pairs],
                 "attention_mask": [[1] * len(pair.ids) + [0] * (width - len(pair.ids)) for pair in pairs]}  # fmt: skip
        if getattr(self.model.config, "type_vocab_size", 0) > 1:
            given["token_type_ids"] = [pair.type_ids + [0] * (width - len(pair.ids)) for pair in pairs]
        tensors = {name: torch.tensor(rows, device=self.model.device) for name, rows in given.items()}
        with torch.inference_mode():
            logits = self.model(**tensors).logits.float()
        found = logits[:, 0].sigmoid() if self.output is None else logits.softmax(-1)[:, self.output]
        return found.cpu().numpy()


@functools.lru_cache(maxsize=2)
def pair_scores(
    _: str, model: str, tokenizer: str | None, revision: str | None, dtype: str, tokens: int, same: int | str | None
) -> PairScores:
    """Return the model's pair scores, loaded once; the first argument is its `fingerprint`.

    Raises
    ------
    InputError
        When it cannot be loaded, its head has no trained weights, it has several outputs and `same` names none, or its
        tokenizer does not put pairs together.
    MissingExtraError
        Without the train extra.
    """
    loaded, words = _load(model, tokenizer, revision, dtype)
    about = f"pair scores {fingerprint(model)} {tokenizer} {revision} {dtype} {tokens} {same}"
    return PairScores(loaded, words, tokens=tokens, same=same, kept=KeptNumbers(about, cache_folder()))


def _load(model: str, tokenizer: str | None, revision: str | None, dtype: str) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise needs_extra("a judge that is a model", "train") from error
    quiet()
    target, own = find_model(model), tokenizer or model
    own = str(Path(own).expanduser()) if Path(own).expanduser().is_dir() else find_model(own)
    try:
        words = AutoTokenizer.from_pretrained(own, revision=None if tokenizer else revision)
        loaded, info = AutoModelForSequenceClassification.from_pretrained(
            target, revision=revision, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # libraries fail in many ways, a torn file in one of its own
        raise loading_error(model, error) from error
    if info["missing_keys"]:
        found = f"judge {model} lacks trained weights ({', '.join(sorted(info['missing_keys'])[:3])})"
        raise InputError(found, "Name a sequence-classification model of pairs.")
    if not hasattr(words, "backend_tokenizer"):
        raise InputError(f"judge {model} has no fast tokenizer", "Name one with tokenizer.json in judge.tokenizer.")
    return loaded.to(device_name()).eval(), words


def _output(config: Any, same: int | str | None) -> int | None:
    """Return which output says "the same"; None for the logistic function of a single one."""
    if config.num_labels == 1:
        return None
    labels = {str(name): int(number) for number, name in config.id2label.items()}
    if same is None and config.num_labels == 2:
        return 1
    if same in labels:
        return labels[str(same)]
    if isinstance(same, int) and 0 <= same < config.num_labels:
        return same
    raise InputError(f"the judge has {config.num_labels} outputs, and same is {same!r}",
                     f"Set same to the one that says so: {', '.join(labels)}.")  # fmt: skip


def _check_room(config: Any, tokenizer: Any, tokens: int) -> None:
    backend = tokenizer.backend_tokenizer
    added = backend.num_special_tokens_to_add(True)
    if not added:
        found = "the judge's tokenizer puts nothing between the two texts of a pair"
        raise InputError(found, "Name the tokenizer of a cross-encoder in judge.tokenizer.")
    room = getattr(config, "max_position_embeddings", None)
    if room and 2 * tokens + added > room:
        raise InputError(f"two texts of {tokens} tokens do not fit into the judge's {room}",
                         f"Set tokens to {(room - added) // 2} or less.")  # fmt: skip


def _by_length(pairs: Sequence[Any], tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield the pairs' numbers in batches of about equal length, the longest first."""
    batch: list[int] = []
    longest = 0
    for n in sorted(range(len(pairs)), key=lambda n: -len(pairs[n].ids)):
        if batch and (len(batch) + 1) * longest > tokens_per_batch:
            yield batch
            batch = []
        longest = longest if batch else len(pairs[n].ids)
        batch.append(n)
    if batch:
        yield batch
