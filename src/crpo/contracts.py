"""Public checks that a signal or metric keeps its contract; run them on your own before trusting it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.metrics import Metric
from crpo.signals import Signal

_TEXTS = {
    "a brick": ["hold a door open", "a paperweight", "grind it to make red paint", "", "a tiny step for a hamster"],
    "a rope": ["climb a tree", "a skipping rope", "unpick it into a wig for a scarecrow"],
}


def example_answers() -> pd.DataFrame:
    """Return answers to two prompts, one of them blank, as a signal gets them."""
    rows = [
        {"prompt_id": prompt, "prompt": f"Name a use for {prompt}", "response": text, "status": "ok"}
        for prompt, texts in _TEXTS.items()
        for text in texts
    ]
    return pd.DataFrame(rows)


def odd_answers() -> pd.DataFrame:
    """Return answers that are unlike most, as a signal gets them; the first two are equal."""
    texts = ["a door stop", "a door stop", "doorstop", "🧱🔥", "לבנה אדומה", "用来砌墙", "-5", "null", "a kite " * 300]
    rows = [{"prompt_id": "a brick", "prompt": "Name a use for a brick", "response": text} for text in texts]
    rows.append({"prompt_id": "a rope", "prompt": "Name a use for a rope", "response": "the only answer"})
    return pd.DataFrame(rows).assign(status="ok")


def check_signal(signal: Signal) -> None:
    """Check a signal's contract on a small table.

    One float per row; the same twice; the input unchanged; values follow their rows when rows are reordered; a prompt's
    values do not depend on other prompts; a blank answer is NaN; one word, emoji, right-to-left text, text without
    spaces and a prompt's only answer give a number or NaN, and equal answers the same.

    Raises
    ------
    AssertionError
        Naming the part of the contract that is broken.
    """
    answers = example_answers()
    before = answers.copy(deep=True)
    values = np.asarray(signal(answers), dtype=float)
    assert values.shape == (len(answers),), f"{signal} must give one value per row, gave shape {values.shape}"
    pd.testing.assert_frame_equal(answers, before, obj="the signal's input")
    assert _same(signal(answers), values), f"{signal} must give the same values twice"
    order = np.array([6, 2, 0, 5, 3, 1, 4, 7])
    shuffled = signal(answers.iloc[order].reset_index(drop=True))
    assert _same(shuffled, values[order]), f"{signal}: values must follow their rows"
    first = (answers["prompt_id"] == "a brick").to_numpy()
    alone = signal(answers[first].reset_index(drop=True))
    assert _same(alone, values[first]), f"{signal}: a prompt's values must not depend on other prompts"
    assert np.isnan(values[3]), f"{signal}: a blank answer must be NaN, not {values[3]}"
    odd = np.asarray(signal(odd_answers()), dtype=float)
    assert not np.isinf(odd).any(), f"{signal}: a value is infinite; return NaN where an answer cannot be scored"
    assert _same(odd[[0]], odd[[1]]), f"{signal}: equal answers to a prompt must get equal values"


def check_metric(metric: Metric) -> None:
    """Check a metric's contract on a small table.

    One float per prompt, by prompt_id; the same twice; the input unchanged; only samples with status "ok" count, and a
    prompt that has none is NaN; the order of samples changes nothing; a prompt's value does not depend on other
    prompts; one sample, emoji, right-to-left text and text without spaces give a number or NaN.

    Raises
    ------
    AssertionError
        Naming the part of the contract that is broken.
    """
    samples = example_answers()
    before = samples.copy(deep=True)
    values = metric(samples)
    assert isinstance(values, pd.Series), f"{metric} must give a Series by prompt_id, gave {type(values).__name__}"
    assert sorted(values.index) == sorted(_TEXTS), f"{metric} must give one value per prompt_id"
    pd.testing.assert_frame_equal(samples, before, obj="the metric's input")
    assert _same(metric(samples), values), f"{metric} must give the same values twice"
    shuffled = metric(samples.iloc[[6, 2, 0, 5, 3, 1, 4, 7]].reset_index(drop=True))
    assert _same(shuffled[values.index], values), f"{metric}: the order of samples must not change a value"
    for prompt in _TEXTS:
        alone = metric(samples[samples["prompt_id"] == prompt].reset_index(drop=True))
        assert _same(alone, values[[prompt]]), f"{metric}: a prompt's value must not depend on other prompts"
    _check_statuses(metric, samples, values)
    odd = metric(odd_answers())
    assert not np.isinf(odd.to_numpy(float)).any(), f"{metric}: a value is infinite; return NaN where there is none"


def _check_statuses(metric: Metric, samples: pd.DataFrame, values: pd.Series) -> None:
    failed = samples.iloc[:1].assign(status="error", response="an error message")
    more = pd.concat([failed, samples], ignore_index=True)
    assert _same(metric(more)[values.index], values), f"{metric} must leave out samples whose status is not ok"
    none = metric(pd.concat([samples, failed.assign(prompt_id="a shoe")], ignore_index=True))
    assert "a shoe" in none.index, f"{metric} must give one value per prompt_id, NaN where no sample is ok"
    assert np.isnan(none["a shoe"]), f"{metric}: a prompt without a sample that is ok must be NaN, not {none['a shoe']}"


def _same(left: np.ndarray | pd.Series, right: np.ndarray | pd.Series) -> bool:
    return bool(np.allclose(np.asarray(left, float), np.asarray(right, float), rtol=1e-5, atol=1e-7, equal_nan=True))
