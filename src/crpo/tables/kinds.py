"""What each kind of table must hold; a plain dict, so that reading it is knowing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TableKind:
    """What a table must hold.

    Attributes
    ----------
    required : tuple of str
        Columns that must be there.
    numbers : mapping of str to (low, high)
        Columns of numbers and the range they must lie in; a blank cell is NaN unless it must be filled.
    filled : tuple of str
        Columns whose cells must not be blank.
    unique : tuple of str
        Columns that tell rows apart: two rows that agree in them must agree in all required columns and numbers.
    never : tuple of (column, comparison, column)
        What no row may show.
    """

    required: tuple[str, ...]
    numbers: Mapping[str, tuple[float, float]]
    filled: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    never: tuple[tuple[str, str, str], ...] = ()


ANY = (-np.inf, np.inf)
SAMPLE_USAGE = ("attempts", "input_tokens", "output_tokens", "thinking_tokens")  # blank where not known
PAIR_NUMBERS = {
    "weight": (0, np.inf),
    **dict.fromkeys(("score_chosen", "score_rejected", "ref_chosen_logps", "ref_rejected_logps", "contrast"), ANY),
}  # fmt: skip
SAMPLE_COUNTS = (  # used, and left out: in all, by status as in crpo.records.STATUSES, and not in the table at all
    "used", "not_selected", "left_out",
    *(f"left_out_{reason}" for reason in ("error", "refused", "empty", "truncated", "filtered", "missing")),
)  # fmt: skip
RATER_NUMBERS = ("n", "mean", "severity", "discrimination", "infit", "outfit", "item_rest", "bits")
NO_PAIR = (("chosen", "==", "rejected"), ("score_chosen", "<=", "score_rejected"))

KINDS = {
    "responses": TableKind(
        ("task", "item", "response", "creativity_score"), {"creativity_score": ANY},
        ("task", "item", "response"),
    ),
    "ratings": TableKind(
        ("response_id", "rater", "rating"), {"rating": ANY},
        ("response_id", "rater"), ("response_id", "rater"),
    ),
    "rated answers": TableKind(
        ("response_id", "rater", "rating", "task", "item", "response"), {"rating": ANY},
        ("response_id", "rater", "task", "item", "response"), ("response_id", "rater"),
    ),
    "answers": TableKind(("task", "item", "response"), {"creativity_score": ANY}),
    "corpus": TableKind(("response",), {}),
    "people's answers": TableKind(("response",), {"given_by": (1, np.inf), "creativity_score": ANY}),
    "identified answers": TableKind(
        ("response_id", "prompt_id", "prompt", "response"), {"creativity_score": ANY, "given_by": (1, np.inf)},
        ("response_id", "prompt_id"),
    ),
    "reference": TableKind(("response_id", "logp"), {"logp": ANY, "tokens": ANY}),
    "pairs": TableKind(
        ("pair_id", "prompt_id", "prompt", "chosen", "rejected", "chosen_id", "rejected_id"),
        PAIR_NUMBERS, ("prompt", "chosen", "rejected"), (), NO_PAIR,
    ),
    "preferences": TableKind(
        ("prompt", "chosen", "rejected"), PAIR_NUMBERS, ("prompt", "chosen", "rejected", "weight"), (), NO_PAIR,
    ),
    "estimates": TableKind(
        ("model", "metric", "split", "value", "low", "high"),
        dict.fromkeys(
            ("value", "low", "high", "prompts", "tasks", "seeds", "outliers",
             *(f"samples_{name}" for name in SAMPLE_COUNTS)), ANY
        ),
    ),
    "comparisons": TableKind(
        ("model", "metric", "baseline", "split", "difference", "low", "high", "p", "p_holm", "effect_size"),
        dict.fromkeys(
            ("difference", "low", "high", "p", "p_holm", "effect_size", "prompts", "prompts_left_out", "seeds",
             "outliers"), ANY
        ),
    ),
    "token surprise": TableKind(
        ("response_id", "prompt_id", "prompt", "place", "text", "bits"), {"place": ANY, "bits": ANY}
    ),
    "signals": TableKind(("response_id", "prompt_id"), {}, ("response_id", "prompt_id")),
    "samples": TableKind(("prompt_id", "prompt", "model", "sample", "response", "status"),
                         dict.fromkeys(("sample", *SAMPLE_USAGE), ANY)),
    "scores": TableKind(
        ("model", "task", "prompt_id", "metric", "value"), dict.fromkeys(("value", *SAMPLE_COUNTS), ANY)
    ),
    "account": TableKind(("stage", "what", "count"), {"count": ANY}),
    "warnings": TableKind(("model", "step", "kind", "message"), {"step": ANY}),
    "history": TableKind(("step", "name", "value"), {"step": ANY, "value": ANY}),
    "rater table": TableKind(("rater", "n", "mean", "discrimination", "kept", "reason"),
                             dict.fromkeys(RATER_NUMBERS, ANY)),
    "agreement": TableKind(("task", "responses", "prompts", "correlation"),
                           dict.fromkeys(("responses", "prompts", "correlation", "low", "high"), ANY)),
    "votes": TableKind(("model_a", "model_b", "winner"), {"words_a": (0, np.inf), "words_b": (0, np.inf)},
                       ("model_a", "model_b", "winner")),
    "win rates": TableKind(("dimension", "model", "against", "wins", "ties", "losses", "win_rate", "low", "high"),
                           dict.fromkeys(("wins", "ties", "losses", "win_rate", "low", "high", "words_difference",
                                          "equal_length", "equal_length_low", "equal_length_high"), ANY)),
    "strengths": TableKind(("dimension", "model", "strength", "low", "high", "votes"),
                           dict.fromkeys(("strength", "low", "high", "votes"), ANY)),
    "prompts": TableKind(("prompt_id", "prompt"), {}, ("prompt_id", "prompt"), ("prompt_id",)),
    "sft": TableKind(("prompt", "response"), {}, ("prompt", "response")),
}  # fmt: skip
