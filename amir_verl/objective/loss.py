"""The preference loss of AMIR on torch tensors, with no trainer in sight.

Source: arXiv 2601.03661. Shape suffixes: _N responses, _T tokens, _P pairs, _M entries (a pair seen from one
    end).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.comparison import compare_responses
from amir_verl.objective.pairs import group_ids


def mean_log_prob(log_prob_NT: Tensor, response_mask_NT: Tensor) -> Tensor:
    """Mean log-probability of the response tokens, (N,); 0 where a response has none. float32 or wider."""
    mask_NT = response_mask_NT.bool()
    wide_NT = log_prob_NT if log_prob_NT.dtype == torch.float64 else log_prob_NT.float()
    total_N = torch.where(mask_NT, wide_NT, 0.0).sum(-1)
    return total_N / mask_NT.sum(-1).clamp(min=1)


def anchored_terms(live_M: Tensor, anchor_M: Tensor, signed_weight_M: Tensor, beta: float) -> Tensor:
    """Terms |w| softplus(-sign(w) beta (l_live - l_anchor)), (M,): a pair seen from one of its ends.

    Args:
        live_M: mean log-probability under the policy, differentiable, (M,).
        anchor_M: the sibling's at the old policy, (M,).
        signed_weight_M: weight of the pair, above 0 where the live end is the chosen one, (M,).
        beta: slope per nat.
    """
    # Not F.softplus, which turns into a straight line at 20 and is off by 2e-9 there.
    return -signed_weight_M.abs() * F.logsigmoid(signed_weight_M.sign() * beta * (live_M - anchor_M))


def once_the_value(total: Tensor, *, ends: int) -> Tensor:
    """L_pref's value with all the gradient of a sum in which a pair stands once for each end that moves."""
    return total - (1 - 1 / ends) * total.detach()


def amir_loss(
    log_prob: Tensor,
    response_mask: Tensor,
    rewards: Tensor,
    groups: Tensor | Sequence,
    config: AmirConfig,
    *,
    old_log_prob: Tensor | None = None,
    ref_log_prob: Tensor | None = None,
    eligible: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The preference loss L_pref of one batch in one process; lambda is left to the caller.

    Without `old_log_prob` both ends of a pair are live. With it siblings are anchored at the old policy, as
    in the verl trainer: the value is still L_pref's at the old siblings, and the gradient equals that of
    L_pref while `log_prob` is the old policy's.

    Args:
        log_prob: log-probability of each token under the policy, (N, T), nats; differentiable.
        response_mask: 1 on response tokens, (N, T).
        rewards: raw reward of each response, (N,).
        groups: the prompt of each response, (N,), integers or names.
        config: the settings; `lambda_*` play no part.
        old_log_prob: log-probability under the policy that sampled, (N, T).
        ref_log_prob: log-probability under the reference policy, (N, T); None: reference-free.
        eligible: (N,) bool, responses that may join a pair; None: all with a token and a finite reward.

    Returns:
        The loss, a scalar of the dtype of `log_prob` (0 if there is no pair), and the metrics.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check_shapes(log_prob, response_mask, rewards, groups, old_log_prob, ref_log_prob)
    group_N = group_ids(groups).to(log_prob.device)
    live_N = mean_log_prob(log_prob, response_mask)
    shift_N = 0.0 if ref_log_prob is None else mean_log_prob(ref_log_prob, response_mask).detach()
    live_N = live_N - shift_N
    fixed_N = live_N.detach()
    if old_log_prob is not None:
        fixed_N = mean_log_prob(old_log_prob, response_mask).detach() - shift_N

    usable_N = response_mask.bool().any(-1) & torch.isfinite(rewards)
    usable_N &= torch.isfinite(fixed_N) & torch.isfinite(live_N.detach())
    if eligible is not None:
        usable_N = usable_N & eligible.bool()
    pairs, beta, metrics = compare_responses(fixed_N, rewards, group_N, usable_N, config, live_N=live_N)
    metrics["amir/dropped_rewards"] = float((~torch.isfinite(rewards)).sum())

    if not len(pairs):
        # Zero, yet part of the graph, so that a caller may always call backward.
        loss = torch.where(usable_N, live_N, 0.0).sum() * 0.0
    else:
        weight_P = pairs.weight_P.to(live_N.dtype) / len(pairs)
        chosen, rejected = pairs.chosen_P, pairs.rejected_P
        if old_log_prob is None:
            better_P = live_N[chosen] if config.pulls_chosen else fixed_N[chosen]
            worse_P = live_N[rejected] if config.pulls_rejected else fixed_N[rejected]
            loss = anchored_terms(better_P, worse_P, weight_P, beta).sum()
        else:
            ends = []
            if config.pulls_chosen:
                ends.append(anchored_terms(live_N[chosen], fixed_N[rejected], weight_P, beta).sum())
            if config.pulls_rejected:
                ends.append(anchored_terms(live_N[rejected], fixed_N[chosen], -weight_P, beta).sum())
            loss = once_the_value(sum(ends), ends=config.moving_ends)
    metrics["amir/loss"] = float(loss.detach())
    return loss.to(log_prob.dtype), metrics


def _check_shapes(log_prob, response_mask, rewards, groups, old_log_prob, ref_log_prob) -> None:
    if log_prob.ndim != 2:
        raise ValueError(f"log_prob must have shape (N, T), got {tuple(log_prob.shape)}")
    same = {"response_mask": response_mask, "old_log_prob": old_log_prob, "ref_log_prob": ref_log_prob}
    for name, tensor in same.items():
        if tensor is not None and tensor.shape != log_prob.shape:
            raise ValueError(
                f"{name} must have log_prob's shape {tuple(log_prob.shape)}, got {tuple(tensor.shape)}"
            )
    for name, count in (("rewards", rewards.numel()), ("groups", len(groups))):
        if count != len(log_prob):
            raise ValueError(f"{name} must hold one entry a response ({len(log_prob)}), got {count}")
