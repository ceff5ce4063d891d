"""The pair loss against a derivation by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crpo.losses import LOSSES, pair_loss

# Three pairs, log-probs in nats. With β = 0.5 the margins β((c − rc) − (r − rr)) are
#   0.5·((−10 + 11) − (−12 + 12)) =  0.5
#   0.5·((−20 + 18) − (−9 + 10))  = −1.5
#   0.5·((−7 + 7) − (−8 + 8))     =  0
# and −log σ(m) = log(1 + e^−m), so ℓ = log(1 + e^−0.5), log(1 + e^1.5), log 2.
CHOSEN, REJECTED = torch.tensor([-10.0, -20, -7]).double(), torch.tensor([-12.0, -9, -8]).double()
REF_CHOSEN, REF_REJECTED = torch.tensor([-11.0, -18, -7]).double(), torch.tensor([-12.0, -10, -8]).double()
WEIGHTS = torch.tensor([1.0, 0.5, 0.0]).double()


def loss_of(**settings: Any) -> list[float]:
    return pair_loss(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, WEIGHTS, beta=0.5, **settings).loss.tolist()


def test_the_weighted_dpo_loss_of_three_pairs_equals_the_derivation_by_hand() -> None:
    by_hand = [1.0 * math.log1p(math.exp(-0.5)), 0.5 * math.log1p(math.exp(1.5)), 0.0]
    assert loss_of() == pytest.approx(by_hand, abs=1e-12)


def test_margins_and_unweighted_losses_do_not_depend_on_the_weights() -> None:
    found = pair_loss(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, WEIGHTS, beta=0.5)
    assert found.margin.tolist() == pytest.approx([0.5, -1.5, 0.0])
    assert found.unweighted[2].item() == pytest.approx(math.log(2))


def test_label_smoothing_mixes_in_the_flipped_pair() -> None:
    straight, flipped = math.log1p(math.exp(-0.5)), math.log1p(math.exp(0.5))
    assert loss_of(label_smoothing=0.1)[0] == pytest.approx(0.9 * straight + 0.1 * flipped)


def test_ipo_and_hinge_equal_their_formulas() -> None:
    assert loss_of(loss="ipo") == pytest.approx([(1 - 1) ** 2, 0.5 * (-3 - 1) ** 2, 0.0])
    assert loss_of(loss="hinge") == pytest.approx([0.5, 0.5 * 2.5, 0.0])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_multiplied_by_the_weight(loss: str) -> None:
    once = torch.tensor(loss_of(loss=loss))
    twice = pair_loss(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, 2 * WEIGHTS, beta=0.5, loss=loss).loss
    assert torch.allclose(twice, 2 * once.double())


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="dpo, ipo, hinge"):
        loss_of(loss="dpoo")
