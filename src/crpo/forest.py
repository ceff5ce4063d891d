"""The kernel: a prompt is encoded once and all its responses branch off it.

A tree is a prompt with responses; a forest packs trees into rows. A row looks like

    tokens     [ prompt           | response a | response b | next prompt … ]
    positions  [ 0 1 2 3          | 4 5 6      | 4 5        | 0 1 …         ]
    branch     [ 0 0 0 0          | 1 1 1      | 2 2        | 0 0 …         ]

A response's tokens see their prompt and themselves, never another response. The hidden state of the prompt's last token
predicts the first token of every response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LAYOUTS = ("tree", "packed", "padded")


@dataclass(frozen=True)
class Tree:
    """A prompt and responses to it, as token ids; neither is empty."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Forest:
    """Trees packed into rows of equal length, ready for a model.

    Attributes
    ----------
    input_ids, position_ids, tree, branch : LongTensor (rows, length)
        Token ids; position ids; number of the token's tree, −1 for padding; 0 for prompt tokens, 1, 2, … for responses.
    source : LongTensor (t,)
        For each response token, the flat place of the token whose hidden state predicts it.
    target, owner : LongTensor (t,)
        The token id, and the number of the response it belongs to, in the order given to `plant`.
    n_responses : LongTensor ()
        How many responses there are.
    padded : LongTensor ()
        1 when every row is one prompt and one response, for models that cannot take a tree's mask.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    tree: torch.Tensor
    branch: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    owner: torch.Tensor
    n_responses: torch.Tensor
    padded: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the fields by name: what a collator hands to a trainer (`Forest(**tensors)` is the way back)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device | str) -> Forest:
        """Return the forest on another device."""
        return Forest(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


def plant(trees: Sequence[Tree], *, layout: str = "tree", tokens_per_row: int = 1024) -> Forest:
    """Pack trees into rows.

    Parameters
    ----------
    trees : sequence of Tree
        Prompts with responses; response numbers run through the trees in order.
    layout : {"tree", "packed", "padded"}
        `tree` shares prompts; `packed` repeats the prompt for every response; `padded` also gives each its own row.
        All three give the same log-probs and gradients.
    tokens_per_row : int
        Row budget. A tree that is longer is divided, its prompt repeated. `padded` rows may not exceed it either.

    Raises
    ------
    ValueError
        For an unknown layout, an empty prompt or response, and a response that does not fit a row with its prompt
        (nothing is ever cut silently): the message gives the response's number.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; choose one of {', '.join(LAYOUTS)}")
    pieces = _pieces(trees, tokens_per_row, 1 if layout != "tree" else None)
    rows = [[piece] for piece in pieces] if layout == "padded" else _first_fit(pieces, tokens_per_row)
    return _tensors(rows, layout == "padded")


@dataclass(frozen=True)
class _Piece:
    prompt: Sequence[int]
    responses: list[tuple[int, Sequence[int]]]  # response number and token ids
    length: int


def _pieces(trees: Sequence[Tree], budget: int, most: int | None) -> list[_Piece]:
    pieces: list[_Piece] = []
    number = 0
    for tree in trees:
        if not len(tree.prompt):
            raise ValueError("a prompt without tokens: nothing could predict the first token of its responses")
        responses, length = [], len(tree.prompt)
        for response in tree.responses:
            if not len(response):
                raise ValueError(f"response {number} has no tokens")
            if len(tree.prompt) + len(response) > budget:
                size = f"{len(tree.prompt)} + {len(response)} tokens"
                raise ValueError(f"response {number} with its prompt has {size}, over the row budget of {budget}")
            if length + len(response) > budget or len(responses) == most:
                pieces.append(_Piece(tree.prompt, responses, length))
                responses, length = [], len(tree.prompt)
            responses.append((number, response))
            length += len(response)
            number += 1
        if responses:
            pieces.append(_Piece(tree.prompt, responses, length))
    return pieces


def _first_fit(pieces: list[_Piece], budget: int) -> list[list[_Piece]]:
    rows: list[list[_Piece]] = []
    free: list[int] = []
    for piece in sorted(pieces, key=lambda piece: -piece.length):
        place = next((i for i, room in enumerate(free) if room >= piece.length), None)
        if place is None:
            rows.append([])
            free.append(budget)
            place = len(rows) - 1
        rows[place].append(piece)
        free[place] -= piece.length
    return rows


def _tensors(rows: list[list[_Piece]], padded: bool) -> Forest:
    length = max((sum(piece.length for piece in row) for row in rows), default=1)
    shape = (len(rows), length)
    input_ids, position_ids, branch = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    tree = torch.full(shape, -1)
    source, target, owner = [], [], []
    for r, row in enumerate(rows):
        at = 0
        for t, piece in enumerate(row):
            tree[r, at : at + piece.length] = t
            end = at + len(piece.prompt)
            input_ids[r, at:end] = torch.as_tensor(piece.prompt)
            position_ids[r, at:end] = torch.arange(len(piece.prompt))
            last, at = r * length + end - 1, end
            for b, (number, response) in enumerate(piece.responses, 1):
                end = at + len(response)
                input_ids[r, at:end] = torch.as_tensor(response)
                position_ids[r, at:end] = len(piece.prompt) + torch.arange(len(response))
                branch[r, at:end] = b
                source += [last, *range(r * length + at, r * length + end - 1)]
                target += response
                owner += [number] * len(response)
                at = end
    n = 1 + max(owner, default=-1)
    return Forest(input_ids, position_ids, tree, branch, *(torch.as_tensor(x, dtype=torch.long)
                  for x in (source, target, owner, n, int(padded))))  # fmt: skip


