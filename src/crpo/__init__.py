"""Creative Preference Optimization: people's ratings in, measurably more creative language models out."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded when first asked for: importing the package must need neither torch nor time.
_PUBLIC = {
    "CrPOConfig": "crpo.training",
    "CrPOTrainer": "crpo.training",
    "SftConfig": "crpo.training",
    "SftTrainer": "crpo.training",
    "Watch": "crpo.watching",
    "WatchSection": "crpo.recipe.sections",
    "check_metric": "crpo.contracts",
    "check_signal": "crpo.contracts",
    "fit_irt": "crpo.irt",
    "pair_up": "crpo.pairs",
    "pair_weights": "crpo.pairs",
    "read_recipe": "crpo.recipe",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'crpo' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
