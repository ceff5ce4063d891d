"""Make the bundled corpus of simulated creativity-test answers, their ratings and their true creativity.

Usage: python tools/make_corpus.py [--out FOLDER] [--seed NUMBER]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

HERE = Path(__file__).resolve().parent
IDEAS = HERE / "corpus_ideas.yaml"
OUT = HERE.parent / "src" / "crpo" / "datasets" / "corpus"

ANSWERS_BY_TIER = {1: 11, 2: 6, 3: 4, 4: 3, 5: 2}  # a common head and a long tail: answers wanted per idea
FRAMES = {
    "do": ("", "", "use it to ", "you could use it to "),
    "it": ("", "", "you could "),
    "as": ("use it as ", "use it as ", "it could serve as "),
    "into": ("turn it into ", "turn it into ", "you could turn it into ", "make it into "),
    "clause": ("", "", "", "maybe ", "perhaps ", "before long "),
    "thing": ("",),
}
WORDS = (3, 14)
ELABORATED = 0.4
CHOICE = re.compile(r"\(([^()]*)\)")

# True creativity: the tier counts most, an elaboration a little, and some of it is luck.
ELABORATION_BONUS = 0.4
NOISE = 0.35

THRESHOLDS = np.array([-0.9, 0.3, 1.1, 2.0])  # of a rater of severity 0, for a rating of at least 2, 3, 4, 5
RANDOM_SHARES = (0.2, 0.3, 0.25, 0.15, 0.1)  # of the ratings 1 to 5 of a rater who does not read the answers
RATERS_PER_ANSWER = 3


class Rater(NamedTuple):
    """A simulated rater: `reads` is 1 for the answer's creativity, -1 for its opposite, 0 for chance."""

    name: str
    severity: float
    discrimination: float
    reads: int


RATERS = (
    Rater("r1", 0.0, 2.2, 1),
    Rater("r2", 0.4, 1.8, 1),
    Rater("r3", -0.4, 2.6, 1),
    Rater("r4", 0.7, 1.5, 1),
    Rater("r5", -0.2, 2.0, 1),
    Rater("r6", 0.2, 1.3, 1),
    Rater("r7", 0.0, 0.0, 0),
    Rater("r8", 0.1, 1.6, -1),
)


@dataclass(frozen=True)
class Idea:
    """One idea for one item.

    Attributes
    ----------
    task, item : str
        What the idea answers.
    tier : int
        1 (common) to 5 (far-fetched).
    kind : str
        Grammatical type, a key of FRAMES.
    phrase, elaboration : str
        Templates with choices "(a|b)"; the elaboration may be empty.
    """

    task: str
    item: str
    tier: int
    kind: str
    phrase: str
    elaboration: str


class Answer(NamedTuple):
    """One answer with its idea, and whether it is elaborated."""

    text: str
    idea: Idea
    elaborated: bool


def read_ideas(path: Path) -> list[Idea]:
    """Return the ideas of the YAML file, in its order."""
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Idea(task, item, tier, kind, *(part.strip() for part in f"{text} + ".split(" + ")[:2]))
        for task, items in tasks.items()
        for item, tiers in items.items()
        for tier, ideas in tiers.items()
        for idea in ideas
        for kind, text in idea.items()
    ]


def wordings(template: str) -> list[str]:
    """Return all texts of a template, one for each combination of its choices."""
    parts = [part.split("|") for part in CHOICE.split(template)]
    return [" ".join("".join(chosen).split()) for chosen in itertools.product(*parts)]


def possible_answers(idea: Idea, elaborated: bool) -> list[Answer]:
    """Return every answer of allowed length that the idea can take, with or without its elaboration."""
    endings = [f" {words}" for words in wordings(idea.elaboration)] if elaborated else [""]
    texts = [
        frame + phrase + ending
        for frame, phrase, ending in itertools.product(FRAMES[idea.kind], wordings(idea.phrase), endings)
    ]
    return [Answer(text, idea, elaborated) for text in texts if WORDS[0] <= len(text.split()) <= WORDS[1]]


