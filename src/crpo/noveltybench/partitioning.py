"""Generations into classes: generations.jsonl to partitions.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crpo.components import provenance
from crpo.judges import Judge, PreparedJudge
from crpo.judges.cross_encoder import CrossEncoder
from crpo.noveltybench.rows import Row
from crpo.noveltybench.utility import distinct
from crpo.partition import partition


@dataclass
class Counts:
    """What a partition took.

    Attributes
    ----------
    rounds : int
        Batches of comparisons, at most k − 1; 0 where the judge reads each text once and compares many with many.
    compared : int
        Ordered pairs a judge was asked about; 0 as above.
    judged : int
        Of these, those a model had to score: not short, not asked before.
    """

    rounds: int = 0
    compared: int = 0
    judged: int = 0


@dataclass(frozen=True)
class Counting:
    """A judge that counts what it is asked."""

    judge: Judge
    counts: Counts = field(default_factory=Counts)

    @property
    def threshold(self) -> float:
        """See `crpo.judges.Judge`."""
        return self.judge.threshold

    def __call__(self, prompts: Sequence[str], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        before = _scored(self.judge)
        found = self.judge(prompts, left, right)
        self.counts.rounds += 1
        self.counts.compared += len(left)
        self.counts.judged += _scored(self.judge) - before if isinstance(self.judge, CrossEncoder) else len(left)
        return found


def part(judge: Judge, rows: Sequence[Row]) -> tuple[list[Row], Counts]:
    """Part each row's generations into classes, all prompts round by round (`crpo.partition`).

    Parameters
    ----------
    judge : Judge
    rows : sequence of Row
        With prompt and generations.

    Returns
    -------
    rows : list of Row
        With `partition`, `distinct` (the number of classes, as the benchmark's code of 2026 writes; published files of
        2025 hold one less) and `judge`, its settings.
    counts : Counts
    """
    sizes = [len(row["generations"]) for row in rows]
    prompts = [row["prompt"] for row, size in zip(rows, sizes, strict=True) for _ in range(size)]
    texts = [text for row in rows for text in row["generations"]]
    counting = Counting(judge)
    asked = judge if isinstance(judge, PreparedJudge) else counting
    classes = partition(asked, prompts, texts, np.repeat(np.arange(len(rows)), sizes))
    parted = [own.tolist() for own in np.split(classes, np.cumsum(sizes)[:-1])]
    return [
        {**row, "partition": own, "distinct": distinct(own), "judge": provenance(judge)}
        for row, own in zip(rows, parted, strict=True)
    ], counting.counts


def _scored(judge: Judge) -> int:
    return judge.scores().judged if isinstance(judge, CrossEncoder) else 0
