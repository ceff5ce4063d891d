"""Preference losses: one value per pair, times the pair's weight. CrPO is DPO with a weight per pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class PairLoss:
    """The loss of a batch of pairs, unreduced.

    Attributes
    ----------
    loss : Tensor (b,)
        Weight times the pair's loss.
    unweighted : Tensor (b,)
        The pair's loss, detached: comparable between weightings.
    margin : Tensor (b,)
        β(Δ_chosen − Δ_rejected), detached, in nats; the pair is ordered rightly where it is positive.
    """

    loss: torch.Tensor
    unweighted: torch.Tensor
    margin: torch.Tensor


def _dpo(logits: torch.Tensor, beta: float, smoothing: float) -> torch.Tensor:
    # Rafailov et al. 2023, eq. 7; smoothing is the share of flipped preferences of conservative DPO.
    return -(1 - smoothing) * F.logsigmoid(beta * logits) - smoothing * F.logsigmoid(-beta * logits)


def _ipo(logits: torch.Tensor, beta: float, smoothing: float) -> torch.Tensor:
    # Azar et al. 2023, eq. 17, on summed log-probs; β is their τ.
    return (logits - 1 / (2 * beta)) ** 2


def _hinge(logits: torch.Tensor, beta: float, smoothing: float) -> torch.Tensor:
    # SLiC (Zhao et al. 2023) on the log-ratio margin.
    return torch.relu(1 - beta * logits)


LOSSES = {"dpo": _dpo, "ipo": _ipo, "hinge": _hinge}


def pair_loss(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    ref_chosen: torch.Tensor,
    ref_rejected: torch.Tensor,
    weights: torch.Tensor,
    *,
    loss: str = "dpo",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> PairLoss:
    """Return weight · pair loss for each pair.

    L_i = w_i · ℓ(Δ_chosen − Δ_rejected), with Δ = log π(y|x) − log π_ref(y|x); for `dpo`,
    ℓ = −log σ(β(Δ_chosen − Δ_rejected)) (CrPO, arXiv 2505.14442).

    Parameters
    ----------
    chosen, rejected : Tensor (b,)
        Policy log-probs of the answers, summed over their tokens, in nats.
    ref_chosen, ref_rejected : Tensor (b,)
        The same under the reference model.
    weights : Tensor (b,)
        Weight ≥ 0 of each pair. The official code weighs only its `crpo` loss; here every loss is weighed.
    loss : {"dpo", "ipo", "hinge"}
        Pair loss.
    beta : float
        Strength of the pull to the reference.
    label_smoothing : float
        For `dpo`: assumed share of flipped preferences, in [0, 0.5).

    Raises
    ------
    ValueError
        For an unknown `loss`, or label smoothing where the loss has none.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}; choose one of {', '.join(LOSSES)}")
    if label_smoothing and loss != "dpo":
        raise ValueError(f"label smoothing is defined for dpo, not for {loss}")
    logits = (chosen - ref_chosen) - (rejected - ref_rejected)
    unweighted = LOSSES[loss](logits, beta, label_smoothing)
    return PairLoss(weights * unweighted, unweighted.detach(), beta * logits.detach())
