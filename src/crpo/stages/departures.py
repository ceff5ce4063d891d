"""Which definitions are on: the paper's, or which others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crpo.arms import policies_of
from crpo.recipe import Recipe

# What the paper and its code do, where a setting can be otherwise (docs/deviations-from-the-paper.md has the sources
# and the deviations that no setting undoes).
PAPER = {
    "data.merge_duplicates": False,
    "pair.min_score": 20.0,
    "pair.min_gap": 5.0,
    "pair.max_uses": 10,
    "pair.max_per_prompt": None,
    "pair.max_theta_se": None,
    "pair.certainty": None,
    "pair.balance_lengths": "none",
    "pair.order": "table",
    "pair.sft_min_score": 30.0,
    "score.signals": {name: name for name in ("novelty", "diversity", "surprise", "quality")},
    "score.over": "chosen",
    "score.scale": "minmax",
    "score.one_word": "paper",
    "score.length_adjusted": False,
    "weigh.combine": "sum",
    "weigh.gate": None,
    "weigh.mean_weight": None,
    "train.beta": 0.1,
    "train.loss": "dpo",
    "train.label_smoothing": 0.0,
    "train.per_token": False,
    "train.pairs_per_prompt": 1,
}


# How the paper trained, sampled and measured: no definitions, but numbers differ where these do. Sources: the official
# code (configs, experiments/configs, experiments/evaluation/inference_lm.sh), and the paper.
PAPER_SETTINGS = {
    "sft.epochs": 1.0,
    "sft.learning_rate": 3e-5,
    "sft.scheduler": "cosine",
    "sft.warmup_ratio": 0.5,
    "sft.responses_per_step": 16,  # 2 a device, 4 steps together, 2 devices
    "sft.responses_per_prompt": 1,
    "train.epochs": 1.0,
    "train.learning_rate": 5e-6,
    "train.scheduler": "linear",
    "train.warmup_ratio": 0.0,
    "train.pairs_per_step": 128,  # 8 a device, 8 steps together, 2 devices
    "models.embedder": "jinaai/jina-embeddings-v3",
    "models.surprise": "google/gemma-2-27b-it",
    "models.quality": "Skywork/Skywork-Reward-Gemma-2-27B-v0.2",
    "generate.grid": [
        {"temperature": 0.7, "top_p": 0.95, "top_k": 0, "samples": 4},
        {"temperature": 0.9, "top_p": 0.99, "top_k": 0, "samples": 4},
        {"temperature": 0.7, "top_p": 1.0, "top_k": 50, "samples": 4},
        {"temperature": 0.8, "top_p": 0.97, "top_k": 0, "samples": 4},
    ],
    "generate.max_new_tokens": 1024,
}
PAPER_POLICIES = ("meta-llama/Llama-3.1-8B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3")
PAPER_POLICY = {"dtype": "float16", "lora.r": 128, "lora.alpha": 256.0, "lora.targets": ["q_proj", "v_proj"]}


def departures(recipe: Recipe) -> dict[str, object]:
    """Return the settings that define something otherwise than the paper does, with their values."""
    return _differing(recipe, PAPER)


def differences(recipe: Recipe) -> dict[str, tuple[object, object]]:
    """Return every setting that differs from the paper's, definitions or not: what it is here, and there.

    Of several policies each is looked at; "none" stands for a setting that is not there.
    """
    paper = {**PAPER, **PAPER_SETTINGS}
    found = {key: (value, paper[key.partition(" of ")[0]]) for key, value in _differing(recipe, paper).items()}
    for name, policy in policies_of(recipe).items():
        where = f"study.policies.{name}" if name else "policy"
        if policy.model not in PAPER_POLICIES:
            found[f"{where}.model"] = (policy.model, " or ".join(PAPER_POLICIES))
        settings = policy.model_dump(mode="json")
        flat = {**settings, **{f"lora.{key}": value for key, value in (settings["lora"] or {}).items()}}
        for key, there in PAPER_POLICY.items():
            if (here := flat.get(key, "none")) != there:
                found[f"{where}.{key}"] = (here, there)
    return found


def _differing(recipe: Recipe, paper: Mapping[str, object]) -> dict[str, object]:
    here = _named(recipe, paper)
    found = {key: value for key, value in here.items() if value != paper[key]}
    for variant in recipe.study.changes:
        own = _named(recipe.of_variant(variant), paper)
        found |= {f"{key} of {variant}": value for key, value in own.items() if value not in (here[key], paper[key])}
    return found


def _named(recipe: Recipe, keys: Iterable[str]) -> dict[str, object]:
    settings = recipe.model_dump(mode="json")
    return {key: settings[section][name] for key in keys for section, name in [key.split(".")]}


def definitions(recipe: Recipe) -> str:
    """Return in words which definitions a recipe uses."""
    differing = ", ".join(f"{key}: {value}" for key, value in departures(recipe).items())
    return f"the paper's definitions except {differing}" if differing else "the paper's definitions"
