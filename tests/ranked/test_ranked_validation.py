"""What validation logs, on hand-worked scores."""

import math

import pytest

from amir_verl.ranked.trainer import validation_metrics


def test_metrics_of_two_prompts_by_hand():
    # First prompt in order; second: of its pairs (0,1) (0,2) (1,2) the policy has one right.
    metrics = validation_metrics(
        scores=[[-0.1, -0.5, -0.9], [-0.8, -0.2, -0.4]], ranks=[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    )
    assert metrics["val-ranked/accuracy"] == pytest.approx(0.5)
    assert metrics["val-ranked/pairwise_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["val-ranked/mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["val-ranked/kendall_tau"] == pytest.approx((1 - 1 / 3) / 2)
    # Gains 2, 1, 0; discounts 1, 1/log2(3), 1/2. The second prompt is put in the order 1, 2, 0.
    ideal = 2 + 1 / math.log2(3)
    assert metrics["val-ranked/ndcg"] == pytest.approx((1 + (1 + 2 / 2) / ideal) / 2)
    assert metrics["val-ranked/log_prob_of_best"] == pytest.approx((-0.1 - 0.8) / 2)


def test_tied_best_responses_all_count_for_their_log_probability():
    metrics = validation_metrics(scores=[[-0.1, -0.3, -0.9]], ranks=[[0.0, 0.0, 1.0]])
    assert metrics["val-ranked/log_prob_of_best"] == pytest.approx(-0.2)
    assert metrics["val-ranked/pairwise_accuracy"] == 1


def test_scores_relative_to_a_reference_are_judged_beside_the_scores_themselves():
    metrics = validation_metrics(scores=[[-0.9, -0.1]], ranks=[[0.0, 1.0]], relative=[[0.3, -0.2]])
    assert metrics["val-ranked/pairwise_accuracy"] == 0
    assert metrics["val-ranked/relative_pairwise_accuracy"] == 1
    without = validation_metrics(scores=[[-0.9, -0.1]], ranks=[[0.0, 1.0]])
    assert "val-ranked/relative_pairwise_accuracy" not in without
