"""Signs that a model has collapsed: one answer over and over, or none at all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crpo.texts import is_blank, normalise
from crpo.unspaced import is_unspaced

LEFT_OF_REFERENCE = 0.5  # a model with less than this share of its reference's diversity gets a warning
MANY = 0.2  # shares of repeated, empty and one-word answers above it do too, if over twice the reference's
REFERENCES = ("SFT", "base")  # the first that is there
SHARES = {"duplicates": "repeat an earlier answer to the same prompt", "empty": "are empty", "one_word": "are one word"}


def signs_of_collapse(
    samples: pd.DataFrame, arms: pd.DataFrame, by_seed: pd.DataFrame, bench: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Count signs of collapse, and warn of those that are clear against the model before preference optimization.

    The reference of a model is SFT of the same policy and seed, else base; models that `arms` does not name have none.
    A warning is given where diversity, or NoveltyBench's number of distinct answers, is under half of the reference's,
    and where over 20 % of the answers, and over twice the reference's share, repeat an earlier answer to the same
    prompt, are empty, or are one word. These bounds are ours; no source gives any.

    Parameters
    ----------
    samples : DataFrame
        model, seed, prompt_id, response, status. Equal answers are those that are equal normalised.
    arms : DataFrame
        model, variant, policy, seed.
    by_seed : DataFrame
        model, seed, metric, value, with the metric "diversity" where it was computed.
    bench : DataFrame, optional
        model, prompt_set, distinct. The lowest ratio over prompt sets counts; seeds of a model share it.

    Returns
    -------
    DataFrame
        One row per model and seed: model, seed, answers (status ok, not blank), duplicates, one_word (shares of these
        answers), empty (share of all samples), diversity, distinct, reference (name, or ""), reference_diversity,
        reference_distinct, warning ("" where there is none). NaN: not known.
    """
    keys = ["model", "seed"]
    table = samples.groupby(keys, sort=False)[["prompt_id", "response", "status"]].apply(_shares).reset_index()
    diversity = by_seed.loc[by_seed["metric"] == "diversity"].drop_duplicates(keys).set_index(keys)["value"]
    table["diversity"] = diversity.reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy(float)
    table["reference"] = _references(table, arms)
    table["reference_diversity"] = _of_reference(table, "diversity")
    table[["distinct", "reference_distinct"]] = [_distinct(row, bench) for row in table.to_dict("records")]
    known = {name: _of_reference(table, name) for name in SHARES}
    table["warning"] = [
        _warning(row, {name: values[i] for name, values in known.items()})
        for i, row in enumerate(table.to_dict("records"))
    ]
    return table


def _shares(own: pd.DataFrame) -> pd.Series:
    used = own[own["status"] == "ok"]
    blank = np.array([is_blank(text) for text in used["response"]], bool)
    answers = used[~blank]
    again = pd.DataFrame({"prompt": answers["prompt_id"], "text": answers["response"].map(normalise)}).duplicated()
    single = [_is_one_word(text) for text in answers["response"]]
    empty = int(blank.sum()) + int((own["status"] == "empty").sum())
    shares = (again.mean(), np.mean(single)) if len(answers) else (np.nan, np.nan)
    return pd.Series({"answers": len(answers), "duplicates": shares[0], "empty": empty / len(own),
                      "one_word": shares[1]})  # fmt: skip


def _is_one_word(text: str) -> bool:
    """Tell whether an answer is one word; in scripts without spaces, one character."""
    words = text.split()
    return len(words) < 2 and (len(words[0]) < 2 or not any(map(is_unspaced, words[0])))


def _references(table: pd.DataFrame, arms: pd.DataFrame) -> list[str]:
    policies = dict(zip(arms["model"], arms["policy"], strict=True))
    variants = {(arm["policy"], arm["variant"]): arm["model"] for arm in arms.to_dict("records")}
    there = set(table["model"])
    found = []
    for model in table["model"]:
        names = [variants.get((policies.get(model), variant), "") for variant in REFERENCES]
        found.append(next((name for name in names if name in there and name != model), "") if model in policies else "")
    # Base is where things begin: nothing stands before it.
    bases = {variants.get((policy, "base")) for policy in set(policies.values())}
    return ["" if model in bases else name for model, name in zip(table["model"], found, strict=True)]


def _of_reference(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return the reference's value for each row: of the same seed, or of all seeds where it has not this one."""
    own = {(row["model"], row["seed"]): row[column] for row in table.to_dict("records")}
    mean = table.groupby("model")[column].mean()
    keys = zip(table["reference"], table["seed"], strict=True)
    return np.array([own.get((name, seed), mean.get(name, np.nan)) for name, seed in keys], float)


def _distinct(row: dict, bench: pd.DataFrame | None) -> tuple[float, float]:
    """Return distinct of the model and its reference, on the prompt set where they differ most."""
    keys = ("model", "reference")
    if bench is None or bench.empty:
        return np.nan, np.nan
    own, other = (bench[bench["model"] == row[name]].set_index("prompt_set")["distinct"] for name in keys)
    if own.empty:
        return np.nan, np.nan
    ratio = (own / other).reindex(own.index).to_numpy(float)
    worst = int(np.nanargmin(ratio)) if np.isfinite(ratio).any() else 0
    return float(own.to_numpy()[worst]), float(other.reindex(own.index).to_numpy()[worst])


def _warning(row: dict, reference: dict[str, float]) -> str:
    told = []
    for name in ("diversity", "distinct"):
        if row[name] < LEFT_OF_REFERENCE * row[f"reference_{name}"]:
            of = "diversity" if name == "diversity" else "the number of distinct answers on NoveltyBench"
            told.append(f"{of} is {row[name]:.3g}, under half of {row['reference']}'s {row[f'reference_{name}']:.3g}")
    for name, words in SHARES.items():
        if row[name] > MANY and not row[name] <= 2 * reference[name]:
            beside = f" ({row['reference']}: {100 * reference[name]:.0f} %)" if np.isfinite(reference[name]) else ""
            told.append(f"{100 * row[name]:.0f} % of its answers {words}{beside}")
    return "; ".join(told)
