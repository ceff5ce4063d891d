"""The shapes of models, without loading them: from a folder, the hub's cache, or a table of known ones."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from crpo.recipe.sections import LoraSection, PolicySection

# As configurations call them, in the order of our fields; the first that is there counts.
KEYS = {
    "layers": ("num_hidden_layers", "n_layer"),
    "hidden": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
}
UNTIED = ("llama", "mistral", "mixtral")  # kinds whose configuration means "not tied" where it says nothing


@dataclass(frozen=True)
class Shape:
    """What decides how large a decoder of the Llama kind is; other kinds are counted as if they were of it.

    Attributes
    ----------
    layers, hidden, intermediate, heads, key_heads, head_size, vocabulary : int
        `key_heads` are heads of keys and values; `head_size` is the width of one.
    tied : bool
        Whether the output layer is the embedding.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    tied: bool

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Return the linear layers of a block: their inputs and outputs."""
        wide, keys = self.heads * self.head_size, self.key_heads * self.head_size
        return {
            "self_attn.q_proj": (self.hidden, wide),
            "self_attn.k_proj": (self.hidden, keys),
            "self_attn.v_proj": (self.hidden, keys),
            "self_attn.o_proj": (wide, self.hidden),
            "mlp.gate_proj": (self.hidden, self.intermediate),
            "mlp.up_proj": (self.hidden, self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """Return how many weights it has; biases and small norms inside attention are not counted."""
        blocks = self.layers * (sum(a * b for a, b in self.linears.values()) + 2 * self.hidden)
        return blocks + self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden

    @property
    def multiplied(self) -> int:
        """Return how many weights a token is multiplied by: all but the embedding, which is looked up."""
        return self.parameters - (0 if self.tied else self.vocabulary * self.hidden)

    def adapters(self, lora: LoraSection) -> int:
        """Return how many weights the adapters have: r (inputs + outputs) of every layer they stand beside."""
        sizes = [a + b for name, (a, b) in self.linears.items() if _targeted(name, lora.targets)]
        return self.layers * lora.r * sum(sizes)


def _targeted(name: str, targets: str | list[str]) -> bool:
    if isinstance(targets, list):
        return name.split(".")[-1] in targets or name in targets
    return targets == "all-linear" or bool(re.fullmatch(targets, f"model.layers.0.{name}"))


def policy_shape(policy: PolicySection) -> Shape | None:
    """Return the shape of a policy; None where nothing on this machine tells."""
    if policy.model != "tiny":
        return shape_of(policy.model)
    tiny = policy.tiny
    return Shape(
        layers=tiny.layers, hidden=tiny.hidden_size, intermediate=tiny.hidden_size * 8 // 3, heads=tiny.heads,
        key_heads=tiny.heads, head_size=tiny.hidden_size // tiny.heads, vocabulary=tiny.vocabulary, tied=True,
    )  # fmt: skip


def shape_of(model: str) -> Shape | None:
    """Return the shape of a model by its name, a folder or hub id, without any network.

    Returns
    -------
    Shape or None
        From the folder's `config.json` (of adapters: their base's), else from the hub's cache, else from the table in
        shapes.yaml; None where none of these knows the model.
    """
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return _read(folder / "config.json")
    if (folder / "adapter_config.json").is_file():
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        return shape_of(str(base))
    if (cached := _cached(model)) is not None:
        return _read(cached)
    return known_shapes().get(model)


@functools.cache
def known_shapes() -> dict[str, Shape]:
    """Return the table of known shapes, by hub id."""
    table = yaml.safe_load(resources.files("crpo.plan").joinpath("shapes.yaml").read_text(encoding="utf-8"))
    return {name: Shape(**{k: v for k, v in row.items() if k != "parameters"}) for name, row in table.items()}


def _cached(model: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json")
    except (ImportError, ValueError):  # no hub library, or no hub id
        return None
    return Path(found) if isinstance(found, str) else None


def _read(path: Path) -> Shape | None:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content = content.get("text_config", content)
    found = {name: next((content[key] for key in keys if key in content), None) for name, keys in KEYS.items()}
    if None in found.values():
        return None
    heads, hidden = int(found["heads"]), int(found["hidden"])  # type: ignore[arg-type]
    return Shape(
        layers=int(found["layers"]), hidden=hidden, intermediate=int(content.get("intermediate_size") or 4 * hidden),  # type: ignore[arg-type]
        heads=heads, key_heads=int(content.get("num_key_value_heads") or heads),
        head_size=int(content.get("head_dim") or hidden // heads), vocabulary=int(found["vocabulary"]),  # type: ignore[arg-type]
        tied=bool(content.get("tie_word_embeddings", content.get("model_type") not in UNTIED)),
    )  # fmt: skip
