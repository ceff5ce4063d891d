"""When a training is going wrong: rules on its log alone, so that a continued training judges as an unbroken one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HALF = 0.5  # collapse: of what the reference has
EARLY = 0.05  # off-policy: the first steps, as a share of all
FEWEST_STEPS = 20  # of a whole training: with fewer its first 5 % are no step
NEAR_ONE = 0.95  # reward accuracy there
LATER = 0.25  # share of the steps after which something must have been learned
SAME = 0.1  # share of changed samples up to which nothing has
NO_LOSS_LEFT = 0.05  # of the loss where policy and reference agree
EARLY_ACCURACY = "watch_early_accuracy"
DIVERSITIES = ("watch_diversity", "watch_distinct_2", "watch_distinct_1")  # the first one that is known
KINDS = ("collapse", "off-policy")

Log = Sequence[Mapping[str, Any]]


def raised(log: Log, steps: int, loss_at_start: float | None) -> Iterator[tuple[str, str]]:
    """Yield the kind and the message of every warning that holds at the last measurement.

    Parameters
    ----------
    log : sequence of mappings
        The trainer's log: entries with a step and numbers by name.
    steps : int
        Steps of the whole training.
    loss_at_start : float, optional
        A pair's unweighted loss while policy and reference agree; None where there are no pairs.
    """
    for kind, message in zip(KINDS, (collapse(log), off_policy(log, steps, loss_at_start)), strict=True):
        if message is not None:
            yield kind, message


def collapse(log: Log) -> str | None:
    """Return the warning of a collapse: the samples have lost more than half of their diversity.

    The diversity of the samples at the last measurement is under half of that at step 0, where the policy is still its
    own reference (of CrPO: the SFT model; of SFT: the base model): mean cosine distance of a prompt's samples where an
    embedder is there, else the share of distinct pairs of words, or of distinct words where answers have one word. Or
    under half as many samples are answers at all. Without a measurement at step 0 nothing is said.
    """
    start, now = _measurement(log, 0), _measurement(log, None)
    if start is None or now is None:
        return None
    known = [name for name in DIVERSITIES if name in start]
    both = [name for name in known if name in now]
    for measure in (*(both or known)[:1], "watch_answered"):
        # Where no sample can be measured any more there is no value: that is under half, too.
        if measure in start and not now.get(measure, float("nan")) >= HALF * start[measure]:
            found = f"{now[measure]:.3g}" if measure in now else "nothing to measure"
            return f"the samples' {_words(measure)} is {found}, the reference's was {start[measure]:.3g}"
    return None


def off_policy(log: Log, steps: int, loss_at_start: float | None) -> str | None:
    """Return the warning that the pairs teach the policy nothing: they are told apart at once, and it stays as it is.

    Preferred answers that the reference would hardly ever give cannot be learned against the pull to it: the accuracy
    goes to 1 and the loss to 0 within a few steps, and the model's outputs stay what they were (OPA-DPO, Yang et al.
    2025, arXiv 2501.09695; the pattern as reported: github.com/zhyang2226/OPA-DPO/issues/10). Told here when

    1. the reward accuracy (share of pairs with margin > 0) over the last logging window of the first 5 % of the steps
       is 0.95 or more, and
    2. at a measurement after a quarter of the steps nothing has been learned: at most a tenth of the samples differ
       from those of step 0, drawn with the same random numbers; where no samples can be drawn, the unweighted loss of
       the last window is at most 5 % of a pair's loss while policy and reference agree (dpo: ln 2).

    The bounds are ours; nobody has published any. Losses without a reference (simpo) are not judged: their accuracy
    says how the model ranked the pairs before it was trained. Nor is a training of fewer than 20 steps.
    """
    early = _measurement(log, None, EARLY_ACCURACY)
    now = log[-1]["step"] if log else 0
    if early is None or early[EARLY_ACCURACY] < NEAR_ONE or now < LATER * steps:
        return None
    told_apart = f"reward accuracy was {early[EARLY_ACCURACY]:.2f} within the first {EARLY:.0%} of the steps"
    samples, loss = _measurement(log, None, "watch_changed"), _measurement(log, None, "loss_unweighted")
    if samples is not None:
        if samples["step"] < LATER * steps or samples["watch_changed"] > SAME:
            return None
        return f"{told_apart}, but {1 - samples['watch_changed']:.0%} of the samples are still the reference's"
    if loss is not None and loss_at_start and loss["loss_unweighted"] <= NO_LOSS_LEFT * loss_at_start:
        return f"{told_apart}, and the loss is {loss['loss_unweighted']:.2g}: nothing is left to learn from"
    return None


def _measurement(log: Log, step: int | None, name: str = "watch_answered") -> Mapping[str, Any] | None:
    """Return the last entry that measured something, or the one of a step."""
    found = (entry for entry in reversed(log) if name in entry and step in (None, entry["step"]))
    return next(found, None)


def _words(measure: str) -> str:
    return {
        "watch_diversity": "diversity", "watch_distinct_2": "share of distinct pairs of words",
        "watch_distinct_1": "share of distinct words", "watch_answered": "share that is not empty",
    }[measure]  # fmt: skip
