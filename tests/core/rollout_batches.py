"""Batches of rollout groups as they come: ragged, shuffled, with empty responses and broken rewards."""

from typing import NamedTuple

import torch
from torch import Tensor


class RolloutBatch(NamedTuple):
    """log_prob, old_log_prob, ref_log_prob, mask: (N, T); rewards, groups: (N,)."""

    log_prob: Tensor
    old_log_prob: Tensor
    ref_log_prob: Tensor
    mask: Tensor
    rewards: Tensor
    groups: Tensor

    def rows(self, order: Tensor) -> "RolloutBatch":
        return RolloutBatch(*(field[order] for field in self))


def rollout_batch(
    sizes,
    *,
    seed: int,
    levels: int | None = 4,
    max_length: int = 6,
    empty: int = 0,
    broken: int = 0,
    drift: float = 0.0,
) -> RolloutBatch:
    """Random groups of the given sizes in shuffled rows, float64.

    Rewards lie on `levels` steps of 1/2 (exact in binary), or are all different with `levels=None`. `empty`
    responses have no token; `broken` rewards are NaN or infinite. Masked tokens hold rubbish, NaN included.
    """
    draw = torch.Generator().manual_seed(seed)
    total = sum(sizes)
    groups = torch.repeat_interleave(torch.arange(len(sizes)) * 7 + 3, torch.tensor(sizes))
    groups = groups[torch.randperm(total, generator=draw)]
    old = -torch.rand(total, max_length, generator=draw, dtype=torch.float64) * 3
    ref = -torch.rand(total, max_length, generator=draw, dtype=torch.float64) * 3
    log_prob = old + drift * torch.randn(total, max_length, generator=draw, dtype=torch.float64)
    lengths = torch.randint(1, max_length + 1, (total,), generator=draw)
    lengths[torch.randperm(total, generator=draw)[:empty]] = 0
    mask = torch.arange(max_length) < lengths[:, None]
    if levels is None:
        rewards = torch.randperm(4 * total, generator=draw)[:total].double() ** 1.5
    else:
        rewards = torch.randint(0, levels, (total,), generator=draw).double() / 2
    for place, row in enumerate(torch.randperm(total, generator=draw)[:broken].tolist()):
        rewards[row] = (float("nan"), float("inf"), float("-inf"))[place % 3]
    rubbish = torch.tensor([1e6, float("nan"), float("-inf")], dtype=torch.float64)
    for field in (old, ref, log_prob):
        field[~mask] = rubbish[torch.randint(0, 3, (int((~mask).sum()),), generator=draw)]
    return RolloutBatch(log_prob, old, ref, mask, rewards, groups)
