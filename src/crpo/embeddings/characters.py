"""Texts to vectors by the letters they are written with: no neural network, no meaning, any language."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from crpo.errors import needs_extra

NAME = "character_ngrams"
DIMENSION = 2048
LENGTHS = (2, 4)  # characters of the shortest and the longest run
FORMAT = 1  # raise it when our own code changes vectors


class CharacterNgrams:
    """Hashed counts of runs of characters, as a second opinion beside a neural embedder.

    Runs of 2 to 4 characters within words, a word's beginning and end marked by a space, in lower case; how often each
    occurs is added to one of 2,048 places, chosen by a hash, with a sign chosen by another bit of it (Weinberger et al.
    2009, Feature Hashing for Large Scale Multitask Learning: with signs the cosines are without bias, so that runs that
    fall on one place by chance do not make texts alike on average); the whole is scaled to length 1. The cosine of two
    texts is then near that of the counts themselves: the hash adds noise of about 0.02.

    It sees spelling alone: "sofa" and "couch" have nothing in common, and the order of words changes nothing. A vector
    is a function of its text alone; it is quick, so nothing is kept on disk.

    Attributes
    ----------
    name : str
        "character_ngrams".
    """

    name = NAME

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            Any, blank ones too. A character that is not valid Unicode (a lone surrogate) counts as "?".
        progress : callable, optional
            Called with the number of distinct texts done since the last call.

        Returns
        -------
        ndarray of float32 (n, 2048)
            Of length 1; zeros for a text of white space, whose cosine distance to all others counts as 1. (0, 0) for no
            text.

        Raises
        ------
        MissingExtraError
            Without scikit-learn, which the train extra brings.
        """
        if not len(texts):
            return np.zeros((0, 0), np.float32)
        place: dict[str, int] = {}
        rows = [place.setdefault(text.encode("utf-8", "replace").decode("utf-8"), len(place)) for text in texts]
        found = _hashing(DIMENSION).transform(list(place)).astype(np.float32).toarray()
        if progress is not None:
            progress(len(place))
        return found[rows]


def about() -> str:
    """Return all that a vector depends on beside its text; MissingExtraError without scikit-learn."""
    try:
        return f"{NAME}, format {FORMAT}, scikit-learn {version('scikit-learn')}"
    except PackageNotFoundError as error:
        raise needs_extra(f"the embedder {NAME}", "train") from error


@functools.cache
def _hashing(dimension: int) -> Any:
    try:
        from sklearn.feature_extraction.text import HashingVectorizer
    except ImportError as error:
        raise needs_extra(f"the embedder {NAME}", "train") from error
    return HashingVectorizer(analyzer="char_wb", ngram_range=LENGTHS, n_features=dimension, alternate_sign=True)
