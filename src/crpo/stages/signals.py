"""The learned rater, the creativity signals of people's answers, and the weights of the pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from crpo.components import build, with_models
from crpo.errors import InputError
from crpo.grouped import scale_powers_within, scale_within
from crpo.pairs import pair_weights
from crpo.progress import say, track
from crpo.recipe.sections import Lambdas, Over, ScoreSection, WeighSection
from crpo.signals import SIGNALS
from crpo.stages.language_note import embedder_note
from crpo.stages.population import Population, members
from crpo.stages.raw_values import prepared, raw_values
from crpo.stages.split import account
from crpo.stages.weights import gated, spread

BACKWARDS = (
    "note: the paper's novelty runs against people's scores (it rewards one-word answers); it is kept as published"
)


def score(
    section: ScoreSection, answers: pd.DataFrame, pairs: pd.DataFrame | None, models: Mapping[str, str | None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score answers with the creativity signals.

    Parameters
    ----------
    section : ScoreSection
    answers : DataFrame
        response_id, prompt_id, prompt, response.
    pairs : DataFrame or None
        With pairs, the population of a prompt is its chosen answers (`over: chosen`) or all its paired ones; other
        answers are not scored. Without, it is every answer to the prompt. Signals may have different populations.
    models : mapping
        Values for the signals' fields `embedder`, `language_model`, `quality_model` and the like.

    Returns
    -------
    signals : DataFrame
        response_id, prompt_id, and for each signal its raw value (`novelty_raw`) and the scaled one in [0, 1]
        (`novelty`), after the steps on raw values (`crpo.stages.raw_values`). Row order of `answers`; NaN is not
        scored.
    account : DataFrame
    """
    every: list[Over] = sorted({section.over_of(name) for name in section.signals})
    answers = answers[np.any([members(answers, pairs, over) for over in every], axis=0)].reset_index(drop=True)
    populations = {over: Population(answers, members(answers, pairs, over)) for over in every}
    if any((spec if isinstance(spec, str) else spec.get("use")) == "novelty" for spec in section.signals.values()):
        say(BACKWARDS)
    _warn_of_language(section, models, answers)
    table = answers[["response_id", "prompt_id"]].copy()
    counts: dict[str, float] = {"answers": len(answers)}
    with track("signals", len(section.signals)) as advance:
        for name, spec in section.signals.items():
            signal = build(with_models(spec, SIGNALS, models), SIGNALS, "signal")
            own = populations[section.over_of(name)]
            raw = raw_values(signal, name, own.answers, section)
            values, told = prepared(raw, signal, name, section, own.texts)
            scaled = _scaled(values, own.texts.codes, section.scale_of(name), name, signal)
            for column, numbers in ((f"{name}_raw", raw), (name, scaled)):
                table[column] = np.nan
                table.loc[own.rows, column] = numbers
            counts |= {f"answers without {name}": int(np.isnan(scaled).sum()), **told}
            advance(1)
    return table, account("score", counts)


def _warn_of_language(section: ScoreSection, models: Mapping[str, str | None], answers: pd.DataFrame) -> None:
    """Say once, for each embedder that a signal uses, which languages it was not made for."""
    signals = [build(with_models(spec, SIGNALS, models), SIGNALS, "signal") for spec in section.signals.values()]
    languages = answers["language"].tolist() if "language" in answers else None
    for embedder in sorted({str(signal.embedder) for signal in signals if hasattr(signal, "embedder")}):
        if note := embedder_note(embedder, answers["response"].tolist(), languages):
            say(note)


