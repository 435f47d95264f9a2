"""pass@k and maj@k against counting by hand, and against each other."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amir_verl.evaluation import majority_at_k, pass_at_k


@pytest.mark.parametrize(
    ("num_samples", "num_correct", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (8, 4, 1, 0.5),
        (8, 1, 8, 1.0),
        (8, 0, 8, 0.0),
        (4, 1, 2, 0.5),  # 3 of the 6 pairs hold the right one
        (5, 2, 3, 0.9),  # 1 of the 10 triples is all wrong
        (10, 3, 5, 1 - 21 / 252),
    ],
)
def test_pass_at_k_of_hand_counted_cases(num_samples, num_correct, k, expected):
    rate = pass_at_k(num_samples, num_correct, k)
    assert isinstance(rate, float)
    assert rate == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_binomial_formula(case):
    n, c, k = case
    assert pass_at_k(n, c, k) == pytest.approx(1 - comb(n - c, k) / comb(n, k), abs=1e-12)


def test_pass_at_k_stays_finite_where_binomials_overflow():
    assert pass_at_k(200_000, 1, 1_000) == pytest.approx(1_000 / 200_000, rel=1e-9)


def test_pass_at_k_takes_arrays_and_broadcasts():
    rates = pass_at_k(np.array([8, 4]), np.array([1, 1]), 4)
    assert rates.tolist() == [0.5, 1.0]
    assert pass_at_k(4, np.array([[0, 1], [2, 4]]), 1).tolist() == [[0.0, 0.25], [0.5, 1.0]]


@pytest.mark.parametrize(
    ("num_samples", "num_correct", "k", "message"),
    [
        (4, 2, 5, "pass@5 needs at least 5 samples"),
        ([8, 3], [1, 1], 4, "one has 3"),
        (4, 5, 1, "num_correct exceeds num_samples: 5 of 4"),
        (4, -1, 1, "num_correct must not be negative"),
        (4, 1.5, 1, "num_correct must hold whole numbers"),
        (4, 1, 0, "k must be a whole number"),
        (0, 0, 1, "pass@1 needs at least 1"),
    ],
)
def test_pass_at_k_refuses(num_samples, num_correct, k, message):
    with pytest.raises(ValueError, match=message):
        pass_at_k(num_samples, num_correct, k)


@pytest.mark.parametrize(
    ("answers", "correct", "k", "expected"),
    [
        (["4", "4", "5"], [1, 1, 0], 3, 1.0),
        (["4", "5", "5"], [1, 0, 0], 3, 0.0),
        (["4", "5"], [1, 0], 2, 0.5),  # a tie shares the vote
        (["4", "5", None, None], [1, 0, 0, 0], 4, 0.5),  # no answer, no vote
        ([None, None], [0, 0], 2, 0.0),
        (["4", "5", "5", "6"], [1, 0, 0, 0], 1, 0.25),
        ([None, "4"], [0, 1], 1, 0.5),
    ],
)
def test_majority_of_hand_counted_votes(answers, correct, k, expected):
    assert majority_at_k(answers, correct, k) == expected


def test_majority_of_subsets_matches_their_enumeration():
    answers, correct = ["a", "a", "a", "b", "b", "c"], [1, 1, 1, 0, 0, 0]
    exact = np.mean(
        [
            majority_at_k([answers[i] for i in pick], [correct[i] for i in pick], 3)
            for pick in combinations(range(6), 3)
        ]
    )
    assert majority_at_k(answers, correct, 3, draws=20_000) == pytest.approx(exact, abs=0.015)
    assert majority_at_k(answers, correct, 3, seed=3) == majority_at_k(answers, correct, 3, seed=3)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_with_one_right_and_one_wrong_answer_majority_is_a_vote(verdicts):
    right = sum(verdicts)
    expected = 1.0 if 2 * right > len(verdicts) else 0.5 if 2 * right == len(verdicts) else 0.0
    assert majority_at_k(["r" if v else "w" for v in verdicts], verdicts, len(verdicts)) == expected


def test_majority_refuses_more_votes_than_samples():
    with pytest.raises(ValueError, match="maj@3 needs at least 3 samples, there are 2"):
        majority_at_k(["1", "2"], [1, 0], 3)
    with pytest.raises(ValueError, match="2 answers"):
        majority_at_k(["1", "2"], [1, 0, 1], 2)
