"""What is measured of the samples drawn while training; the metrics are those of `crpo.metrics`."""

from __future__ import annotations

import pandas as pd

from crpo.metrics.distinct import Distinct
from crpo.metrics.mean import Mean
from crpo.metrics.unique import Unique
from crpo.metrics.words import Words
from crpo.signals.diversity import Diversity

PREFIX = "watch_"


def measured(samples: pd.DataFrame, embedder: str | None, before: pd.DataFrame | None) -> dict[str, float]:
    """Return numbers by name, each a mean over the prompts; one that cannot be computed is not there.

    A sample that was cut off at `max_new_tokens` counts as an answer here (an evaluation leaves it out), an empty one
    does not.

    Parameters
    ----------
    samples : DataFrame
        prompt_id, prompt, sample, response, status: of one step.
    embedder : str, optional
        See `crpo.embeddings.Embedder`; without, there is no `watch_diversity`.
    before : DataFrame, optional
        The samples of step 0, in the same order.

    Returns
    -------
    dict of str to float
        watch_distinct_1, watch_distinct_2 and watch_unique in (0, 1], watch_diversity in [0, 2] (mean cosine distance
        of a prompt's samples), watch_words; shares of all samples in [0, 1]: watch_answered (not empty),
        watch_cut_off, and watch_changed (another text than at step 0, drawn with the same random numbers).
    """
    status = samples["status"].replace("truncated", "ok")
    answers = samples.assign(status=status)
    metrics = {"distinct_1": Distinct(1), "distinct_2": Distinct(2), "unique": Unique(), "words": Words()}
    if embedder is not None:
        metrics["diversity"] = Mean(Diversity(embedder))
    found = {name: float(metric(answers).mean()) for name, metric in metrics.items()} if (status == "ok").any() else {}
    found["answered"] = float((status == "ok").mean())
    found["cut_off"] = float((samples["status"] == "truncated").mean())
    if before is not None:
        found["changed"] = float((samples["response"] != before["response"]).mean())
    return {f"{PREFIX}{name}": value for name, value in found.items() if value == value}
