"""The advantage form of AMIR: a rank advantage beside GRPO's, for runs whose loss stays verl's own.

At small beta * (l_i - l_j) the sigmoid in the gradient of L_pref is 1/2, and a response is pushed by
lambda * beta/2 * (pairs it wins - pairs it loses) / |S|, whatever the policy thinks of it. As an advantage,
scaled so that under the actor's `loss_agg_mode` the gradient at the old policy is the loss form's, that push
needs no loss of its own. Error of a pair: |sigmoid(x) - 1/2| <= |x|/4 (docs/method.md).

Shape suffixes: _N responses of the batch, _P pairs.
"""

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.pairs import mine_pairs


def rank_push(
    rewards_N: Tensor, group_N: Tensor, config: AmirConfig, *, eligible_N: Tensor | None = None
) -> Tensor:
    """beta/2 * (pairs won - pairs lost) / |S| of each response, (N,) float64: -dL_pref/dl_i where every
    sigmoid is 1/2. Pairs count by their weight; with `pull` `chosen` wins alone count, with `rejected` losses
    alone. Arguments as for `mine_pairs`.
    """
    pairs = mine_pairs(rewards_N, group_N, config, eligible_N=eligible_N)
    share_P = pairs.weight_P * (0.5 * config.beta / max(len(pairs), 1))
    push_N = torch.zeros(len(rewards_N), dtype=torch.float64, device=rewards_N.device)
    if config.pulls_chosen:
        push_N.index_add_(0, pairs.chosen_P, share_P)
    if config.pulls_rejected:
        push_N.index_add_(0, pairs.rejected_P, share_P, alpha=-1)
    return push_N


def rank_advantage(
    policy_N: Tensor, push_N: Tensor, length_N: Tensor, share_N: Tensor, config: AmirConfig
) -> Tensor:
    """lambda times the rank advantage of each token of each response, (N,) float64.

    Args:
        policy_N: the advantage that it is added to, which lambda is measured by under `grad_ratio`.
        push_N: from `rank_push`.
        length_N: response tokens.
        share_N: from `AdvantageForm.token_share_N`.
        config: `lambda_*`.
    """
    length_N = length_N.double()
    rank_N = push_N / (share_N * length_N.clamp(min=1))

    def norm(advantage_N: Tensor) -> float:
        """Norm of the gradient with respect to each token's log-probability."""
        return float((length_N * (share_N * advantage_N.double()).square()).sum().sqrt())

    # No state is kept: under the schedules left, lambda is a function of this step alone.
    lambda_ = LambdaController(config).begin_step(policy_norm=norm(policy_N), preference_norm=norm(rank_N))
    return lambda_ * rank_N
