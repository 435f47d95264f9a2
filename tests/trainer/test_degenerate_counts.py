"""Rows that can join no pair are counted by reason; which rewards are none."""

import math

import pytest
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from amir_verl.trainer.broken_rewards import broken_rewards, neutral_rewards
from amir_verl.trainer.rows import degenerate_counts, describe_rows

KEYS = ["a_0_0", "a_1_0", "b_0_0", "c_0_0", "c_0_1", "d_0_0", "d_1_0", "pad_0_0", "pad_1_0"]
TAGS = [{}] * 7 + [{"is_padding": True}] * 2


def counts(spoken, dropped):
    rows = describe_rows(KEYS, TAGS)
    return degenerate_counts(
        rows, spoken_N=torch.tensor(spoken).bool(), dropped_N=torch.tensor(dropped).bool()
    )


def test_a_sound_batch_counts_what_pads_it_and_what_stands_alone():
    """b has one response; c has one too, in two rows; the rows that pad are no group."""
    assert counts([1] * 9, [0] * 9) == {
        "amir/dropped_rewards": 0,
        "amir/empty_responses": 0,
        "amir/groups_of_one": 2,
        "amir/padding_rows": 2,
    }


def test_a_row_that_pads_counts_as_that_alone():
    found = counts([1, 0, 1, 1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 1, 0, 0, 1, 1])
    assert found["amir/dropped_rewards"] == 2
    assert found["amir/empty_responses"] == 1
    assert found["amir/padding_rows"] == 2


LOWEST = torch.finfo(torch.float32).min


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, LOWEST, -1e30, 1e18])
def test_a_reward_that_spoils_the_group_is_broken(broken):
    rewards = torch.tensor([0.0, broken, 1.0, broken, -3e5])
    assert broken_rewards(rewards).tolist() == [False, True, False, True, False]


def test_the_lowest_number_twice_in_a_group_is_a_nan_for_all_of_it_and_repaired_for_none():
    """Some reward functions mean "failed" by it; verl's GRPO overflows."""

    def advantages(scores_NT):
        return compute_grpo_outcome_advantage(scores_NT, torch.ones(4, 1), index=["u"] * 4)[0]

    scores = torch.tensor([[LOWEST], [LOWEST], [0.0], [1.0]])
    assert bool(torch.isnan(advantages(scores)).any())
    group, mask = torch.zeros(4, dtype=torch.long), torch.ones(4, 1)
    found = advantages(neutral_rewards(scores, broken_rewards(scores.sum(-1)), group, mask))
    assert bool(torch.isfinite(found).all()) and float(found[3]) > 0 > float(found[2])
