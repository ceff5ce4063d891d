"""Self-BLEU: how much of each sample the prompt's other samples already say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crpo.errors import needs_extra
from crpo.metrics.samples import per_prompt, usable
from crpo.words import ordered_words_of


@dataclass(frozen=True)
class SelfBleu:
    """Mean BLEU of each sample against the prompt's other samples, in [0, 1]; higher is less varied.

    Zhu et al. 2018 (Texygen, arXiv 1802.01886), with sacrebleu's sentence BLEU (Post 2018): words of `crpo.words`,
    n-grams up to `n` or to the sample's own length (`effective_order`), exponential smoothing. Texygen leaves out
    smoothing and takes words otherwise: its numbers do not compare with these. NaN with fewer than two samples that
    have words.

    Parameters
    ----------
    n : int
        Longest n-gram.
    """

    n: int = 4

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; choose 1 or more")
        _bleu(self.n)

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used, bleu = usable(samples), _bleu(self.n)
        texts = [" ".join(words) for words in ordered_words_of(used)]

        def mean(rows: np.ndarray) -> float:
            own = sorted(texts[row] for row in rows if texts[row])
            if len(own) < 2:
                return np.nan
            found = [bleu.sentence_score(text, own[:k] + own[k + 1 :]).score / 100 for k, text in enumerate(own)]
            return float(np.mean(found))

        return per_prompt(samples, used, mean)


def _bleu(n: int) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise needs_extra("self_bleu", "metrics") from error
    return BLEU(tokenize="none", max_ngram_order=n, effective_order=True, smooth_method="exp")
