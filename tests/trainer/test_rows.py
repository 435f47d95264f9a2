"""What verl's keys and tags say of a row, and rewards that are no numbers."""

import math

import pytest
import torch

from amir_verl.trainer.broken_rewards import neutral_rewards
from amir_verl.trainer.rows import describe_rows


def jagged(rows):
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


def test_rows_of_a_prompt_share_a_group_wherever_they_lie():
    keys = ["b_0_0", "a_0_0", "b_1_0", "a_1_0"]
    rows = describe_rows(keys, [{}] * 4)
    assert rows.group_N.tolist() == [1, 0, 1, 0]
    assert rows.final_N.all() and not rows.padding_N.any()


def test_uids_that_hold_an_underscore_are_read_from_the_right():
    """`a_1` with session 2 is another prompt than `a` with session 1."""
    rows = describe_rows(["a_1_2_0", "a_1_0", "a_2_0", "a_1_3_0"], [{}] * 4)
    assert rows.group_N[0] == rows.group_N[3] != rows.group_N[1] == rows.group_N[2]
    assert rows.final_N.all()


def test_the_last_output_alone_stands_for_its_session():
    keys = ["u_0_0", "u_0_1", "u_0_10", "u_0_2", "u_1_0", "v_0_0"]
    rows = describe_rows(keys, [{}] * 6)
    assert rows.final_N.tolist() == [False, False, True, False, True, True]


def test_rows_that_pad_the_batch_are_told_by_their_tag():
    """verl tags synthetic rows, and gives them all one uid of their own."""
    keys = ["u_0_0", "u_1_0", "pad12ab_0_0", "pad12ab_1_0"]
    tags = [{"seq_len": 3}, {"is_padding": False}, {"is_padding": True}, {"is_padding": True}]
    rows = describe_rows(keys, tags)
    assert rows.padding_N.tolist() == [False, False, True, True]
    assert rows.group_N[2] == rows.group_N[3] != rows.group_N[0]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_broken_reward_becomes_the_mean_of_its_group(broken):
    scores = jagged([[0.0, 1.0], [0.0, 0.0, broken], [3.0], [broken, 7.0], [5.0]])
    group = torch.tensor([0, 0, 0, 1, 1])
    reward = torch.stack([row.sum() for row in scores.unbind()])
    repaired = neutral_rewards(scores, reward, group)
    assert [row.tolist() for row in repaired.unbind()] == [
        [0.0, 1.0],
        [0.0, 0.0, 2.0],
        [3.0],
        [0.0, 5.0],
        [5.0],
    ]
    assert repaired.is_nested and repaired.layout == torch.jagged and repaired.dtype == scores.dtype


def test_a_repaired_row_gets_the_advantage_zero_and_spoils_no_sibling():
    """Through verl's own GRPO estimator."""
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    scores = jagged([[0.0, 1.0], [0.0, math.nan], [0.0, 0.0], [0.0, 1.0]])
    reward = torch.stack([row.sum() for row in scores.unbind()])
    repaired = neutral_rewards(scores, reward, torch.zeros(4, dtype=torch.long)).to_padded_tensor(0.0)
    advantages, _ = compute_grpo_outcome_advantage(repaired, torch.ones(4, 2), index=["u"] * 4)
    assert advantages[1].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert bool(torch.isfinite(advantages).all()) and float(advantages[0, 0]) > 0 > float(advantages[2, 0])


def test_a_group_of_broken_rewards_alone_becomes_zero():
    scores = jagged([[math.nan], [0.0, math.inf]])
    reward = torch.stack([row.sum() for row in scores.unbind()])
    repaired = neutral_rewards(scores, reward, torch.zeros(2, dtype=torch.long))
    assert [row.tolist() for row in repaired.unbind()] == [[0.0], [0.0, 0.0]]


def test_scores_that_come_as_one_tensor_are_repaired_too():
    scores = torch.tensor([[0.0, 1.0], [0.0, math.nan]])
    repaired = neutral_rewards(scores, scores.sum(-1), torch.zeros(2, dtype=torch.long))
    assert [row.tolist() for row in repaired.unbind()] == [[0.0, 1.0], [0.0, 1.0]]
