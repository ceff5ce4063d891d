"""Compression ratio: how much of a prompt's samples is repetition."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crpo.metrics.samples import per_prompt, usable


@dataclass(frozen=True)
class Compression:
    """Bytes of a prompt's samples over their bytes after gzip; higher is more repetition (Shaib et al. 2024,
    arXiv 2403.00553).

    The samples are sorted and joined by line breaks, in UTF-8; gzip at level 9, its 18 bytes of frame included, so that
    a few short answers can come out under 1. It grows with the number of samples and words: compare equal numbers only.
    Deviations: the source joins in the order of the data; a Python built on another zlib may differ by a few bytes.
    """

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        used = usable(samples)
        texts = [text.encode("utf-8", "replace") for text in used["response"]]

        def ratio(rows: np.ndarray) -> float:
            whole = b"\n".join(sorted(texts[row] for row in rows))
            return len(whole) / len(gzip.compress(whole, compresslevel=9, mtime=0))

        return per_prompt(samples, used, ratio)
