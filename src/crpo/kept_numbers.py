"""Numbers of texts that are costly to get, each got once: kept in memory, and on disk between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from crpo.embeddings.cache import VectorCache

Work = Callable[[list[int]], Iterable[tuple[Sequence[int], np.ndarray]]]


class KeptNumbers:
    """The kept numbers of one model, one for each key, in single precision wherever they come from.

    Safe under any number of processes; trouble with the disk is a number not kept, never an error.

    Parameters
    ----------
    about : str
        All that the numbers depend on beside the key.
    folder : Path or None
        Where caches are (`crpo.cache_folder`); None keeps them in memory alone.
    """

    def __init__(self, about: str, folder: Path | None) -> None:
        self._memory: dict[str, float] = {}
        self._disk = VectorCache(folder, about)

    def of(self, keys: Sequence[str], work: Work) -> np.ndarray:
        """Return the number of each key (n,), as float32; those not kept are got by `work`, each once.

        Parameters
        ----------
        keys : sequence of str
            See `key_of`.
        work : callable
            Called with places in `keys`, where there are any; yields places and their numbers, in any order. Those
            yielded are kept even where a later one fails. NaN is given back, and kept in memory alone.
        """
        unknown = [key for key in dict.fromkeys(keys) if key not in self._memory]
        self._memory |= {key: float(vector[0]) for key, vector in self._disk.get(unknown).items()}
        place_of = {key: place for place, key in reversed(list(enumerate(keys)))}
        missing = [place_of[key] for key in unknown if key not in self._memory]
        for places, numbers in work(missing) if missing else ():
            own, column = [keys[place] for place in places], np.asarray(numbers, np.float32)
            self._memory |= dict(zip(own, column.astype(float).tolist(), strict=True))
            kept = np.isfinite(column)
            self._disk.put([key for key, good in zip(own, kept, strict=True) if good], column[kept][:, None])
        return np.array([self._memory[key] for key in keys], np.float32)

    def missing(self, keys: Iterable[str]) -> int:
        """Return how many different ones of the keys are not in memory."""
        return sum(key not in self._memory for key in set(keys))


def key_of(*texts: str) -> str:
    """Return a key that depends on the texts and their order, and on nothing else."""
    whole = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()
