"""Rewards that would break a whole group, and what stands in for them.

Shape suffixes: _N rows of the batch, _B broken rows, _T tokens, _G groups.
"""

import torch
from torch import Tensor

LARGEST_REWARD = 1e18  # verl's GRPO squares differences of rewards in float32


def broken_rewards(reward_N: Tensor) -> Tensor:
    """Rewards to do without, (N,): NaN, infinite, or so large that the group's deviation overflows."""
    return ~(reward_N.abs() < LARGEST_REWARD)


def neutral_rewards(token_reward_NT: Tensor, broken_N: Tensor, group_N: Tensor, mask_NT: Tensor) -> Tensor:
    """Token rewards, (N, T), with the mean reward of the group's sound rows in place of broken ones, at the
    row's last token.

    The mean gives such a row the advantage 0; without it one NaN would reach every response of its group.
    """
    reward_N = torch.where(broken_N, 0.0, token_reward_NT.sum(-1))
    sum_G = torch.zeros(int(group_N.max()) + 1, dtype=reward_N.dtype).index_add_(0, group_N, reward_N)
    sound_G = torch.zeros_like(sum_G).index_add_(0, group_N, (~broken_N).to(sum_G.dtype))
    row_B = torch.nonzero(broken_N).flatten()
    place_T = torch.arange(mask_NT.shape[-1])
    last_B = torch.where(mask_NT[row_B].bool(), place_T, 0).amax(-1)
    repaired_NT = token_reward_NT.clone()
    repaired_NT[row_B] = 0.0
    repaired_NT[row_B, last_B] = (sum_G / sound_G.clamp(min=1))[group_N[row_B]]
    return repaired_NT
