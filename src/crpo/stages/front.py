"""Which models no other beats in both quality and creativity, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.estimates import mean_over_tasks
from crpo.recipe.sections import EvaluateSection

QUALITY = "quality"
CREATIVITY = ("novelty", "diversity", "surprise")


def pareto_front(section: EvaluateSection, scores: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Compare models by quality and by creativity.

    Creativity is a share of models beaten: on each prompt and for each of novelty, diversity and surprise, the share
    of the other models that have less (ties half), averaged over these metrics, then over prompts, then over tasks.
    So no metric's unit or outlier rules, and the number depends on the models compared. A model *beats* another that
    it equals or exceeds in both and exceeds in one. The *front* are the models that none beats.

    Parameters
    ----------
    section : EvaluateSection
        Bootstrap draws and their seed.
    scores : DataFrame
        model, task, prompt_id, metric, value; several seeds of a model are averaged by prompt.
    models : list of str
        Which to compare, in order.

    Returns
    -------
    DataFrame
        model, quality, quality_low, quality_high, creativity (0–1), creativity_low, creativity_high (cut at 0 and 1),
        on_front, share (of the bootstrap draws of prompts in which the model is on the front; NaN where a model has a
        single scored prompt of some task, whose spread is not known), beaten_by (names), prompts (that have both).
        Empty where there is no quality or no metric of creativity, or a single model.
    """
    found = sorted(set(CREATIVITY) & set(scores["metric"]), key=CREATIVITY.index)
    models = [model for model in models if model in set(scores["model"])]
    if QUALITY not in set(scores["metric"]) or not found or len(models) < 2:
        return pd.DataFrame()
    own = scores[scores["model"].isin(models) & scores["metric"].isin([QUALITY, *found])]
    wide = own.pivot_table(index=["task", "prompt_id"], columns=["metric", "model"], values="value", dropna=False)
    quality = _matrix(wide, QUALITY, models)
    beaten = np.stack([_share_beaten(_matrix(wide, metric, models)) for metric in found])
    creativity = beaten.mean(axis=0)
    both = np.isfinite(quality) & np.isfinite(creativity)
    quality, creativity = np.where(both, quality, np.nan), np.where(both, creativity, np.nan)
    tasks, _ = pd.factorize(wide.index.get_level_values("task"), sort=True)
    return _table(section, models, quality, creativity, tasks)


def _matrix(wide: pd.DataFrame, metric: str, models: list[str]) -> np.ndarray:
    """Values of a metric (prompts, models)."""
    return np.column_stack([wide[metric, model].to_numpy(float) for model in models])


def _share_beaten(values: np.ndarray) -> np.ndarray:
    """Share of the other scored models with a smaller value, ties half, by prompt (p, m); NaN where there is none."""
    table = pd.DataFrame(values)
    others = table.notna().sum(axis=1).to_numpy()[:, None] - 1
    return (table.rank(axis=1).to_numpy() - 1) / np.where(others > 0, others, np.nan)


def _table(
    section: EvaluateSection, models: list[str], quality: np.ndarray, creativity: np.ndarray, tasks: np.ndarray
) -> pd.DataFrame:
    ends = [_ends(section, quality, tasks), np.clip(_ends(section, creativity, tasks), 0, 1)]
    beats = _beats(ends[0][:, 0], ends[1][:, 0])
    known = np.isfinite(ends[0][:, 0])
    names = [", ".join(models[j] for j in np.flatnonzero(beats[i])) for i in range(len(models))]
    return pd.DataFrame(
        {
            "model": models,
            **dict(zip((QUALITY, f"{QUALITY}_low", f"{QUALITY}_high"), ends[0].T, strict=True)),
            **dict(zip(("creativity", "creativity_low", "creativity_high"), ends[1].T, strict=True)),
            "on_front": known & ~beats.any(axis=1),
            "share": np.where(known, _share_on_front(section, quality, creativity, tasks), np.nan),
            "beaten_by": names,
            "prompts": np.isfinite(quality).sum(axis=0),
        }
    )


def _ends(section: EvaluateSection, values: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    found = [mean_over_tasks(own, tasks, draws=section.draws, seed=section.seed) for own in values.T]
    return np.array([(one.value, one.low, one.high) for one in found])


def _beats(quality: np.ndarray, creativity: np.ndarray) -> np.ndarray:
    """Tell for (…, m) values whether model j beats model i (…, i, j); NaN neither beats nor is beaten."""
    gaps = [values[..., None, :] - values[..., :, None] for values in (quality, creativity)]
    return (gaps[0] >= 0) & (gaps[1] >= 0) & ((gaps[0] > 0) | (gaps[1] > 0))


def _share_on_front(
    section: EvaluateSection, quality: np.ndarray, creativity: np.ndarray, tasks: np.ndarray
) -> np.ndarray:
    """Share of draws of prompts, the same for all models, in which each model is beaten by none (m,)."""
    generator = np.random.Generator(np.random.PCG64(section.seed))
    places = [np.flatnonzero(tasks == task) for task in np.unique(tasks)]
    places = [own for own in places if np.isfinite(quality[own]).any()]
    if not places or any((np.isfinite(quality[own]).sum(axis=0) == 1).any() for own in places):
        return np.full(quality.shape[1], np.nan)
    drawn = [_counts(generator, len(own), section.draws) for own in places]
    means = []
    for values in (quality, creativity):
        by_task = np.stack([_drawn_means(count, values[own]) for count, own in zip(drawn, places, strict=True)])
        tasks_scored = np.isfinite(by_task).sum(axis=0)
        means.append(np.nansum(by_task, axis=0) / np.where(tasks_scored > 0, tasks_scored, np.nan))
    return (~_beats(*means).any(axis=2)).mean(axis=0)


def _counts(generator: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of n prompts is drawn (draws, n)."""
    return generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


def _drawn_means(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means of the drawn prompts (draws, m), deviations widened by √(n/(n − 1)) as in `mean_over_tasks`."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = counts @ np.where(there, values, 0) / (counts @ there)
        center = np.nanmean(np.where(there.any(axis=0), values, 0), axis=0)
    n = np.maximum(there.sum(axis=0), 2)
    return center + (means - center) * np.sqrt(n / (n - 1))