def weigh(
    section: WeighSection, lambdas: Lambdas, pairs: pd.DataFrame, signals: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weigh each pair by its answers' signals.

    Returns
    -------
    pairs : DataFrame
        The pairs with `{signal}_chosen`, `{signal}_rejected`, `weight` and, where a pair has both its answers scored,
        `contrast`: Σ λ_k (s_k(chosen) − s_k(rejected)), for the loss `margin`. A pair one of whose needed signals is
        not scored is left out: NaN may not reach the loss. `combine: none` needs both sides and weighs every pair 1. A
        pair whose chosen answer the gate finds too poor weighs 0; where no λ is above 0 the gate is open (plain DPO).
    account : DataFrame

    Raises
    ------
    InputError
        When a signal with λ > 0, or that of the gate, is missing, or no pair could be weighed.
    """
    names = [column.removesuffix("_raw") for column in signals.columns if column.endswith("_raw")]
    missing = [name for name, value in lambdas.items() if value > 0 and name not in names]
    if missing:
        raise InputError(f"signal {missing[0]!r} is not in the signals table", f"It has: {', '.join(names) or 'none'}.")
    by_id = signals.drop_duplicates("response_id").set_index("response_id")[names]
    sides = {side: by_id.reindex(pairs[f"{side}_id"]).reset_index(drop=True) for side in ("chosen", "rejected")}
    table = pd.concat([pairs.reset_index(drop=True), *(f.add_suffix(f"_{side}") for side, f in sides.items())], axis=1)
    values = {side: {name: frame[name].to_numpy(float) for name in names} for side, frame in sides.items()}
    contrast = pair_contrast(values["chosen"], values["rejected"], lambdas, len(pairs))
    weights = _weights(values, lambdas, section.combine, contrast)
    gate = section.gate if any(value > 0 for value in lambdas.values()) else None
    poor = np.zeros(len(pairs)) if gate is None else gated(gate, signals, pairs["chosen_id"])
    weights = weights * np.where(np.isfinite(poor), poor == 0, np.nan)
    weighed = np.isfinite(weights)
    if not weighed.any():
        raise InputError("no pair could be weighed: a needed signal is not scored for any of them",
                         "Score more answers per prompt, or use score.over: all.")  # fmt: skip
    table = table.drop(columns="contrast", errors="ignore")  # of an earlier weighing
    if np.isfinite(contrast).any():
        table["contrast"] = contrast
    table, weights = table[weighed].reset_index(drop=True), weights[weighed]
    if section.mean_weight is not None and weights.sum() > 0:
        weights = weights * (section.mean_weight / weights.mean())
    counts = {"pairs": len(pairs), "pairs left out because a signal is not scored": int((~weighed).sum())}
    if gate is not None:
        counts[f"pairs whose chosen answer is too poor by {gate.signal}"] = int((poor[weighed] == 1).sum())
    return table.assign(weight=weights), account("weigh", {**counts, **spread(weights)})


def pair_contrast(
    chosen: Mapping[str, np.ndarray], rejected: Mapping[str, np.ndarray], lambdas: Lambdas, size: int
) -> np.ndarray:
    """Return Σ λ_k (s_k(chosen) − s_k(rejected)) of each pair (m,), within ±Σλ.

    Positive where the chosen answer is the more creative one; NaN where a signal with λ > 0 is not scored; 0 where no λ
    is above 0.
    """
    gaps = [value * (chosen[name] - rejected[name]) for name, value in lambdas.items() if value > 0]
    return np.sum(gaps, axis=0) if gaps else np.zeros(size)


def _weights(
    values: Mapping[str, Mapping[str, np.ndarray]], lambdas: Lambdas, combine: str, contrast: np.ndarray
) -> np.ndarray:
    if combine == "none":
        return np.where(np.isfinite(contrast), 1.0, np.nan)
    if not any(value > 0 for value in lambdas.values()):
        return np.ones(len(contrast))
    return pair_weights(values["chosen"], values["rejected"], lambdas, combine=combine)


def _scaled(raw: np.ndarray, codes: np.ndarray, how: str, name: str, signal: object) -> np.ndarray:
    scale = scale_powers_within if getattr(signal, "raw_is_exponent", False) else scale_within
    try:
        return scale(raw, codes, how)
    except ValueError as error:
        raise InputError(f"signal {name!r}: {error}", f"Scale it otherwise: score.scale: {{{name}: rank}}.") from error
