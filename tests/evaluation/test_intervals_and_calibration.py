"""Bootstrap intervals and calibration error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amir_verl.evaluation import bootstrap_interval, calibration_error, paired_gain


def test_interval_matches_the_normal_approximation_of_a_mean():
    values = np.random.default_rng(1).normal(0.3, 1.0, size=2_000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(values.size)
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(rng.random(40) < 0.4, draws=500, seed=trial)
        hits += low <= 0.4 <= high
    assert 0.89 <= hits / 300 <= 0.99


def test_interval_is_seeded_and_widens_with_its_level():
    values = np.arange(30) % 3
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] <= values.mean() <= narrow[1] < wide[1]


def test_equal_values_have_an_interval_of_no_width_and_one_value_has_none():
    assert bootstrap_interval(np.full(7, 0.25)) == pytest.approx((0.25, 0.25))
    assert np.isnan(bootstrap_interval([0.5])).all()


@pytest.mark.parametrize(
    ("values", "level"), [([0.1, np.nan], 0.95), ([[0.1], [0.2]], 0.95), ([0.1, 0.2], 1.0)]
)
def test_interval_refuses(values, level):
    with pytest.raises(ValueError, match=r"finite|level"):
        bootstrap_interval(values, level=level)


def test_paired_gain_is_tighter_than_the_two_runs_apart():
    hard = np.random.default_rng(2).random(200)
    gain = paired_gain(hard, hard + 0.05)
    assert gain.verdict == "higher"
    assert gain.high - gain.low < 1e-9
    assert gain.mean == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1.0] * 30, [0.0] * 30, "lower"),
        ([0.0, 1.0] * 15, [1.0, 0.0] * 15, "not distinguishable"),
        ([0.5] * 30, [0.5] * 30, "not distinguishable"),
        ([0.0] * 19, [1.0] * 19, "too few problems"),
        ([0.0], [1.0], "too few problems"),
    ],
)
def test_verdicts(before, after, verdict):
    assert paired_gain(before, after).verdict == verdict


def test_paired_gain_refuses_different_problems():
    with pytest.raises(ValueError, match="same problems"):
        paired_gain([0.1, 0.2], [0.1])


def test_calibration_of_a_hand_worked_case():
    # bins of 0.5: low holds 0.2 (wrong) and 0.4 (right), high holds 1.0 (right) and 0.8 (wrong)
    result = calibration_error([0.2, 0.4, 1.0, 0.8], [0, 1, 1, 0], bins=2)
    assert result.ece == pytest.approx((2 * abs(0.5 - 0.3) + 2 * abs(0.5 - 0.9)) / 4)
    assert result.brier == pytest.approx((0.04 + 0.36 + 0.0 + 0.64) / 4)
    assert result.count.tolist() == [2, 2]


def test_empty_bins_are_blank_and_the_last_bin_holds_one():
    result = calibration_error([1.0, 0.05], [1, 0], bins=10)
    assert result.count.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert np.isnan(result.accuracy[1:-1]).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=50))
def test_ece_with_one_bin_is_the_gap_of_the_means_and_never_above_more_bins(pairs):
    confidence, correct = np.array(pairs).T
    one = calibration_error(confidence, correct, bins=1).ece
    assert one == pytest.approx(abs(confidence.mean() - correct.mean()), abs=1e-12)
    assert one <= calibration_error(confidence, correct, bins=10).ece + 1e-12 <= 1 + 2e-12


@pytest.mark.parametrize(
    ("confidence", "correct", "bins"), [([1.2], [1], 10), ([0.5], [0.5], 10), ([], [], 10), ([0.5], [1], 0)]
)
def test_calibration_refuses(confidence, correct, bins):
    with pytest.raises(ValueError, match=r"confidence|correct|bins"):
        calibration_error(confidence, correct, bins=bins)
