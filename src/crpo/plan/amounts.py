"""How much there is to do: pairs, answers and prompts with their tokens, from the data or else the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from crpo.pairs import deal_pairs, pair_up
from crpo.plan.data import data_source
from crpo.plan.inputs import answers_step, read_answers
from crpo.recipe import Recipe
from crpo.recipe.sections import SftSection, TrainSection
from crpo.stages.pair import pair
from crpo.stages.published import PUBLISHED_ALL, PUBLISHED_PROMPTS
from crpo.stages.sides import UNSEEN_PROMPTS
from crpo.stages.step import Step
from crpo.tables import read_table

CHARACTERS_PER_TOKEN = 4.0  # of text
TEMPLATE_TOKENS = 20  # that a chat template puts around a prompt
# MuCE as counted for the benchmarks (docs/benchmarks.md): tokens of a prompt and of an answer, answers in pairs. How
# many prompts are held out is not published: 2,087 held-out answers, at the 107 of a training prompt, are 20.
PAPER_PROMPT, PAPER_ANSWER, PAPER_ANSWERS, PAPER_HELD_OUT = 46, 35, 8650, 20


@dataclass(frozen=True)
class Amounts:
    """What a run trains on and samples for.

    Attributes
    ----------
    source : str
        Where the counts come from, in words.
    chosen, rejected : ndarray of int (m,)
        Answer number of each side of each pair.
    prompt_of : ndarray of int (n,)
        Prompt number of each answer that is in a pair.
    answers : ndarray of float (n,)
        Tokens of each answer that is in a pair.
    prompts : ndarray of float (p,)
        Tokens of each prompt, its template included.
    pairs : int
        How many pairs there are; `chosen` may be a smaller or larger sample of them.
    sft, sft_prompts : int
        Answers of the SFT set, and their prompts.
    held_out : ndarray of float (h,)
        Tokens of each held-out prompt.
    training : ndarray of float (k,)
        Tokens of every training answer, which a tiny base model learns from.
    """

    source: str
    chosen: np.ndarray
    rejected: np.ndarray
    prompt_of: np.ndarray
    answers: np.ndarray
    prompts: np.ndarray
    pairs: int
    sft: int
    sft_prompts: int
    held_out: np.ndarray
    training: np.ndarray

    @property
    def answer(self) -> float:
        """Return the mean tokens of an answer."""
        return float(self.answers.mean())

    @property
    def prompt(self) -> float:
        """Return the mean tokens of a prompt."""
        return float(self.prompts.mean())


def amounts_of(recipe: Recipe, steps: Sequence[Step], to_do: Sequence[str], folder: Path) -> Amounts:
    """Return the amounts of a run, from the first of these that is there.

    The tables of a run folder whose step `pair` is not to be done; the data file, split and paired as the run would do
    it (from ratings, the mean rating on 10 to 50 stands in for the factor score, whose fit takes long); the counts that
    the paper published for MuCE, with answers in pairs as MuCE's rules pair scores that are spread evenly.
    """
    if "pair" not in to_do:
        answers = read_answers(folder / answers_step(recipe))
        pairs, sft = (read_table(folder / "pair" / f"{name}.csv", name) for name in ("pairs", "sft"))
        return _counted(f"the run in {folder}", answers, pairs, sft)
    if not data_source(recipe).exists():
        return published()
    with TemporaryDirectory() as scratch:
        steps[0].work(Path(scratch), {})
        if recipe.data.ratings:
            answers = _by_mean_rating(read_table(Path(scratch) / "answers.csv", "rated answers"))
        else:
            answers = read_answers(Path(scratch))
    known = {"agreement": "any", "certainty": None, "max_theta_se": None} if recipe.data.ratings else {}
    pairs, sft, _ = pair(recipe.pair.model_copy(update=known), answers)
    how = " (mean ratings instead of factor scores)" if recipe.data.ratings else ""
    return _counted(f"{data_source(recipe)}{how}", answers, pairs, sft)


def published() -> Amounts:
    """Return the amounts of the paper's training on MuCE."""
    prompts = PUBLISHED_PROMPTS[0]
    prompt_of = np.arange(PAPER_ANSWERS) % prompts
    scores = np.random.Generator(np.random.PCG64(0)).uniform(20, 50, PAPER_ANSWERS)
    pairs = pair_up(scores, prompt_of, order="random")
    sft, sft_prompts = PUBLISHED_ALL[1], PUBLISHED_PROMPTS[1]
    return Amounts(
        "the paper's counts for MuCE: the data file is not here", pairs[:, 0], pairs[:, 1], prompt_of,
        np.full(PAPER_ANSWERS, float(PAPER_ANSWER)), np.full(prompts, float(PAPER_PROMPT)), PUBLISHED_ALL[0],
        sft, sft_prompts, np.full(PAPER_HELD_OUT, float(PAPER_PROMPT)),
        np.full(PAPER_ANSWERS, float(PAPER_ANSWER)),
    )  # fmt: skip


