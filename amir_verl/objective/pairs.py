"""Mining of preference pairs from the rewards of rollout groups.

Shape suffixes: _N responses of a batch, _E eligible responses sorted by group and falling reward,
_C candidate pairs, _P mined pairs. No loop runs over groups or pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
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
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    return torch.from_numpy(inverse.reshape(-1))


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
    device = rewards_N.device
    usable_N = torch.isfinite(rewards_N)
    if eligible_N is not None:
        usable_N = usable_N & eligible_N
    row_E = torch.nonzero(usable_N).flatten()
    if order_N is not None:
        row_E = row_E[torch.argsort(order_N[row_E], stable=True)]
    # Falling reward inside a group: two stable sorts, the major key last.
    row_E = row_E[torch.argsort(rewards_N[row_E].double(), descending=True, stable=True)]
    row_E = row_E[torch.argsort(group_N[row_E], stable=True)]
    reward_E = rewards_N[row_E].double()
    _, group_E, size_G = torch.unique_consecutive(group_N[row_E], return_inverse=True, return_counts=True)
    end_E = size_G.cumsum(0)[group_E]
    start_E = end_E - size_G[group_E]
    place_E = torch.arange(row_E.numel(), device=device)

    # Candidates: each response with every later, hence no better, one of its group.
    later_E = end_E - place_E - 1
    chosen_C = torch.repeat_interleave(place_E, later_E)
    nth_C = torch.arange(chosen_C.numel(), device=device) - torch.repeat_interleave(
        later_E.cumsum(0) - later_E, later_E
    )
    rejected_C = chosen_C + 1 + nth_C
    gap_C = reward_E[chosen_C] - reward_E[rejected_C]
    keep_C = (gap_C > 0) & (gap_C > config.reward_margin * (1 + MARGIN_TOLERANCE))

    level_E, above_E, levels_G = _reward_levels(reward_E, group_E, start_E)
    rank_gap_C = level_E[rejected_C] - level_E[chosen_C]
    if config.pair_mining == "topk":
        keep_C &= (above_E[chosen_C] < config.top_k) & (above_E[rejected_C] >= config.top_k)
    elif config.pair_mining == "adjacent":
        keep_C &= rank_gap_C == 1
    elif config.pair_mining == "best_worst":
        keep_C &= (level_E[chosen_C] == 0) & (level_E[rejected_C] == levels_G[group_E[chosen_C]])

    kept = torch.nonzero(keep_C).flatten()
    if config.max_pairs_per_group is not None:
        # Among equal gaps diagonal by diagonal, the middle one first: a diagonal has every response at most
        # once on either side, so a small cap still reaches many responses.
        place_gap = rejected_C[kept] - chosen_C[kept]
        off_middle = (2 * place_gap - size_G[group_E[chosen_C[kept]]]).abs()
        group = group_E[chosen_C[kept]]
        order = torch.arange(kept.numel(), device=device)
        for key in (off_middle, -gap_C[kept], group):  # the minor key first: the sorts are stable
            order = order[torch.argsort(key[order], stable=True)]
        kept_per_group = torch.bincount(group)
        nth = (
            torch.arange(kept.numel(), device=device)
            - (kept_per_group.cumsum(0) - kept_per_group)[group[order]]
        )
        kept = kept[order[nth < config.max_pairs_per_group]]
    chosen_P, rejected_P = chosen_C[kept], rejected_C[kept]
    return Pairs(row_E[chosen_P], row_E[rejected_P], _rank_weights(rank_gap_C[kept], config.rank_weighting))


def _reward_levels(reward_E: Tensor, group_E: Tensor, start_E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reward level of each response (0 is best, ties share), how many are strictly better, last level per
    group.
    """
    new_E = torch.ones_like(group_E, dtype=torch.bool)
    new_E[1:] = (group_E[1:] != group_E[:-1]) | (reward_E[1:] != reward_E[:-1])
    distinct_E = new_E.long().cumsum(0)
    level_E = distinct_E - distinct_E[start_E]
    first_E = torch.nonzero(new_E).flatten()[distinct_E - 1]
    groups = int(group_E[-1]) + 1 if group_E.numel() else 0
    last_G = level_E.new_zeros(groups).scatter_reduce(0, group_E, level_E, "amax")
    return level_E, first_E - start_E, last_G


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
