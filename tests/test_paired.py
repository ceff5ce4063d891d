"""Two models on the same prompts: difference, interval, test, effect size, several seeds, many tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp, ttest_rel

from crpo.estimates import mean_over_tasks
from crpo.estimates.crossed import crossed_spread, interval, mean_over_seeds
from crpo.estimates.families import holm
from crpo.estimates.paired import effect_size, paired_difference, sign_flip_p

ONE_TASK = np.zeros(12, int)
TASKS = np.repeat(np.arange(4), 8)  # 4 tasks of 8 prompts


def gaps(n: int, seed: int = 0, shift: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, n)


def grid(prompts: float, seeds: float, both: float, generator: np.random.Generator, columns: int = 3) -> np.ndarray:
    """Return values of 32 prompts under some seeds, whose mean is zero, from effects of these standard deviations."""
    return (prompts * generator.normal(size=(32, 1)) + seeds * generator.normal(size=(1, columns))
            + both * generator.normal(size=(32, columns)))  # fmt: skip


def test_the_p_of_few_prompts_is_that_of_every_sign_pattern() -> None:
    own, tasks = gaps(9), np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    observed = np.mean([own[:6].mean(), own[6:].mean()])
    flipped = [np.mean([(own * s)[:6].mean(), (own * s)[6:].mean()]) for s in itertools.product((1, -1), repeat=9)]
    expected = np.mean(np.abs(flipped) >= abs(observed) - 1e-12)
    assert sign_flip_p(own, tasks) == pytest.approx(expected, abs=1e-12)


def test_equal_sizes_make_the_sign_flip_test_the_binomial_sign_test() -> None:
    own = np.array([1.0] * 10 + [-1.0] * 2)
    assert sign_flip_p(own, ONE_TASK) == pytest.approx(binomtest(10, 12).pvalue, abs=1e-12)


def test_many_prompts_give_about_the_p_of_students_t() -> None:
    own = gaps(60, shift=0.3)
    assert sign_flip_p(own, np.zeros(60, int)) == pytest.approx(ttest_1samp(own, 0).pvalue, abs=0.01)


def test_the_smallest_p_is_never_zero() -> None:
    assert sign_flip_p(np.linspace(5, 6, 60), np.zeros(60, int), permutations=999) == pytest.approx(2 / 1000)


def test_prompts_without_both_values_are_left_out_and_counted() -> None:
    model, baseline = gaps(12, 1)[:, None], gaps(12, 2, 0.0)[:, None]
    model[3], baseline[7] = np.nan, np.nan
    both = np.isfinite(model[:, 0]) & np.isfinite(baseline[:, 0])
    found = paired_difference(model, baseline, ONE_TASK)
    assert (found.prompts, found.prompts_left_out, found.seeds) == (10, 2, 1)
    assert found.value == pytest.approx((model - baseline)[both].mean())
    alone = mean_over_tasks((model - baseline)[:, 0], ONE_TASK)
    assert (found.low, found.high) == (alone.low, alone.high)


def test_the_effect_size_is_students_t_over_the_root_of_n() -> None:
    one, other = gaps(12, 1), gaps(12, 2)
    assert effect_size(one - other, ONE_TASK) == pytest.approx(ttest_rel(one, other).statistic / np.sqrt(12))


def test_an_effect_size_is_unknown_where_nothing_differs_between_prompts() -> None:
    assert np.isnan(effect_size(np.full(12, 0.1), ONE_TASK))
    assert np.isnan(effect_size(gaps(3), np.array([0, 0, 1])))


def test_one_prompt_in_a_task_leaves_test_and_interval_unknown() -> None:
    tasks = np.array([0, 0, 0, 1])
    for columns in (1, 3):
        found = paired_difference(np.ones((4, columns)), np.zeros((4, columns)), tasks)
        assert found.value == 1
        assert np.isnan([found.low, found.high, found.p, found.effect_size]).all()


# statsmodels 0.15.0: anova_lm(ols("value ~ C(prompt) + C(seed)")) of the table below gives the mean squares of prompts,
# seeds and residual 6.0833333, 2.6875 and 0.4375; V is (prompts + seeds − residual)/12.
ANOVA = np.array([[1, 2, 1.5], [3, 3.5, 5], [2, 2, 4.5], [4, 5, 5.5]])


def test_the_variance_over_prompts_and_seeds_is_that_of_the_two_way_analysis_of_variance() -> None:
    spread = crossed_spread(ANOVA.mean(axis=1), np.zeros(4, int), [ANOVA])
    assert spread.variance == pytest.approx((6.0833333 + 2.6875 - 0.4375) / 12, abs=1e-6)


def test_tasks_of_one_shape_share_the_variance_as_a_longer_table_would() -> None:
    twice = np.concatenate([ANOVA, ANOVA + 10])
    apart = crossed_spread(twice.mean(axis=1), np.repeat([0, 1], 4), [twice])
    # The same seeds' effects in both tasks do not average out; prompts' and the rest's do.
    assert apart.variance == pytest.approx((6.0833333 - 0.4375) / 24 + 2.6875 / 12, abs=1e-6)


def test_one_seed_is_the_interval_over_prompts_alone() -> None:
    values = gaps(32)
    assert mean_over_seeds(values[:, None], TASKS) == mean_over_tasks(values, TASKS)


def test_seeds_are_averaged_within_a_prompt_and_counted() -> None:
    values = grid(1, 1, 1, np.random.default_rng(0))
    values[0, 1:] = np.nan
    found = mean_over_seeds(values, TASKS)
    means = np.r_[values[0, 0], values[1:].mean(axis=1)]
    assert found.value == pytest.approx(np.mean([means[task == TASKS].mean() for task in range(4)]))
    assert (found.prompts, found.seeds) == (32, 3)
    assert np.isfinite([found.low, found.high]).all()


def test_a_seed_that_scored_nothing_is_no_seed() -> None:
    values = np.c_[gaps(32), np.full(32, np.nan)]
    assert mean_over_seeds(values, TASKS).seeds == 1


@pytest.mark.parametrize(
    ("prompts", "seeds", "both"), [(1, 0, 0.5), (1, 0.2, 0.5), (1, 0.5, 0.5), (0.2, 1, 0.2), (1, 0.1, 2)]
)
def test_three_seeds_of_eight_prompts_in_four_tasks_are_covered_as_often_as_said(
    prompts: float, seeds: float, both: float
) -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        values = grid(prompts, seeds, both, generator)
        spread = crossed_spread(values.mean(axis=1), TASKS, [values])
        low, high = interval(float(values.mean()), spread, 0.95)
        covered += low <= 0 <= high
    assert 0.9 <= covered / 600 <= 0.99


def test_without_seeds_as_a_level_the_interval_would_be_far_too_narrow() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = mean_over_tasks(grid(1, 0.5, 0.5, generator).mean(axis=1), TASKS, draws=200)
        covered += found.low <= 0 <= found.high
    assert covered / 200 < 0.8


def test_models_with_the_same_seeds_are_compared_seed_by_seed() -> None:
    generator = np.random.default_rng(1)
    shared = grid(1, 1, 0.0, generator)
    model, baseline = shared + 0.3 + 0.1 * generator.normal(size=(32, 3)), shared
    together = paired_difference(model, baseline, TASKS)
    apart = paired_difference(model, baseline, TASKS, same_seeds=False)
    assert together.value == pytest.approx(apart.value)
    assert together.high - together.low < 0.2 * (apart.high - apart.low)  # what seeds share has gone
    assert together.p < 0.01 < apart.p


def test_a_model_without_seeds_is_compared_with_one_that_has_them() -> None:
    generator = np.random.default_rng(1)
    model, baseline = grid(1, 0.5, 0.5, generator) + 2, grid(1, 0, 0.5, generator, columns=1)
    found = paired_difference(model, baseline, TASKS, same_seeds=False)
    gap = model.mean(axis=1) - baseline[:, 0]
    spread = crossed_spread(gap, TASKS, [model])
    assert found.value == pytest.approx(gap.mean())
    assert (found.low, found.high) == pytest.approx(interval(gap.mean(), spread, 0.95))
    back = paired_difference(baseline, model, TASKS, same_seeds=False)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-found.value, -found.high, -found.low, found.p))
    assert (found.seeds, back.seeds) == (3, 1)


def test_p_and_interval_agree_on_significance_with_several_seeds() -> None:
    generator = np.random.default_rng(0)
    verdicts = set()
    for shift in np.linspace(0, 1.5, 40):
        found = paired_difference(grid(1, 0.3, 0.5, generator) + shift, np.zeros((32, 3)), TASKS)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
        verdicts.add(found.p < 0.05)
    assert verdicts == {True, False}


def test_under_no_difference_p_is_below_five_percent_in_five_percent_of_tables() -> None:
    generator = np.random.default_rng(0)
    found = [sign_flip_p(generator.normal(size=8), np.repeat([0, 1], 4)) for _ in range(1000)]
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.065


def test_holm_gives_the_values_of_statsmodels() -> None:
    # statsmodels 0.15.0: multipletests([0.01, 0.04, 0.03, 0.005, 0.5, 0.04], method="holm")[1]
    expected = [0.05, 0.12, 0.12, 0.03, 0.5, 0.12]
    assert holm(np.array([0.01, 0.04, 0.03, 0.005, 0.5, 0.04])) == pytest.approx(expected)


def test_a_comparison_without_p_is_no_member_of_the_family() -> None:
    corrected = holm(np.array([0.02, np.nan, 0.03]))
    assert corrected[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(corrected[1])