def crpo_tokens(amounts: Amounts, section: TrainSection) -> tuple[float, float]:
    """Return the tokens that an epoch of training on pairs reads, and those of one group of pairs.

    Pairs are dealt as the trainer deals them. In layout `tree` a group reads its prompt once, else with every answer.
    """
    groups = deal_pairs(amounts.chosen, amounts.rejected, amounts.prompt_of[amounts.chosen],
                        per_group=section.pairs_per_prompt, seed=section.seed)  # fmt: skip
    total = 0.0
    for group in groups:
        own = np.unique(np.concatenate([amounts.chosen[group], amounts.rejected[group]]))
        prompt = amounts.prompts[amounts.prompt_of[own[0]]]
        total += amounts.answers[own].sum() + prompt * (1 if section.layout == "tree" else len(own))
    per_pair = total / max(len(amounts.chosen), 1)
    return per_pair * amounts.pairs, total / max(len(groups), 1)


def sft_tokens(amounts: Amounts, section: SftSection) -> float:
    """Return the tokens that an epoch of SFT reads: every answer, and a prompt for each group of its answers."""
    together = section.responses_per_prompt if section.layout == "tree" else 1
    groups = max(amounts.sft / together, min(amounts.sft, amounts.sft_prompts))
    return amounts.sft * amounts.answer + groups * amounts.prompt


def base_tokens(amounts: Amounts, epochs: float) -> float:
    """Return the tokens that a tiny base model reads: answers in groups of 32 to a prompt."""
    return epochs * (float(amounts.training.sum()) + len(amounts.training) / 32 * amounts.prompt)


def once_tokens(amounts: Amounts, answers: float, row: int) -> float:
    """Return the tokens of scoring so many answers once, in rows of one prompt and as many answers as go in."""
    per_row = max((row - amounts.prompt) / amounts.answer, 1)
    return answers * amounts.answer + answers / per_row * amounts.prompt


def _counted(source: str, answers: pd.DataFrame, pairs: pd.DataFrame, sft: pd.DataFrame) -> Amounts:
    own = answers[answers["response_id"].isin({*pairs["chosen_id"], *pairs["rejected_id"]})].reset_index(drop=True)
    numbers = pd.Series(own.index, index=own["response_id"])
    prompt_of, ids = pd.factorize(own["prompt_id"])
    texts = own.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"].reindex(ids)
    held = answers[answers["split"].isin(UNSEEN_PROMPTS)].drop_duplicates("prompt_id")
    return Amounts(
        source, numbers.reindex(pairs["chosen_id"]).to_numpy(int), numbers.reindex(pairs["rejected_id"]).to_numpy(int),
        prompt_of, _tokens(own["response"]), _tokens(texts) + TEMPLATE_TOKENS, len(pairs), len(sft),
        sft["prompt"].nunique(), _tokens(held["prompt"]) + TEMPLATE_TOKENS,
        _tokens(answers.loc[answers["split"] == "train", "response"]),
    )  # fmt: skip


def _tokens(texts: pd.Series) -> np.ndarray:
    return np.ceil(texts.str.len().to_numpy(float) / CHARACTERS_PER_TOKEN) + 1  # and the token that ends it


def _by_mean_rating(rated: pd.DataFrame) -> pd.DataFrame:
    means = rated.groupby("response_id")["rating"].mean()
    low, high = means.min(), means.max()
    scores = 10 + 40 * (means - low) / max(high - low, 1e-9)
    answers = rated.drop_duplicates("response_id").drop(columns=["rater", "rating"]).reset_index(drop=True)
    return answers.assign(creativity_score=answers["response_id"].map(scores))
