"""Texts to vectors: each distinct text once, a vector a function of its text alone, kept on disk between runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from crpo.cache_folder import cache_folder
from crpo.embeddings.batches import vectors_in_batches
from crpo.embeddings.cache import VectorCache
from crpo.embeddings.characters import NAME as CHARACTERS
from crpo.embeddings.characters import CharacterNgrams
from crpo.embeddings.loading import load_sentence_transformer
from crpo.embeddings.named import find_embedder, identity, pinned
from crpo.models import device_name
from crpo.progress import track

LONG = 1000  # texts, from which on a bar is shown


class TextEncoder(Protocol):
    """What turns texts to vectors."""

    name: str

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the vectors of texts, float32 (n, d), each a function of its text alone; see `Embedder.encode`."""
        ...


class Embedder:
    """A sentence-transformers model by name, loaded when first a text is not in the cache.

    A vector depends on its text alone, not on the other texts of a call or on what was embedded before (`batches`),
    so that a result computed with the cache equals one without it, bit for bit. The cache (`cache`) lies in
    `crpo.cache_folder.cache_folder()`.

    Parameters
    ----------
    name : str
        As `crpo.embeddings.named` tells: "minilm", a folder, or a hub id with or without a revision.

    Raises
    ------
    InputError
        For a name that can be no model.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._named = find_embedder(name)
        self._model: Any = None
        self._cache: VectorCache | None = None

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            Any, blank ones too. A text longer than the model's limit is cut there. A character that is not valid
            Unicode (a lone surrogate) counts as "?".
        progress : callable, optional
            Called with the number of distinct texts done since the last call; without it a bar is shown for long work.

        Returns
        -------
        ndarray of float32 (n, d)
            In the order of `texts`; as the model gives them, of any length. (0, 0) for no text.

        Raises
        ------
        InputError
            When the model cannot be loaded.
        MissingExtraError
            Without the train extra.
        """
        place: dict[str, int] = {}
        rows = [place.setdefault(text.encode("utf-8", "replace").decode("utf-8"), len(place)) for text in texts]
        if not rows:
            return np.zeros((0, 0), np.float32)
        cache = self._kept()
        known = cache.get(place)
        missing = [text for text in place if text not in known]
        bar = track("embedding", len(place)) if progress is None and len(missing) >= LONG else nullcontext(progress)
        with bar as advance:
            if advance is not None:
                advance(len(known))
            known |= self._computed(missing, cache, advance)
        return np.stack([known[text] for text in place])[rows]

    def _computed(
        self, texts: list[str], cache: VectorCache, advance: Callable[[int], None] | None
    ) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for rows, vectors in vectors_in_batches(self._loaded(), texts, device_name()) if texts else ():
            own = [texts[row] for row in rows]
            cache.put(own, vectors)
            found.update(zip(own, vectors, strict=True))
            if advance is not None:
                advance(len(own))
        return found

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = load_sentence_transformer(self._named)
        return self._model

    def _kept(self) -> VectorCache:
        folder = cache_folder()
        if self._cache is None or self._cache.root != folder:
            self._named = pinned(self._named)
            about = identity(self._named)
            if about is None:  # a model of the hub that is not here yet
                self._loaded()
                self._named = pinned(self._named)
                about = identity(self._named)
            self._cache = VectorCache(folder if about else None, about or "")
        return self._cache


@functools.lru_cache(maxsize=4)
def embedder(name: str) -> TextEncoder:
    """Return the embedder of that name, loaded once."""
    return CharacterNgrams() if name == CHARACTERS else Embedder(name)
