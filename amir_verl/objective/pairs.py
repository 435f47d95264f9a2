"""Mining of preference pairs from the rewards of rollout groups.

Sort the responses by group and falling reward, lay out every candidate pair, keep those beyond the margin
that the mining names, cap them, weigh them. No loop runs over groups or pairs.

Shape suffixes: _N responses of a batch, _E usable responses in sorted order, _G groups, _R runs, _C candidate
pairs, _P mined pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig

# Reward sums carry float32 rounding: a gap within this share of a positive margin counts as equal to it.
MARGIN_TOLERANCE = 1e-6


class Pairs(NamedTuple):
    """Mined pairs: the rows of the chosen and of the rejected response, and the weight (average 1)."""

    chosen_P: Tensor
    rejected_P: Tensor
    weight_P: Tensor

    def __len__(self) -> int:
        return self.chosen_P.numel()


def group_ids(groups: Tensor | Sequence) -> Tensor:
    """Turn group names of any kind, (N,), into integers from 0, (N,) int64."""
    if isinstance(groups, Tensor):
        return torch.unique(groups, return_inverse=True)[1]
    place = {name: place for place, name in enumerate(sorted(set(groups)))}
    return torch.tensor([place[name] for name in groups], dtype=torch.long)


def mine_pairs(
    rewards_N: Tensor,
    group_N: Tensor,
    config: AmirConfig,
    *,
    eligible_N: Tensor | None = None,
    order_N: Tensor | None = None,
) -> Pairs:
    """Pairs (chosen, rejected) of one group whose rewards differ by more than the margin.

    Args:
        rewards_N: raw rewards, (N,), any float dtype; rows with a reward that is not finite join no pair.
        group_N: the group of each row, (N,) integers; rows of a group may lie anywhere.
        config: `reward_margin`, `pair_mining`, `top_k`, `max_pairs_per_group`, `rank_weighting`.
        eligible_N: (N,) bool, rows that may join a pair; None: all.
        order_N: (N,) numbers that decide between pairs of equal gap under `max_pairs_per_group`, so that
            the choice does not depend on the order of rows. None: the row number.

    Returns:
        Pairs on the device of `rewards_N`; weights float64.
    """
    usable_N = torch.isfinite(rewards_N)
    if eligible_N is not None:
        usable_N = usable_N & eligible_N
    responses = _sort_responses(rewards_N, group_N, usable_N, order_N)
    level_E, better_E, last_level_G = _reward_levels(responses)
    chosen_C, rejected_C = _candidates(responses)
    gap_C = responses.reward_E[chosen_C] - responses.reward_E[rejected_C]
    rank_gap_C = level_E[rejected_C] - level_E[chosen_C]

    keep_C = (gap_C > 0) & (gap_C > config.reward_margin * (1 + MARGIN_TOLERANCE))
    if config.pair_mining == "topk":
        keep_C &= (better_E[chosen_C] < config.top_k) & (better_E[rejected_C] >= config.top_k)
    elif config.pair_mining == "adjacent":
        keep_C &= rank_gap_C == 1
    elif config.pair_mining == "best_worst":
        worst_C = last_level_G[responses.group_E[chosen_C]]
        keep_C &= (level_E[chosen_C] == 0) & (level_E[rejected_C] == worst_C)
    kept_P = torch.nonzero(keep_C).flatten()
    chosen_P, rejected_P, rank_gap_P = chosen_C[kept_P], rejected_C[kept_P], rank_gap_C[kept_P]
    if config.max_pairs_per_group is not None:
        most = config.max_pairs_per_group
        first_P = _largest_gaps(responses, chosen_P, rejected_P, gap_C[kept_P], most=most)
        chosen_P, rejected_P, rank_gap_P = chosen_P[first_P], rejected_P[first_P], rank_gap_P[first_P]
    weight_P = _rank_weights(rank_gap_P, config.rank_weighting)
    return Pairs(responses.row_E[chosen_P], responses.row_E[rejected_P], weight_P)


class _Sorted(NamedTuple):
    """Usable responses, group after group, falling reward inside a group.

    row_E: their rows in the batch; group_E: groups counted from 0; start_E, size_E: first place and size of
    each response's group.
    """

    row_E: Tensor
    reward_E: Tensor
    group_E: Tensor
    start_E: Tensor
    size_E: Tensor


def _sort_responses(rewards_N: Tensor, group_N: Tensor, usable_N: Tensor, order_N: Tensor | None) -> _Sorted:
    row_E = torch.nonzero(usable_N).flatten()
    # Stable sorts, the minor key first.
    if order_N is not None:
        row_E = row_E[torch.argsort(order_N[row_E], stable=True)]
    row_E = row_E[torch.argsort(rewards_N[row_E].double(), descending=True, stable=True)]
    row_E = row_E[torch.argsort(group_N[row_E], stable=True)]
    _, group_E, size_G = torch.unique_consecutive(group_N[row_E], return_inverse=True, return_counts=True)
    size_E = size_G[group_E]
    start_E = size_G.cumsum(0)[group_E] - size_E
    return _Sorted(row_E, rewards_N[row_E].double(), group_E, start_E, size_E)


def _candidates(responses: _Sorted) -> tuple[Tensor, Tensor]:
    """Each response with every later, hence no better, one of its group: places in the sorted order."""
    place_E = torch.arange(responses.row_E.numel(), device=responses.row_E.device)
    later_E = responses.start_E + responses.size_E - place_E - 1
    chosen_C = torch.repeat_interleave(place_E, later_E)
    return chosen_C, chosen_C + 1 + _place_in_run(later_E)


def _place_in_run(size_R: Tensor) -> Tensor:
    """0, 1, ... inside each of consecutive runs of these sizes."""
    start_R = size_R.cumsum(0) - size_R
    total = torch.arange(int(size_R.sum()), device=size_R.device)
    return total - torch.repeat_interleave(start_R, size_R)


def _reward_levels(responses: _Sorted) -> tuple[Tensor, Tensor, Tensor]:
    """Reward level of each response (0 is best, ties share), how many of its group are strictly better, and
    the number of each group's last level.
    """
    reward_E, group_E, start_E = responses.reward_E, responses.group_E, responses.start_E
    new_E = torch.ones_like(group_E, dtype=torch.bool)
    new_E[1:] = (group_E[1:] != group_E[:-1]) | (reward_E[1:] != reward_E[:-1])
    distinct_E = new_E.long().cumsum(0)
    level_E = distinct_E - distinct_E[start_E]
    first_E = torch.nonzero(new_E).flatten()[distinct_E - 1]
    groups = int(group_E[-1]) + 1 if group_E.numel() else 0
    last_level_G = level_E.new_zeros(groups).scatter_reduce(0, group_E, level_E, "amax")
    return level_E, first_E - start_E, last_level_G


def _largest_gaps(
    responses: _Sorted, chosen_P: Tensor, rejected_P: Tensor, gap_P: Tensor, *, most: int
) -> Tensor:
    """Which pairs stay when a group keeps `most` of them: the largest gaps.

    Among equal gaps diagonal by diagonal, the middle one first: a diagonal has every response at most once on
    either side, so a small cap still reaches many responses.
    """
    group_P = responses.group_E[chosen_P]
    off_middle_P = (2 * (rejected_P - chosen_P) - responses.size_E[chosen_P]).abs()
    order_P = torch.arange(chosen_P.numel(), device=chosen_P.device)
    for key_P in (off_middle_P, -gap_P, group_P):  # the minor key first: the sorts are stable
        order_P = order_P[torch.argsort(key_P[order_P], stable=True)]
    return order_P[_place_in_run(torch.bincount(group_P)) < most]


def _rank_weights(rank_gap_P: Tensor, weighting: str) -> Tensor:
    """Weights by difference of rank, average 1, (P,) float64."""
    gap_P = rank_gap_P.double()
    weight_P = {
        "none": torch.ones_like,
        "linear": torch.clone,
        "quadratic": torch.square,
        "log": torch.log1p,
    }[weighting](gap_P)
    return weight_P / weight_P.mean() if weight_P.numel() else weight_P
