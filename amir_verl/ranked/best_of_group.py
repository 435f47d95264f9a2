"""The advantage estimator `best_of_group`: the likelihood of the best-ranked responses as a policy gradient.

Shape suffixes: _N responses of the batch, _T tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from amir_verl.objective.pairs import group_ids


def best_of_group_advantage(
    token_level_rewards: Tensor, response_mask: Tensor, index: Sequence[str], **_: Any
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (N, T): group size over number of best where the reward is the group's highest,
    0 elsewhere.

    At the old policy, verl's clipped policy loss then has the gradient of the best responses' negative
    log-likelihood: under `token-mean`, of its mean over their tokens, if the responses of a group are equally
    long.

    Args:
        token_level_rewards: summed to the reward of a response, (N, T).
        response_mask: 1 on response tokens, (N, T).
        index: the prompt of each response, (N,).
    """
    reward_N = token_level_rewards.sum(-1)
    group_N = group_ids(index).to(reward_N.device)
    groups = int(group_N.max()) + 1
    top = reward_N.new_full((groups,), -torch.inf).scatter_reduce(0, group_N, reward_N, "amax")
    best_N = (reward_N == top[group_N]).to(reward_N.dtype)
    size = torch.bincount(group_N, minlength=groups)
    count = torch.zeros_like(top).index_add_(0, group_N, best_N)
    advantage_NT = (best_N * (size / count)[group_N]).unsqueeze(-1) * response_mask
    return advantage_NT, advantage_NT