def shuffled(answers: list[Answer], random: np.random.Generator) -> Iterator[Answer]:
    """Yield the answers in random order."""
    return (answers[i] for i in random.permutation(len(answers)))


def answers_of(idea: Idea, taken: set[str], random: np.random.Generator) -> list[Answer]:
    """Return new answers for an idea, as many as its tier asks for where it has so many; `taken` grows by them."""
    plain = shuffled(possible_answers(idea, False), random)
    longer = shuffled(possible_answers(idea, True) if idea.elaboration else [], random)
    chosen: list[Answer] = []
    while len(chosen) < ANSWERS_BY_TIER[idea.tier]:
        first, second = (longer, plain) if random.random() < ELABORATED else (plain, longer)
        answer = next((answer for answer in itertools.chain(first, second) if answer.text not in taken), None)
        if answer is None:
            break
        taken.add(answer.text)
        chosen.append(answer)
    return chosen


def make_answers(ideas: Iterable[Idea], random: np.random.Generator) -> list[Answer]:
    """Return the answers to all items, in random order within each item, none of them twice."""
    taken: set[str] = set()
    answers: list[Answer] = []
    for _, own in itertools.groupby(ideas, key=lambda idea: (idea.task, idea.item)):
        answers.extend(shuffled([answer for idea in own for answer in answers_of(idea, taken, random)], random))
    return answers


def true_creativity(answers: list[Answer], random: np.random.Generator) -> np.ndarray:
    """Return the creativity of each answer, with mean 0 and variance 1."""
    tier = np.array([answer.idea.tier for answer in answers])
    elaborated = np.array([answer.elaborated for answer in answers])
    creativity = tier + ELABORATION_BONUS * elaborated + NOISE * random.standard_normal(len(answers))
    return (creativity - creativity.mean()) / creativity.std()


def assign_raters(count: int, random: np.random.Generator) -> np.ndarray:
    """Return the rater numbers (count, 3) of each answer; every group of three comes equally often, or once more."""
    groups = np.array(list(itertools.combinations(range(len(RATERS)), RATERS_PER_ANSWER)))
    rounds = [random.permutation(groups) for _ in range(-(-count // len(groups)))]
    return np.concatenate(rounds)[:count]


def rate(rater: Rater, creativity: float, random: np.random.Generator) -> int:
    """Return a rater's rating of an answer, 1 to 5, drawn from the graded response model."""
    if rater.reads == 0:
        return int(random.choice(len(RANDOM_SHARES), p=RANDOM_SHARES)) + 1
    thresholds = THRESHOLDS + rater.severity
    at_least = 1 / (1 + np.exp(-rater.discrimination * (rater.reads * creativity - thresholds)))
    return 1 + int((random.random() < at_least).sum())


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file with line feeds, the same on every system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def make_corpus(folder: Path, seed: int) -> None:
    """Write ratings.csv and truth.csv into a folder, the same bytes for the same seed."""
    random = np.random.Generator(np.random.PCG64(seed))
    answers = make_answers(read_ideas(IDEAS), random)
    creativity = true_creativity(answers, random)
    names = [f"a{number:04d}" for number in range(1, len(answers) + 1)]
    ratings = [
        (name, answer.idea.task, answer.idea.item, answer.text, "en", RATERS[i].name, rate(RATERS[i], value, random))
        for name, answer, value, raters in zip(
            names, answers, creativity, assign_raters(len(answers), random), strict=True
        )
        for i in raters
    ]
    folder.mkdir(parents=True, exist_ok=True)
    header = ("response_id", "task", "item", "response", "language", "rater", "rating")
    write_table(folder / "ratings.csv", header, ratings)
    truth = ((name, f"{value:.4f}") for name, value in zip(names, creativity, strict=True))
    write_table(folder / "truth.csv", ("response_id", "true_creativity"), truth)


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description="Make the bundled corpus of simulated creativity-test answers.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for ratings.csv and truth.csv")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    make_corpus(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
