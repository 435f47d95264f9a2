"""What verl's keys and tags say of a row, and rewards that are no numbers."""

import math

import pytest
import torch

from amir_verl.config import AmirConfig
from amir_verl.trainer.broken_rewards import broken_rewards, neutral_rewards
from amir_verl.trainer.rows import as_jagged, cut_off, describe_rows
from amir_verl.trainer.step import Tokens, prefer, read_tokens, sound_rows


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


def repaired(rows, group):
    """Token rewards of ragged rows, padded, after the repair."""
    width = max(len(row) for row in rows)
    rewards = torch.tensor([row + [0.0] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]
    return neutral_rewards(rewards, broken_rewards(rewards.sum(-1)), torch.tensor(group), mask)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_broken_reward_becomes_the_mean_of_its_group(broken):
    rows = [[0.0, 1.0], [0.0, 0.0, broken], [3.0], [broken, 7.0], [5.0]]
    found = repaired(rows, [0, 0, 0, 1, 1])
    expected = [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 0.0], [0.0, 5.0, 0.0], [5.0, 0.0, 0.0]]
    assert found.tolist() == expected
    assert found.dtype == torch.float32


def test_a_repaired_row_gets_the_advantage_zero_and_spoils_no_sibling():
    """Through verl's own GRPO estimator."""
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    scores = repaired([[0.0, 1.0], [0.0, math.nan], [0.0, 0.0], [0.0, 1.0]], [0] * 4)
    advantages, _ = compute_grpo_outcome_advantage(scores, torch.ones(4, 2), index=["u"] * 4)
    # Rewards of 0 and 1 in float32: the mean of three is off by at most some 1e-7.
    assert advantages[1].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    assert bool(torch.isfinite(advantages).all()) and float(advantages[0, 0]) > 0 > float(advantages[2, 0])


def test_a_group_of_broken_rewards_alone_becomes_zero():
    assert repaired([[math.nan], [0.0, math.inf]], [0, 0]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_broken_row_without_a_token_is_repaired_too():
    rewards, mask = torch.tensor([[math.nan, 0.0], [1.0, 0.0]]), torch.tensor([[0, 0], [1, 0]])
    found = neutral_rewards(rewards, torch.tensor([True, False]), torch.zeros(2, dtype=torch.long), mask)
    assert found.tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("stacked", [False, True])
def test_a_response_is_cut_off_by_its_own_length_and_last_token(stacked):
    """A tool's tokens count: the limit is one of all that was written."""
    rows = [[1, 2, 9, 9], [1, 2, 3, 4], [9, 1, 1, 1]] if stacked else [[1, 2], [1, 2, 3, 4], [3, 4, 5, 9]]
    responses = as_jagged(torch.tensor(rows) if stacked else jagged(rows))
    found = cut_off(responses, limit=4, end_token=9).tolist()
    assert found == ([False, True, True] if stacked else [False, True, False])


def test_a_truncated_answer_of_several_turns_joins_no_pair():
    """Three right, four wrong; one of the wrong ones was cut off at 16 tokens, six of them a tool's."""
    limit, end = 16, 9
    responses = jagged([[1] * 4 + [end]] * 6 + [[1] * limit])
    mask = torch.zeros(7, limit)
    mask[:6, :5], mask[6] = 1, 1
    mask[6, 4:10] = 0  # what is left of the mask is far below the limit
    rows = describe_rows([f"prompt_{session}_0" for session in range(7)], [{}] * 7)
    sums = read_tokens(Tokens(-torch.rand(7, limit), mask, torch.zeros(7, limit)), None)
    sound = sound_rows(rows, length_N=sums.length_N, broken_N=torch.zeros(7, dtype=torch.bool))
    reward = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    for eligible, pairs in ((sound, 12), (sound & ~cut_off(responses, limit=limit, end_token=end), 9)):
        assert prefer(sums, reward, rows, eligible, AmirConfig()).metrics["amir/num_pairs"] == pairs


def test_rows_without_a_token_come_back_stacked_too():
    assert as_jagged(torch.zeros(3, 0)).offsets().tolist() == [0, 0, 0, 0]
