"""Steps on the raw values of a signal, before they are scaled: checks, answers of one word, length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crpo.errors import CrpoError, InputError
from crpo.grouped import residuals_within, rows_by_group
from crpo.over_ray import on_workers, score_over_ray
from crpo.progress import say
from crpo.recipe.sections import OneWord, ScoreSection
from crpo.signal_agreement import rank_correlations
from crpo.signals.length import word_counts
from crpo.words import words_of

MUCH = 0.5  # a correlation with length above which a person is warned


class Texts:
    """What the steps need to know of the answers: their words, counted once.

    Attributes
    ----------
    codes : ndarray of int (n,)
        Prompt of each answer.
    words : ndarray of float (n,)
        Number of words.
    """

    def __init__(self, answers: pd.DataFrame, codes: np.ndarray) -> None:
        self._answers, self.codes = answers, codes
        self.words = word_counts(answers["response"])

    def of_one_word(self) -> np.ndarray:
        """Return which answers (n,) have fewer than two distinct words, so that their DSI is 0 by definition."""
        return np.array([len(words) < 2 for words in words_of(self._answers)], dtype=bool)


def raw_values(signal: Any, name: str, answers: pd.DataFrame, section: ScoreSection) -> np.ndarray:
    """Return the signal's values (n,), got by the section's engine; NaN is not scored, and so are infinite ones.

    Raises
    ------
    InputError
        When the signal fails, or gives something else than one number per row.
    """
    try:
        values = np.array(_values(signal, answers, section), dtype=float)
    except CrpoError:
        raise
    except Exception as error:
        if type(signal).__module__.startswith("crpo."):
            raise  # a bug of ours
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise InputError(f"signal {name!r} fails: {reason}", "Try crpo.contracts.check_signal on it.") from error
    if values.shape != (len(answers),):
        found = "values of shape " + "×".join(map(str, values.shape)) if values.shape else "a single number"
        raise InputError(f"signal {name!r} gives {found} for {len(answers)} answers", "Give one number per row.")
    return np.where(np.isfinite(values), values, np.nan)


def _values(signal: Any, answers: pd.DataFrame, section: ScoreSection) -> Any:
    return signal(answers) if section.engine == "local" else score_over_ray(signal, answers, **on_workers(section))


def prepared(
    raw: np.ndarray, signal: Any, name: str, section: ScoreSection, texts: Texts
) -> tuple[np.ndarray, Mapping[str, float]]:
    """Return the values that are scaled, and what is told about them.

    Parameters
    ----------
    raw : ndarray of float (n,)
        The signal's own values; NaN is not scored.
    signal, name
        A signal may say, by a class attribute `needs_two_words`, that its value of one word means nothing.
    section : ScoreSection
        `one_word` and `length_adjusted`.
    texts : Texts
    """
    counts: dict[str, float] = {}
    policy = _policy(section.one_word, signal, name)
    if policy != "paper":
        alone = texts.of_one_word() & np.isfinite(raw)
        raw = settle_one_word(raw, alone, texts.codes, policy)
        said = "given the prompt's median" if policy == "median" else "not scored"
        counts[f"{name}: answers of one word, {said}"] = int(alone.sum())
    adjusts = section.adjusts(name)
    together = length_correlation(raw, texts)
    if np.isfinite(together):
        counts[f"{name}: rank correlation with length within prompts"] = together
        if abs(together) > MUCH and not adjusts:
            say(f"note: {name} goes with the length of the answers (rank correlation {together:.2f} within prompts); "
                "score.length_adjusted takes length out")  # fmt: skip
    return (residuals_within(raw, np.log1p(texts.words), texts.codes) if adjusts else raw), counts


def settle_one_word(raw: np.ndarray, alone: np.ndarray, codes: np.ndarray, policy: OneWord) -> np.ndarray:
    """Return the values with those of answers of one word settled.

    Parameters
    ----------
    raw : ndarray of float (n,)
    alone : ndarray of bool (n,)
        Which answers are of one word.
    codes : ndarray of int (n,)
        Prompt of each answer.
    policy : {"paper", "median", "drop"}
        As they are; the median of the prompt's longer answers (not scored where there is none); not scored.
    """
    settled = raw.copy()
    if policy == "paper":
        return settled
    settled[alone] = np.nan
    if policy == "median":
        for rows in rows_by_group(codes):
            own = settled[rows]
            if np.isfinite(own).any():
                settled[rows[alone[rows]]] = np.median(own[np.isfinite(own)])
    return settled


def length_correlation(raw: np.ndarray, texts: Texts) -> float:
    """Return the rank correlation of a signal with the number of words, within prompts, averaged by answers.

    NaN where no prompt has three scored answers that differ in length.
    """
    found, answers = rank_correlations(raw, texts.words, texts.codes)
    known = np.isfinite(found)
    return float(np.average(found[known], weights=answers[known])) if known.any() else np.nan


def _policy(setting: OneWord | dict[str, OneWord], signal: Any, name: str) -> OneWord:
    if isinstance(setting, dict):
        return setting.get(name, "paper")
    return setting if getattr(signal, "needs_two_words", False) else "paper"
