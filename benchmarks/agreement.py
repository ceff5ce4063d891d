"""How signals agree with people's scores, within prompts.

    python benchmarks/agreement.py ../shared/data/ocsai/responses.csv --task "Alternate Uses"

Prints, for each signal, the Spearman correlation with people's creativity scores within prompts (mean over prompts,
weighted by answers), and the share of pairs of answers a clear gap apart (10 of 50 points) that it puts in the right
order. Only prompts with at least 100 answers count. Needs the train and demo extras.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from crpo.signals.diversity import Diversity
from crpo.signals.novelty import Novelty
from crpo.stages.split import identify
from crpo.tables import read_table

GAP = 10.0
LEAST_ANSWERS = 100
PAIRS_PER_PROMPT = 20_000


def right_order(values: np.ndarray, scores: np.ndarray, generator: np.random.Generator) -> tuple[float, int]:
    """Return the share of random pairs a clear gap apart that `values` orders as `scores` does; ties are half."""
    first, second = generator.integers(len(values), size=(2, PAIRS_PER_PROMPT))
    clear = np.abs(scores[first] - scores[second]) >= GAP
    agree = np.sign(values[first] - values[second]) * np.sign(scores[first] - scores[second])
    return float((agree[clear] + 1).mean() / 2), int(clear.sum())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses")
    parser.add_argument("--task", default="Alternate Uses")
    arguments = parser.parse_args()
    table = identify(read_table(arguments.responses, "responses"))
    table = table[table["task"] == arguments.task]
    table = table[table.groupby("prompt_id")["response"].transform("size") >= LEAST_ANSWERS].reset_index(drop=True)
    signals = {
        "diversity": Diversity()(table),
        "novelty": Novelty()(table),
        "words": table["response"].str.split().str.len().to_numpy(float),
    }
    generator = np.random.Generator(np.random.PCG64(0))
    rows = []
    for name, values in signals.items():
        found = []
        for own in table.groupby("prompt_id").indices.values():
            own = own[np.isfinite(values[own])]
            scores = table["creativity_score"].to_numpy(float)[own]
            found.append((spearmanr(values[own], scores)[0], *right_order(values[own], scores, generator), len(own)))
        rho, right, pairs, n = np.array(found, dtype=float).T
        rows.append((name, np.average(rho, weights=n), np.average(right, weights=pairs), int(n.sum()), len(found)))
    columns = ["signal", "Spearman within prompts", "pairs in the right order", "answers", "prompts"]
    print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
