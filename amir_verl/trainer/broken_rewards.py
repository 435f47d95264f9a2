"""Rewards that would break a whole group, and what stands in for them.

Shape suffixes: _N rows of the batch, _T tokens.
"""

import torch
from torch import Tensor

LARGEST_REWARD = 1e18  # verl's GRPO squares differences of rewards in float32


def broken_rewards(reward_N: Tensor) -> Tensor:
    """Rewards to do without, (N,): NaN, infinite, or so large that the group's deviation overflows."""
    return ~(reward_N.abs() < LARGEST_REWARD)


def neutral_rewards(scores: Tensor, reward_N: Tensor, group_N: Tensor) -> Tensor:
    """Token scores, nested (N, T), with the mean reward of the group in place of broken ones.

    The mean gives such a row the advantage 0; without it one NaN would reach every response of its group.
    """
    sound_N = ~broken_rewards(reward_N)
    sums = torch.zeros(int(group_N.max()) + 1, dtype=reward_N.dtype)
    counts = sums.clone().index_add_(0, group_N, sound_N.to(sums.dtype))
    sums.index_add_(0, group_N, torch.where(sound_N, reward_N, 0.0))
    mean_N = (sums / counts.clamp(min=1))[group_N]
    rows = []
    for row, score_T in enumerate(scores.unbind()):
        if not bool(sound_N[row]):
            score_T = torch.zeros_like(score_T)
            score_T[-1:] = mean_N[row]
        rows.append(score_T)
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)
