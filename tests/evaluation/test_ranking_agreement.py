"""Ranking metrics against cases worked by hand. Places: 0 is best."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amir_verl.evaluation import pair_order_kept, prompt_ranking_metrics, ranking_metrics

LOG = math.log2
NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "ranking", "expected"),
    [
        # perfect and reversed order of three; gains 2, 1, 0
        (
            [3, 2, 1],
            [0, 1, 2],
            {"accuracy": 1, "pairwise_accuracy": 1, "ndcg": 1, "mrr": 1, "kendall_tau": 1},
        ),
        (
            [1, 2, 3],
            [0, 1, 2],
            {
                "accuracy": 0,
                "pairwise_accuracy": 0,
                "ndcg": (0 + 1 / LOG(3) + 2 / LOG(4)) / (2 + 1 / LOG(3)),
                "mrr": 1 / 3,
                "kendall_tau": -1,
            },
        ),
        # one swap at the top: two of three pairs kept
        (
            [2, 3, 1],
            [0, 1, 2],
            {
                "accuracy": 0,
                "pairwise_accuracy": 2 / 3,
                "ndcg": (1 + 2 / LOG(3)) / (2 + 1 / LOG(3)),
                "mrr": 1 / 2,
                "kendall_tau": 1 / 3,
            },
        ),
        # two best-ranked responses: either may be on top, and they make no pair
        (
            [1, 3, 2],
            [0, 0, 1],
            {
                "accuracy": 1,
                "pairwise_accuracy": 1 / 2,
                "ndcg": (1 + 1 / LOG(4)) / (1 + 1 / LOG(3)),
                "mrr": 1,
                "kendall_tau": 0,
            },
        ),
        # unranked responses take no part, however high their score
        (
            [9, 2, 1, 8],
            [None, 0, 1, None],
            {"accuracy": 1, "pairwise_accuracy": 1, "ndcg": 1, "mrr": 1, "kendall_tau": 1},
        ),
        ([9.0, 2.0, 1.0], [NAN, 0.0, 1.0], {"accuracy": 1, "pairwise_accuracy": 1, "mrr": 1}),
        # constant scores: what random tie-breaking would give, and no association
        ([5, 5], [0, 1], {"accuracy": 0.5, "pairwise_accuracy": 0.5, "mrr": 0.5, "kendall_tau": 0}),
        # all places tied: the top is best-ranked, and there is no pair
        (
            [1, 2, 3],
            [0, 0, 0],
            {"accuracy": 1, "pairwise_accuracy": NAN, "ndcg": 1, "mrr": 1, "kendall_tau": NAN},
        ),
        # fewer than two ranked responses say nothing
        (
            [1, 2],
            [None, 0],
            dict.fromkeys(["accuracy", "pairwise_accuracy", "ndcg", "mrr", "kendall_tau"], NAN),
        ),
        # places are compared, not counted: a gap changes the gain of nDCG alone
        (
            [2, 1, 3],
            [0, 5, 7],
            {"accuracy": 0, "pairwise_accuracy": 1 / 3, "mrr": 1 / 2, "kendall_tau": -1 / 3},
        ),
    ],
)
def test_one_prompt_by_hand(scores, ranking, expected):
    found = ranking_metrics([scores], [ranking])
    assert set(found) == {"accuracy", "pairwise_accuracy", "ndcg", "mrr", "kendall_tau"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_metrics_average_over_the_prompts_that_define_them():
    scores = [[3, 2, 1], [1, 2, 3], [1, 2], [7]]
    rankings = [[0, 1, 2], [0, 1, 2], [0, 0], [0]]
    found = ranking_metrics(scores, rankings)
    assert found["pairwise_accuracy"] == pytest.approx(0.5)  # of two prompts
    assert found["accuracy"] == pytest.approx(2 / 3)  # of three
    table = prompt_ranking_metrics(scores, rankings)
    assert np.isnan(table["kendall_tau"]).tolist() == [False, False, True, True]


def test_each_prompt_counts_once_however_many_pairs_it_has():
    found = ranking_metrics([[4, 3, 2, 1], [1, 2]], [[0, 1, 2, 3], [0, 1]])
    assert found["pairwise_accuracy"] == pytest.approx(0.5)


def test_ndcg_at_k_looks_at_the_top_alone():
    # gains 2, 1, 0 put in the order 2, 0, 1: the top is ideal, the rest is not
    assert ranking_metrics([[3, 1, 2]], [[0, 1, 2]], k=1)["ndcg"] == pytest.approx(1.0)
    assert ranking_metrics([[3, 1, 2]], [[0, 1, 2]])["ndcg"] < 1.0


@pytest.mark.parametrize(
    ("scores", "rankings", "message"),
    [
        ([[1, 2]], [[0, 1], [0, 1]], "1 lists of scores but 2 rankings"),
        ([[1, 2], [1]], [[0, 1], [0, 1]], "prompt 1: 1 scores but 2 places"),
        ([[1, NAN]], [[0, 1]], "prompt 0: scores must be finite"),
        ([[1, 2]], [[0, -1]], "prompt 0: places must be whole numbers"),
        ([[1, 2]], [[0, 0.5]], "prompt 0: places must be whole numbers"),
    ],
)
def test_refused_with_the_prompt_named(scores, rankings, message):
    with pytest.raises(ValueError, match=message):
        ranking_metrics(scores, rankings)


@given(
    st.lists(
        st.tuples(st.integers(-20, 20), st.one_of(st.none(), st.integers(0, 4))), min_size=2, max_size=8
    ),
    st.randoms(),
)
def test_order_of_responses_and_scale_of_scores_do_not_matter(group, random):
    shuffled = random.sample(group, len(group))
    first = ranking_metrics([[s for s, _ in group]], [[r for _, r in group]])
    second = ranking_metrics([[0.1 * s + 3 for s, _ in shuffled]], [[r for _, r in shuffled]])
    for name, value in first.items():
        assert second[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@given(st.permutations(range(6)))
def test_without_ties_tau_is_twice_pairwise_accuracy_minus_one(order):
    found = ranking_metrics([list(order)], [[5, 4, 3, 2, 1, 0]])
    assert found["kendall_tau"] == pytest.approx(2 * found["pairwise_accuracy"] - 1)


def test_pair_order_kept_counts_pairs_over_all_prompts():
    before, after = [[3, 2, 1], [1, 2]], [[3, 1, 2], [5, 5]]
    share, pairs = pair_order_kept(before, after)  # 2 of 3 kept, then a tie for one half
    assert (share, pairs) == (pytest.approx(2.5 / 4), 4)


def test_near_tied_pairs_are_those_one_place_apart():
    before, after, places = [[3, 2, 1]], [[2, 3, 1]], [[0, 1, 2]]
    assert pair_order_kept(before, after, places) == (pytest.approx(2 / 3), 3)
    assert pair_order_kept(before, after, places, max_place_gap=1) == (pytest.approx(1 / 2), 2)
    assert pair_order_kept(before, after, [[0, None, 0]])[1] == 0
    with pytest.raises(ValueError, match="max_place_gap needs rankings"):
        pair_order_kept(before, after, max_place_gap=1)
