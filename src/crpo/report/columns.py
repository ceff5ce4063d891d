"""The columns of the tables that a report shows."""

from __future__ import annotations

COLUMNS: dict[str, tuple[str, ...]] = {
    "versions": ("name", "version"),
    "estimates": (
        *("model", "metric", "split", "value", "low", "high"),
        *("prompts", "tasks", "samples_used", "samples_left_out"),
    ),
    "metrics": ("metric", "meaning", "unit", "in_training"),
    "samples": ("prompt_id", "task", "item", "prompt", "model", "sample", "response", "status"),
    "weights": ("variant", "pair_id", "weight"),
    "signal_account": (
        *("variant", "pairs", "zero_share", "effective_sample_size"),
        *("mean_weight", "median_weight", "unscored"),
    ),
    "training": ("model", "stage", "step", "name", "value"),
    "raters": ("rater", "n", "mean", "discrimination", "kept", "reason"),
    "quality_rater": ("task", "responses", "prompts", "correlation", "low", "high"),
    "account": ("stage", "what", "count"),
    "token_surprise": ("response_id", "prompt", "place", "text", "bits"),
    "arms": ("model", "variant", "lambda", "policy", "seed"),
    "by_seed": ("model", "seed", "metric", "value"),
    "by_task": ("model", "metric", "task", "value", "low", "high", "prompts"),
    "comparisons": (
        *("model", "metric", "baseline", "split", "difference", "low", "high"),
        *("p", "p_holm", "effect_size", "prompts", "seeds", "trained_on"),
    ),
    "front": (
        *("model", "quality", "quality_low", "quality_high", "creativity", "creativity_low", "creativity_high"),
        *("on_front", "share", "beaten_by", "prompts"),
    ),
    "bench": (
        *("model", "prompt_set", "distinct", "distinct_low", "distinct_high"),
        *("utility", "utility_low", "utility_high", "prompts", "judge", "quality_model"),
    ),
    "win_rates": ("dimension", "model", "against", "wins", "ties", "losses", "win_rate", "low", "high"),
    "collapse": (
        *("model", "seed", "answers", "duplicates", "empty", "one_word"),
        *("diversity", "distinct", "reference", "reference_diversity", "reference_distinct", "warning"),
    ),
    "watched": ("model", "seed", "step", "kind", "message"),
    "provenance": ("what", "name", "value"),
}

# Columns that a table may have besides; NaN where it does not.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "estimates": ("seeds", "outliers", "selected_on"),
    "metrics": ("kind", "higher_is", "population"),
    "training": ("seed",),
    "comparisons": ("selected_on",),
    "bench": ("seeds", "calibrated"),
    "win_rates": ("tie_rule",),
}
