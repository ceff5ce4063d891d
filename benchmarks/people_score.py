"""How well `people_score` foretells people's order of answers it was not fitted on, beside other measures.

    python benchmarks/people_score.py ../shared/data/ocsai/responses.csv

Prints the tables of docs/which-metric.md as Markdown. Answers to a prompt are dealt to five folds, each scored by the
regression on the other four; equal answers are merged before. Settings are compared on the training prompts of the
study, of each 400 answers at most as held-out prompts have no more; the chosen ones are then tried on its held-out
prompts, once, beside the rater learned on all answers to the training prompts and the number of words. Agreement is
Spearman's correlation within a prompt, averaged over prompts weighted by answers. Needs the train and demo extras.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from crpo.distances import unit
from crpo.embeddings import embedder
from crpo.estimates import weighted_mean
from crpo.grouped import group_codes, rows_by_group
from crpo.learned_rater import fit_learned_rater
from crpo.metrics.people_score import PeopleScore, fit_scores
from crpo.progress import track
from crpo.signal_agreement import rank_correlations, rank_correlations_at_equal
from crpo.signals.length import word_counts
from crpo.stages.split import identify, merge_duplicates
from crpo.tables import read_table

HELD_OUT = {  # the study's; of a task without items, all
    "Alternate Uses": ("fork", "lightbulb"),
    "Consequences": ("if RAIN WAS MADE OF SODA", "if A KID WAS PRESIDENT"),
    "Instances": ("smelly", "frozen"),
    "Sentence Completion": None,
}
FOLDS, MOST, DEFAULT = 5, 400, PeopleScore("any")
GRID = [(gamma, penalty) for gamma in (0.5, 1.0, 2.0, 3.0) for penalty in (0.1, 0.3, 1.0)]


def is_held_out(table: pd.DataFrame) -> np.ndarray:
    """Tell which answers (n,) are to held-out prompts."""
    items = [HELD_OUT.get(task, ()) for task in table["task"]]
    return np.array([own is None or item in own for own, item in zip(items, table["item"], strict=True)])


def at_most(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return so many answers to each prompt, drawn at random."""
    order = table.sample(frac=1, random_state=0)
    return order[order.groupby("prompt_id").cumcount() < count].sort_index().reset_index(drop=True)


def out_of_fold(table: pd.DataFrame, vectors: np.ndarray, gamma: float, penalty: float) -> np.ndarray:
    """Return what the metric says of each answer (n,) when it is fitted on other answers to the same prompt."""
    scores, people = table["creativity_score"].to_numpy(float), table["given_by"].to_numpy(float)
    generator, found = np.random.Generator(np.random.PCG64(0)), np.empty(len(table))
    for rows in rows_by_group(group_codes(table["prompt_id"])[0]):
        fold = generator.permutation(len(rows)) % FOLDS
        for k in range(FOLDS):
            known, asked = rows[fold != k], rows[fold == k]
            fit = fit_scores(vectors[known], scores[known], people[known], gamma, penalty)
            found[asked] = fit.predict(vectors[asked])
    return found


def agreement(values: np.ndarray, table: pd.DataFrame) -> Iterator[str]:
    """Yield for each task the correlation, and after a stroke that at equal length."""
    codes, _ = group_codes(table["prompt_id"])
    scores, words = table["creativity_score"].to_numpy(float), word_counts(table["response"])
    tasks = table["task"].to_numpy()[np.unique(codes, return_index=True)[1]]
    plain, answers = rank_correlations(values, scores, codes)
    held, _ = rank_correlations_at_equal(values, scores, words, codes)
    for task in np.unique(tasks):
        own = tasks == task
        numbers = (weighted_mean(side[own], answers[own], draws=1).value for side in (plain, held))
        yield " / ".join(f"{number:.3f}" if np.isfinite(number) else "–" for number in numbers)


def off_topic(table: pd.DataFrame, vectors: np.ndarray) -> Iterator[str]:
    """Yield for each task how much more than a prompt's mean score answers to other tasks get there, score points."""
    scores, people = table["creativity_score"].to_numpy(float), table["given_by"].to_numpy(float)
    tasks, more = table["task"].to_numpy(), {task: [] for task in sorted(set(table["task"]))}
    for rows in rows_by_group(group_codes(table["prompt_id"])[0]):
        fit = fit_scores(vectors[rows], scores[rows], people[rows], DEFAULT.gamma, DEFAULT.penalty)
        others = fit.predict(vectors[tasks != tasks[rows[0]]]).mean()
        more[tasks[rows[0]]].append((others - fit.mean, scores[rows].std()))
    for own in more.values():
        yield "{:+.1f}, of a standard deviation of {:.1f}".format(*np.mean(own, axis=0))


def show(title: str, table: pd.DataFrame, found: dict[str, np.ndarray]) -> None:
    """Print a table: a measure a row, a task a column."""
    counts = table.groupby("task")["prompt_id"].agg(["size", "nunique"])
    tasks = [f"{task}: {size:,} answers, {prompts} prompts" for task, size, prompts in counts.itertuples()]
    print(f"\n### {title}: correlation / at equal length\n\n| measure | {' | '.join(tasks)} |")
    print("|---|" + "--:|" * len(tasks))
    for name, values in found.items():
        print(f"| {name} | {' | '.join(agreement(values, table))} |")


def main() -> None:
    """Choose, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses")
    table = merge_duplicates(identify(read_table(parser.parse_args().responses, "responses")))
    held = is_held_out(table)
    training, unseen = table[~held].reset_index(drop=True), table[held].reset_index(drop=True)
    tried, found = at_most(training, MOST), {}
    vectors = {name: unit(embedder(name).encode(tried["response"].tolist())) for name in ("minilm", "character_ngrams")}
    with track("settings", len(vectors) * len(GRID)) as advance:
        for name, own in vectors.items():
            for gamma, penalty in GRID:
                found[f"{name}, gamma {gamma:g}, penalty {penalty:g}"] = out_of_fold(tried, own, gamma, penalty)
                advance(1)
    show("Training prompts, settings", tried, found)
    vectors = {name: unit(embedder(name).encode(unseen["response"].tolist())) for name in vectors}
    rater = fit_learned_rater(training, "minilm")
    own = {f"people_score, {name}": out_of_fold(unseen, vectors[name], DEFAULT.gamma, DEFAULT.penalty)
           for name in vectors}  # fmt: skip
    show("Held-out prompts, settings as by default", unseen, {
        **own, "learned rater, fitted on training prompts": rater.predict(unseen),
        "number of words": word_counts(unseen["response"]),
    })  # fmt: skip
    print(f"| answers to other tasks, over the mean | {' | '.join(off_topic(unseen, vectors['minilm']))} |")


if __name__ == "__main__":
    main()
