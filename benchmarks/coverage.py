"""How often intervals of nominally 95 % hold the truth, and tests at 5 % find a difference that is not there.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py
    OMP_NUM_THREADS=1 python benchmarks/coverage.py --times 200

Everything is simulated, so the truth is known: effects of prompts, of seeds, and of both together (normal, with the
standard deviations shown), votes with effects of prompts and raters on the log-odds. Beside ours stands what is usually
done: for several seeds an interval over prompts of their mean, for votes Wilson's interval as if they were independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest

from crpo.estimates import mean_over_tasks
from crpo.estimates.crossed import crossed_spread, interval, mean_over_seeds
from crpo.estimates.paired import paired_difference, sign_flip_p
from crpo.estimates.strengths import bradley_terry
from crpo.estimates.votes import Votes
from crpo.estimates.win_rates import win_rate, win_rate_at_equal_length

DRAWS = 400  # of bootstrap, in each of the simulated tables


def seeds(times: int) -> None:
    """Means and differences over 4 tasks of 8 prompts."""
    print("\n| seeds | SD of prompts, seeds, both | mean: ours | mean: over prompts alone | difference | p < 0.05 |")
    print("|---|---|---|---|---|---|")
    tasks = np.repeat(np.arange(4), 8)
    for count in (1, 2, 3, 5):
        for effects in ((1, 0, 0.5), (1, 0.2, 0.5), (1, 0.5, 0.5), (0.2, 1, 0.2)):
            generator = np.random.default_rng(0)
            hits = np.zeros(4)
            for seed in range(times):
                one, other = (_grid(generator, count, *effects) for _ in range(2))
                ours = mean_over_seeds(one, tasks, draws=DRAWS, seed=seed)
                alone = mean_over_tasks(one.mean(axis=1), tasks, draws=DRAWS, seed=seed)
                gap = paired_difference(one, other, tasks, draws=DRAWS, permutations=999, seed=seed)
                hits += [_holds(ours, 0), _holds(alone, 0), _holds(gap, 0), gap.p < 0.05]
            shares = " | ".join(f"{100 * share:.1f} %" for share in hits / times)
            print(f"| {count} | {', '.join(f'{effect:g}' for effect in effects)} | {shares} |", flush=True)


def few_prompts(times: int) -> None:
    """The test and the interval with one seed and few prompts a task."""
    print("\n| prompts by task | interval over prompts | t interval by formula | sign-flip p < 0.05 |")
    print("|---|---|---|---|")
    for sizes in ((3, 3), (4, 4), (8, 8), (2, 2, 2, 2), (10, 10, 10, 10), (2, 2, 2, 13)):
        tasks = np.repeat(np.arange(len(sizes)), sizes)
        generator = np.random.default_rng(0)
        hits = np.zeros(3)
        for seed in range(times):
            values = generator.normal(size=len(tasks))
            found = mean_over_tasks(values, tasks, draws=DRAWS, seed=seed)
            low, high = interval(found.value, crossed_spread(values, tasks, []), 0.95)
            p = sign_flip_p(values, tasks, permutations=999, seed=seed)
            hits += [_holds(found, 0), low <= 0 <= high, p < 0.05]
        print(
            f"| {', '.join(map(str, sizes))} | " + " | ".join(f"{100 * s:.1f} %" for s in hits / times) + " |",
            flush=True,
        )


def votes(times: int) -> None:
    """Win rates, strengths and rates at equal length over prompts and raters."""
    print("\n| prompts × raters | SD of both (log-odds) | win rate | as if independent | at equal length | strength |")
    print("|---|---|---|---|---|---|")
    for prompts, raters, by_prompt, by_rater in ((20, 1, 0, 0), (4, 10, 0, 0), (4, 10, 0.7, 0.7), (8, 5, 0.5, 0.5),
                                                 (4, 30, 0.7, 0.3), (16, 12, 0.5, 0.5)):  # fmt: skip
        generator = np.random.default_rng(0)
        many = np.hypot(by_prompt, by_rater) * np.random.default_rng(1).normal(size=500_000)
        truth, gap = expit(0.8 + many).mean(), _log_odds(expit(0.8 + many).mean())
        hits = np.zeros(4)
        for seed in range(times):
            own = _votes(generator, prompts, raters, by_prompt, by_rater)
            wins = int(own.outcome.sum())
            wilson = binomtest(wins, len(own)).proportion_ci(method="wilson")
            strength = bradley_terry(own, ties="drop", draws=DRAWS, seed=seed)
            hits += [
                _holds(win_rate(own, ties="drop", draws=DRAWS, seed=seed), truth), wilson.low <= truth <= wilson.high,
                _holds(win_rate_at_equal_length(own, ties="drop", draws=DRAWS, seed=seed), truth),
                strength.low[0] <= gap / 2 <= strength.high[0],
            ]  # fmt: skip
        shares = " | ".join(f"{100 * share:.1f} %" for share in hits / times)
        print(f"| {prompts} × {raters} | {by_prompt:g}, {by_rater:g} | {shares} |", flush=True)


def _grid(generator: np.random.Generator, count: int, by_prompt: float, by_seed: float, both: float) -> np.ndarray:
    return (by_prompt * generator.normal(size=(32, 1)) + by_seed * generator.normal(size=(1, count))
            + both * generator.normal(size=(32, count)))  # fmt: skip


def _votes(generator: np.random.Generator, prompts: int, raters: int, by_prompt: float, by_rater: float) -> Votes:
    prompt, rater = np.repeat(np.arange(prompts), raters), np.tile(np.arange(raters), prompts)
    odds = 0.8 + by_prompt * generator.normal(size=prompts)[prompt] + by_rater * generator.normal(size=raters)[rater]
    outcome = (generator.random(len(odds)) < expit(odds)).astype(float)
    zeros = np.zeros(len(odds), int)
    longer = generator.normal(0, 10, len(odds)).round()  # which tells nothing here
    return Votes(("x", "y"), zeros, zeros + 1, outcome, prompt, rater, longer)


def _holds(found: object, truth: float) -> bool:
    return found.low <= truth <= found.high  # type: ignore[attr-defined]


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000, help="simulated tables for each row")
    times = parser.parse_args().times
    part: Callable[[int], None]
    for part in (seeds, few_prompts, votes):
        part(times)


if __name__ == "__main__":
    main()
