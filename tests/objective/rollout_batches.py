"""Batches of rollout groups as they come (ragged, shuffled, empty, broken), and the loss on them."""

from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.loss import amir_loss

MININGS = {
    "all": {"pair_mining": "all"},
    "topk1": {"pair_mining": "topk", "top_k": 1},
    "topk2": {"pair_mining": "topk", "top_k": 2},
    "topk3": {"pair_mining": "topk", "top_k": 3},
    "adjacent": {"pair_mining": "adjacent"},
    "best_worst": {"pair_mining": "best_worst"},
}


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


def loss_and_gradient(
    batch: RolloutBatch, config: AmirConfig, *, anchored: bool = False, reference: bool = False
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Loss, its gradient with respect to the tokens, and the metrics."""
    live = batch.log_prob.clone().requires_grad_()
    loss, metrics = amir_loss(
        live,
        batch.mask,
        batch.rewards,
        batch.groups,
        config,
        old_log_prob=batch.old_log_prob if anchored else None,
        ref_log_prob=batch.ref_log_prob if reference else None,
    )
    loss.backward()
    return loss.detach(), live.grad, metrics


def assert_close(actual: Tensor, expected: Tensor, relative: float = 1e-10) -> None:
    """Equal to within `relative` times the largest number expected."""
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=relative * max(float(expected.abs().max()), 1e-12)
    )
