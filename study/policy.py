"""What the policy is, and how it and the settings of training were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crpo.arms import BASE, Arm, at
from crpo.tables import read_table
from wording import digits, table

HERE = Path(__file__).parent
SEARCH, SETTINGS = (HERE / "policy_search.csv", HERE / "policies.csv"), (HERE / "settings.csv",)  # the first there is
SHOWN = ("hidden_size", "layers", "heads", "vocabulary", "text_epochs", "epochs", "learning_rate", "tokens_per_step")


def choices(paths: Sequence[Path]) -> str:
    """Return a table of choices as Markdown, numbers with three significant digits; "" where no such file exists."""
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return ""
    frame = pd.read_csv(path).drop(columns="text", errors="ignore")
    written = {name: [_cell(value) for value in frame[name]] for name in frame}
    return table(pd.DataFrame(written))


def facts(folder: Path, arms: list[Arm]) -> str:
    """Return what the policy is: its settings, its weights and the last loss of its training, as a table."""
    recipe = arms[0].recipe
    base = next(arm for arm in arms if arm.variant == BASE)
    rows = [("model", recipe.policy.model if recipe.policy.model != "tiny" else "a small Llama made here")]
    if recipe.policy.model == "tiny":
        rows += [(name.replace("_", " "), _cell(getattr(recipe.policy.tiny, name))) for name in SHOWN]
    model = folder / at("base", base.origin) / "model" / "model.safetensors"
    if model.is_file():
        rows.append(("weights", digits(weights_in(model))))
    history = folder / at("base", base.origin) / "history.csv"
    if history.is_file():
        loss = read_table(history, "history").query("name == 'loss'")["value"].to_numpy(float)
        rows += [("last loss of training, nats per token", _cell(loss[-1]))] if len(loss) else []
    return table(pd.DataFrame(rows, columns=pd.Index(["policy", ""])))


def weights_in(path: Path) -> int:
    """Return how many numbers a file of weights holds, without reading them."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value.replace("|", "/")
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.1e}" if 0 < abs(number) < 0.001 else digits(number)
