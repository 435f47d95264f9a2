"""What the loss and the anchors both start from: a batch's pairs, its slope, and how the policy ranks them.

Shape suffixes: _N responses, _E eligible responses, _G groups, _P pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.pairs import Pairs, mine_pairs


class Comparison(NamedTuple):
    """The pairs of a batch, the slope per nat of this batch, and the metrics of both."""

    pairs: Pairs
    beta: float
    metrics: dict[str, float]


def compare_responses(
    fixed_N: Tensor,
    rewards_N: Tensor,
    group_N: Tensor,
    usable_N: Tensor,
    config: AmirConfig,
    *,
    live_N: Tensor | None = None,
    groups: int | None = None,
) -> Comparison:
    """Mine a batch's pairs and measure its slope.

    Args:
        fixed_N: mean log-probability of each response at the policy that pairs and slope go by, nats a
            token, relative to the reference where one is used.
        rewards_N: raw rewards.
        group_N: integers, the prompt of each response.
        usable_N: bool, responses that may join a pair.
        config: the settings.
        live_N: the same under the policy whose ranking is logged; None: `fixed_N`.
        groups: number of groups that `amir/pair_coverage` is a share of; None: those in `group_N`.
    """
    pairs = mine_pairs(rewards_N, group_N, config, eligible_N=usable_N, order_N=fixed_N)
    spread = spread_in_groups(fixed_N, group_N, usable_N)
    beta = scaled_beta(config, spread)
    groups = int(group_N.unique().numel()) if groups is None else groups
    metrics = pair_statistics(pairs, fixed_N if live_N is None else live_N, rewards_N, group_N, groups=groups)
    metrics["amir/beta_spread"] = beta * spread
    return Comparison(pairs, beta, metrics)


def spread_in_groups(values_N: Tensor, group_N: Tensor, eligible_N: Tensor) -> float:
    """Root mean square deviation of values from their group's mean, over groups of two and more; 0 if
    none.
    """
    value_E, group_E = values_N[eligible_N].double(), group_N[eligible_N]
    if not value_E.numel():
        return 0.0
    _, group_E, size_G = torch.unique(group_E, return_inverse=True, return_counts=True)
    mean_G = torch.zeros_like(size_G, dtype=value_E.dtype).index_add_(0, group_E, value_E) / size_G
    shared_E = size_G[group_E] > 1
    if not bool(shared_E.any()):
        return 0.0
    return float((value_E - mean_G[group_E])[shared_E].square().mean().sqrt())


def scaled_beta(config: AmirConfig, spread: float) -> float:
    """The slope per nat: beta as given, or over the spread inside a group of mean log-probabilities (not of
    rewards).
    """
    if config.beta_scale == "raw":
        return config.beta
    # A spread below a thousandth of a nat is rounding, not preference.
    return config.beta / max(spread, 1e-3)


def pair_statistics(
    pairs: Pairs, mean_N: Tensor, rewards_N: Tensor, group_N: Tensor, *, groups: int
) -> dict[str, float]:
    """What a batch of `groups` groups offers and how the policy ranks it; keys as logged.

    `amir/pair_coverage`: share of groups with a pair. `amir/pair_accuracy`: share of pairs ranked right by
    the policy (a tie is not). `amir/margin`: mean of l_chosen - l_rejected, nats a token. `amir/reward_gap`:
    mean gap.
    """
    metrics = {"amir/num_pairs": float(len(pairs)), "amir/pair_coverage": 0.0}
    if not len(pairs):
        return metrics | dict.fromkeys(("amir/pair_accuracy", "amir/margin", "amir/reward_gap"), 0.0)
    margin_P = (mean_N[pairs.chosen_P] - mean_N[pairs.rejected_P]).detach().double()
    gap_P = rewards_N[pairs.chosen_P].double() - rewards_N[pairs.rejected_P].double()
    metrics["amir/pair_coverage"] = torch.unique(group_N[pairs.chosen_P]).numel() / groups
    metrics["amir/pair_accuracy"] = float((margin_P > 0).double().mean())
    metrics["amir/margin"] = float(margin_P.mean())
    metrics["amir/reward_gap"] = float(gap_P.mean())
    return metrics