def attention_mask(forest: Forest, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (rows, 1, length, length): 0 where a token may look, the lowest number elsewhere.

    Padding sees the tokens before it in its row that are padding too, so that no row of the softmax is empty.
    """
    length = forest.input_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=forest.tree.device).tril()
    same_tree = forest.tree[:, :, None] == forest.tree[:, None, :]
    key = forest.branch[:, None, :]
    seen = causal & same_tree & ((key == 0) | (key == forest.branch[:, :, None]))
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def response_logps(model: nn.Module, forest: Forest, *, chunk: int = 2048) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-prob of every response given its prompt.

    Parameters
    ----------
    model : causal language model of transformers, with or without PEFT adapters
    forest : Forest
        On the model's device.
    chunk : int
        Response tokens whose logits are held at once (recomputed in the backward pass when there are more).

    Returns
    -------
    logps : Tensor (n,)
        Σ log p(token | prompt, tokens before), in nats, at least float32.
    counts : Tensor (n,)
        Tokens of each response.
    """
    token = token_logps(model, forest, chunk=chunk)
    n = int(forest.n_responses)
    logps = token.new_zeros(n).index_add(0, forest.owner, token)
    return logps, torch.bincount(forest.owner, minlength=n)


def token_logps(model: nn.Module, forest: Forest, *, chunk: int = 2048) -> torch.Tensor:
    """Return the log-prob (t,) of every response token, in nats, in the order of `forest.target`."""
    causal = _causal_model(model)
    if forest.padded:
        logits = causal(input_ids=forest.input_ids, attention_mask=(forest.tree >= 0).long(), use_cache=False).logits
        return _pick(_at_least_float32(logits.flatten(0, 1).index_select(0, forest.source)), forest.target)
    hidden = _backbone(causal)(
        input_ids=forest.input_ids,
        attention_mask=attention_mask(forest, causal.dtype),  # type: ignore[arg-type]
        position_ids=forest.position_ids,
        use_cache=False,
    ).last_hidden_state
    # index_select, because the backward pass of indexing adds up repeated places in no fixed order on several threads.
    hidden = hidden.flatten(0, 1).index_select(0, forest.source)
    head = causal.get_output_embeddings()  # type: ignore[operator]
    if len(hidden) <= chunk:
        return _head_logps(head, hidden, forest.target)
    parts = zip(hidden.split(chunk), forest.target.split(chunk), strict=True)
    return torch.cat([checkpoint(_head_logps, head, h, t, use_reentrant=False) for h, t in parts])  # type: ignore[misc]


def _causal_model(model: nn.Module) -> nn.Module:
    return model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]


def _backbone(causal: nn.Module) -> nn.Module:
    return getattr(causal, causal.base_model_prefix)  # type: ignore[arg-type]


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _head_logps(head: nn.Module, hidden: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # A bfloat16 head is off by about 0.1 nats in a log-ratio; in float32 by 0.03.
    if type(head) is nn.Linear:
        bias = None if head.bias is None else _at_least_float32(head.bias)
        return _pick(F.linear(_at_least_float32(hidden), _at_least_float32(head.weight), bias), target)
    return _pick(_at_least_float32(head(hidden)), target)


def _pick(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(logits, target, reduction="none")


@torch.no_grad()
def agreeing_layout(model: nn.Module, trees: Sequence[Tree], layout: str, tokens_per_row: int) -> tuple[str, float]:
    """Check a layout on one batch against `padded`, which any model can take, and fall back to it where they differ.

    Models with sliding windows, recurrent layers or scaled logits may not honour a tree's mask.

    Returns
    -------
    layout : str
        The one asked for, or "padded".
    difference : float
        Largest difference of a response's log-prob per token, in nats; NaN when it was not taken, because the model's
        configuration says that some layer does not look at all tokens of a row, or because the layout failed.
    """
    if layout != "padded" and _looks_through_a_window(_causal_model(model).config, tokens_per_row):
        return "padded", float("nan")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found = []
    try:
        for name in (layout, "padded"):
            forest = plant(trees, layout=name, tokens_per_row=tokens_per_row).to(device)
            logps, counts = response_logps(model, forest)
            found.append(logps / counts)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return "padded", float("nan")
    finally:
        model.train(was_training)
    difference = float((found[0] - found[1]).abs().max())
    tolerance = 1e-4 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.2
    return (layout if difference <= tolerance else "padded"), difference


def _looks_through_a_window(config: Any, tokens_per_row: int) -> bool:
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    windowed = "sliding_attention" in kinds or kinds == {"full_attention"}  # the latter: older configurations
    other = kinds - {"full_attention", "sliding_attention"}
    return bool(other) or (window is not None and windowed and window < tokens_per_row)
