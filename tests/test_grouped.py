"""Scaling within prompts, and distances, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from crpo.distances import mean_distance_to_others, mean_pairwise_distance
from crpo.grouped import SCALINGS, group_codes, scale_within

GENERATOR = np.random.default_rng(0)


def test_minmax_equals_the_papers_formula_within_each_prompt() -> None:
    values, codes = GENERATOR.normal(size=40), GENERATOR.integers(5, size=40)
    found = scale_within(values, codes)
    for code in range(5):
        own = values[codes == code]
        assert found[codes == code] == pytest.approx((own - own.min()) / (own.max() - own.min()))


@pytest.mark.parametrize("how", SCALINGS)
def test_every_scaling_lies_in_0_to_1_keeps_order_and_passes_nan_through(how: str) -> None:
    values, codes = GENERATOR.lognormal(size=60), np.repeat([0, 1, 2], 20)
    values[5] = np.nan
    found = scale_within(values, codes, how)
    assert np.isnan(found[5])
    assert np.nanmin(found) == 0
    assert np.nanmax(found) == 1
    for code in range(3):
        own = (codes == code) & np.isfinite(values)
        assert (np.argsort(values[own]) == np.argsort(found[own])).all()


@pytest.mark.parametrize("how", SCALINGS)
def test_equal_values_get_one_half_even_with_float_noise(how: str) -> None:
    assert (scale_within(np.array([0.3, 0.1 + 0.2, 0.3 + 1e-9]), np.zeros(3, int), how) == 0.5).all()


@pytest.mark.parametrize("how", SCALINGS)
def test_a_prompt_with_one_scored_answer_is_not_scored(how: str) -> None:
    assert np.isnan(scale_within(np.array([1.0, np.nan, 2.0, 3.0]), np.array([0, 0, 1, 1]), how)[:2]).all()


def test_ties_share_their_mean_rank() -> None:
    assert scale_within(np.array([1.0, 2, 2, 3]), np.zeros(4, int), "rank").tolist() == [0, 0.5, 0.5, 1]


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match="minmax, log_minmax, rank"):
        scale_within(np.ones(2), np.zeros(2, int), "maxmin")


def test_groups_are_numbered_in_sorted_order() -> None:
    codes, names = group_codes(["b", "a", "b"])
    assert codes.tolist() == [1, 0, 1]
    assert names.tolist() == ["a", "b"]


def test_closed_form_distances_equal_double_loops() -> None:
    vectors = GENERATOR.normal(size=(7, 4))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - units @ units.T
    others = [np.mean([distance[i, j] for j in range(7) if j != i]) for i in range(7)]
    pairs = np.mean([distance[i, j] for i in range(7) for j in range(i)])
    assert mean_distance_to_others(vectors) == pytest.approx(others)
    assert mean_pairwise_distance(vectors) == pytest.approx(pairs)
    assert np.isnan(mean_distance_to_others(vectors[:1])).all()
    assert mean_pairwise_distance(vectors[:1]) == 0
