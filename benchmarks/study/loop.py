"""AMIR in plain torch: a whole training, to be read from top to bottom.

A step samples a group of responses to each prompt, rewards them, and takes one gradient step (or a few) on

    policy_weight * L_policy + lambda * L_pref          (docs/method.md)

L_policy is the clipped policy gradient of GRPO. L_pref compares the responses of a group pair by pair: one
with a higher reward should have the higher mean log-probability, and a pair that is ranked wrongly pulls
harder. What a pair is, what it pulls with and how lambda is set are the functions that verl's trainer calls.
No Ray, no vLLM: one process, a tiny model, about half a minute for 300 steps of 128 responses.

Shape suffixes: _Q prompts of a step, _K responses to each, _N responses (Q x K), _T tokens, _M entries.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.loss import anchored_terms, mean_log_prob
from amir_verl.trainer.step import TokenSums, gradient_norms, set_lambda
from benchmarks.study.arms import Arm
from benchmarks.study.policy import Policy, Responses
from benchmarks.study.rivals import loss_config, rare_rewards, verl_policy_loss


def group_advantages(reward_QK: Tensor, arm: Arm) -> Tensor:
    """How much better each response is than its group, (N,)."""
    advantage_QK = reward_QK - reward_QK.mean(1, keepdim=True)
    if arm.norm_by_std:
        advantage_QK = advantage_QK / (reward_QK.std(1, keepdim=True) + 1e-6)
    return torch.where(advantage_QK > 0, arm.positive * advantage_QK, advantage_QK).flatten()


def policy_loss(live_NT: Tensor, old_NT: Tensor, advantage_N: Tensor, mask_NT: Tensor, arm: Arm) -> Tensor:
    """The clipped policy gradient, averaged over tokens."""
    if arm.loss:
        config = loss_config(arm.loss, arm.loss_value)
        return verl_policy_loss(arm.loss, config, live_NT, old_NT, advantage_N, mask_NT)
    ratio_NT = (live_NT - old_NT).exp()
    clipped_NT = ratio_NT.clamp(1 - arm.clip_low, 1 + arm.clip_high)
    gain_NT = torch.minimum(ratio_NT * advantage_N[:, None], clipped_NT * advantage_N[:, None])
    return -(gain_NT * mask_NT).sum() / mask_NT.sum()


def preference_loss(live_N: Tensor, row_N: Tensor, found: Preferences) -> Tensor:
    """L_pref of the rows `row_N`, ascending, each against its siblings as the sampling policy saw them."""
    # Entries are sorted by the response that they move: those of a part of the batch are picked out of all.
    every_N = torch.arange(len(found.count_N), device=live_N.device)
    owner_M = every_N.repeat_interleave(found.count_N)
    here_M = torch.isin(owner_M, row_N)
    live_M = live_N[torch.searchsorted(row_N, owner_M[here_M])]
    anchor_M, weight_M = found.anchor_M[here_M], found.signed_weight_M[here_M]
    return anchored_terms(live_M, anchor_M, weight_M, found.beta).sum() / len(row_N)


class Training:
    """One arm's training of a policy.

    Args:
        policy: trained in place.
        arm: the algorithm.
        reward: rewards of the responses to the given questions, (N,), in [0, 1].
        group: responses to each prompt.
        tokens: the longest response.
        seed: of sampling; arms of a seed share the random numbers.
    """

    def __init__(
        self,
        policy: Policy,
        arm: Arm,
        reward: Callable[[Sequence[Any], Responses], Tensor],
        *,
        group: int,
        tokens: int,
        seed: int,
    ) -> None:
        self.policy, self.arm, self.reward = policy, arm, reward
        self.group, self.tokens = group, tokens
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # clip_cov draws from torch's own stream
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), arm.learning_rate, weight_decay=0.0, fused=True
        )
        self.lambda_controller = LambdaController(arm.amir) if arm.amir else None
        self.first_policy = copy.deepcopy(policy) if arm.kl else None

    def step(self, problems: Sequence[Any]) -> dict[str, float]:
        """Sample, reward, learn; returns what is worth watching."""
        arm, policy = self.arm, self.policy
        prompt_QL = policy.encode([problem.question for problem in problems])
        responses = policy.sample(prompt_QL, self.group, tokens=self.tokens, generator=self.generator)
        mask_NT = responses.mask_NT
        reward_QK = self.reward(problems, responses).view(-1, self.group).to(prompt_QL.device)
        metrics = {"reward": float(reward_QK.mean())}
        old_NT = responses.log_prob_NT
        mean_N = mean_log_prob(old_NT, mask_NT)
        paid_QK = rare_rewards(reward_QK, mean_N.view_as(reward_QK), arm.rarity)
        advantage_N = group_advantages(paid_QK, arm)

        lambda_, found = 0.0, None
        if arm.amir:
            group_N = torch.arange(len(prompt_QL), device=prompt_QL.device).repeat_interleave(self.group)
            found = step_preferences(mean_N, reward_QK.flatten(), group_N, mask_NT.any(-1), arm.amir)
            # lambda compares both gradients with respect to log-probabilities, where the step begins.
            leaf_NT = old_NT.clone().requires_grad_()
            loss = policy_loss(leaf_NT, old_NT, advantage_N, mask_NT, arm)
            (policy_NT,) = torch.autograd.grad(loss, leaf_NT)
            policy_NT, weight = policy_NT.double(), arm.amir.policy_weight
            square = float(policy_NT.square().sum())
            sums = TokenSums(mask_NT.sum(-1), mean_N, None, policy_NT.sum(-1), square)
            norms = gradient_norms(sums, found, policy_weight=weight)
            lambda_, watched = set_lambda(self.lambda_controller, norms)
            metrics |= found.metrics | watched
            # What the published rule for lambda goes by: the losses of the whole step.
            row_N = torch.arange(len(mask_NT), device=mask_NT.device)
            value = preference_loss(mean_N, row_N, found) / arm.amir.moving_ends
            self.lambda_controller.end_step(policy_loss=weight * loss.item(), preference_loss=value.item())

        for part_Q in torch.arange(len(prompt_QL), device=prompt_QL.device).chunk(arm.updates):
            row_N = (part_Q[:, None] * self.group + torch.arange(self.group, device=part_Q.device)).flatten()
            part = Responses(*(tensor[row_N] for tensor in responses))
            live_NT, entropy_NT = policy.log_probs(prompt_QL[part_Q], part)
            loss = policy_loss(live_NT, old_NT[row_N], advantage_N[row_N], part.mask_NT, arm)
            if found is not None:
                live_N = mean_log_prob(live_NT, part.mask_NT)
                loss = arm.amir.policy_weight * loss + lambda_ * preference_loss(live_N, row_N, found)
            if arm.entropy:
                loss = loss - arm.entropy * entropy_NT[part.mask_NT].mean()
            if arm.kl:
                with torch.no_grad():
                    first_NT, _ = self.first_policy.log_probs(prompt_QL[part_Q], part)
                gap_NT = (first_NT - live_NT)[part.mask_NT]
                loss = loss + arm.kl * (gap_NT.exp() - gap_NT - 1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            self.optimizer.step()
        return metrics
