"""The kernel against scoring every response by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crpo.forest import LAYOUTS, Tree, agreeing_layout, plant, response_logps

GENERATOR = torch.Generator().manual_seed(1)


def some_tokens(n: int) -> list[int]:
    return torch.randint(3, 250, (n,), generator=GENERATOR).tolist()


TREES = [
    Tree(some_tokens(5), [some_tokens(3), some_tokens(1), some_tokens(7)]),
    Tree(some_tokens(2), [some_tokens(4)]),
    Tree(some_tokens(9), [some_tokens(2), some_tokens(2), some_tokens(6), some_tokens(5)]),
]


def one_by_one(model: Any) -> torch.Tensor:
    sums = []
    for tree in TREES:
        for response in tree.responses:
            ids = torch.tensor([[*tree.prompt, *response]])
            logps = model(ids).logits.log_softmax(-1)[0, len(tree.prompt) - 1 : -1]
            sums.append(logps[torch.arange(len(response)), torch.tensor(response)].sum())
    return torch.stack(sums)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen"])
def test_log_probs_and_gradients_equal_one_by_one_scoring(tiny: Any, kind: str, layout: str) -> None:
    model, _ = tiny(kind)
    expected = one_by_one(model)
    weights = torch.randn(len(expected), dtype=torch.float64, generator=GENERATOR)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    forest = plant(TREES, layout=layout, tokens_per_row=24)
    found, counts = response_logps(model, forest, chunk=8)
    gradients = torch.autograd.grad((found * weights).sum(), list(model.parameters()))
    assert counts.tolist() == [3, 1, 7, 4, 2, 2, 6, 5]
    assert torch.allclose(found, expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm() + 1e-12


@pytest.mark.parametrize("budget", [14, 16, 24, 200])
def test_the_row_budget_changes_no_value(tiny: Any, budget: int) -> None:
    model, _ = tiny()
    forest = plant(TREES, tokens_per_row=budget + 1)
    assert forest.input_ids.shape[1] <= budget + 1
    assert torch.allclose(response_logps(model, forest)[0], one_by_one(model), rtol=1e-9)


def test_a_tree_holds_fewer_tokens_than_packed_rows() -> None:
    sizes = {layout: int((plant(TREES, layout=layout).tree >= 0).sum()) for layout in LAYOUTS}
    assert sizes["tree"] == sum(len(t.prompt) + sum(map(len, t.responses)) for t in TREES)
    assert sizes["tree"] < sizes["packed"] == sizes["padded"]


def test_a_response_too_long_for_a_row_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="response 2 with its prompt has 5 \\+ 7 tokens, over the row budget of 11"):
        plant(TREES, tokens_per_row=11)


def test_a_response_or_prompt_without_tokens_is_an_error() -> None:
    with pytest.raises(ValueError, match="response 1 has no tokens"):
        plant([Tree([1], [[2], []])])
    with pytest.raises(ValueError, match="prompt without tokens"):
        plant([Tree([], [[2]])])


def test_a_model_with_a_sliding_window_falls_back_to_padded(tiny: Any) -> None:
    model, _ = tiny("sliding")
    layout, _ = agreeing_layout(model, TREES, "tree", 24)
    assert layout == "padded"
    tree, _ = response_logps(model, plant(TREES, tokens_per_row=24))
    assert (tree - one_by_one(model)).abs().max() > 1e-3  # the tree would have been wrong
    forest = plant(TREES, layout=layout, tokens_per_row=24)
    assert torch.allclose(response_logps(model, forest)[0], one_by_one(model), rtol=1e-9)


def test_a_layout_that_disagrees_in_numbers_falls_back_to_padded(tiny: Any) -> None:
    model, _ = tiny()
    scaled = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = scaled(*args, **kwargs)
        output.logits = output.logits * 0.5  # as models do that scale their logits after the head
        return output

    model.forward = forward
    layout, difference = agreeing_layout(model, TREES, "tree", 24)
    assert layout == "padded"
    assert difference > 1e-3


def test_a_model_without_one_keeps_the_tree(tiny: Any) -> None:
    assert agreeing_layout(tiny("qwen")[0], TREES, "tree", 24)[0] == "tree"
