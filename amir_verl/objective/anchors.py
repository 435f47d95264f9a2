"""One step's preferences as the driver sees them: computed once, sent to each response as anchors.

A response i of a pair with j gets the entry (anchor, signed weight). The anchor is j's mean log-probability
at the old policy, relative to the reference where one is used, on i's own scale: the worker then needs
neither the reference nor any sibling. Summing |w| softplus(-sign(w) beta (l_i - anchor)) over the entries of
all responses and dividing by N has the gradient of L_pref, whatever micro-batch, mini-batch or rank a
response falls into. With `pull=chosen` or `rejected` the entries of one sign are kept: the term then moves
one end of each pair, its value is still L_pref's, and the pulls of a pair no longer add up to 0.

Shape suffixes: _N responses of the batch, _P pairs, _M entries, sorted by response.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.comparison import compare_responses


class Preferences(NamedTuple):
    """What a step sends to the workers and what the driver needs for lambda.

    Attributes:
        anchor_M, signed_weight_M: the entries, sorted by response; the weight is N/|S| times the pair's,
            above 0 where the response is the chosen one. A response that no pair moves has one entry of
            weight 0.
        count_N: entries of each response, at least 1.
        beta: slope per nat of this step.
        gradient_N: dL_pref/dl_i at the old policy, of the ends that move.
        metrics: what is logged.
    """

    anchor_M: Tensor
    signed_weight_M: Tensor
    count_N: Tensor
    beta: float
    gradient_N: Tensor
    metrics: dict[str, float]

    def jagged(self, values_M: Tensor) -> Tensor:
        """Entries as a jagged nested tensor with a row a response, as verl carries per-response fields."""
        offsets = torch.nn.functional.pad(self.count_N.cumsum(0), (1, 0))
        # With the lengths known torch need not look for them again, row by row, whenever it pads.
        return torch.nested.nested_tensor_from_jagged(
            values_M,
            offsets=offsets,
            min_seqlen=int(self.count_N.min()),
            max_seqlen=int(self.count_N.max()),
        )


def step_preferences(
    mean_N: Tensor,
    rewards_N: Tensor,
    group_N: Tensor,
    eligible_N: Tensor,
    config: AmirConfig,
    *,
    ref_mean_N: Tensor | None = None,
    groups: int | None = None,
) -> Preferences:
    """Mine the pairs of a batch and lay them out by response.

    Args:
        mean_N: mean log-probability of each response at the old policy, nats.
        rewards_N: raw rewards.
        group_N: integers, the prompt of each response.
        eligible_N: bool, responses that may join a pair.
        config: the settings.
        ref_mean_N: mean log-probability under the reference policy; None: reference-free.
        groups: number of groups that `amir/pair_coverage` is a share of; None: those in `group_N`.
    """
    mean_N = mean_N.double()
    ref_N = torch.zeros_like(mean_N) if ref_mean_N is None else ref_mean_N.double()
    relative_N = mean_N - ref_N
    eligible_N = eligible_N & torch.isfinite(relative_N)
    pairs, beta, metrics = compare_responses(
        relative_N, rewards_N, group_N, eligible_N, config, groups=groups
    )
    total = len(mean_N)
    chosen_P, rejected_P = pairs.chosen_P, pairs.rejected_P
    weight_P = pairs.weight_P * (total / max(len(pairs), 1))
    gap_P = relative_N.index_select(0, chosen_P) - relative_N.index_select(0, rejected_P)
    pull_P = weight_P * torch.sigmoid(-beta * gap_P) * (beta / max(total, 1))
    gradient_N = torch.zeros_like(mean_N)
    # The entries of either end: the row that moves, its sibling, the signed weight.
    ends = []
    if config.pulls_chosen:
        gradient_N.index_add_(0, chosen_P, pull_P, alpha=-1)
        ends.append((chosen_P, rejected_P, weight_P))
    if config.pulls_rejected:
        gradient_N.index_add_(0, rejected_P, pull_P)
        ends.append((rejected_P, chosen_P, -weight_P))
    count_N = sum(torch.bincount(row, minlength=total) for row, _, _ in ends)
    # Every response carries an entry: rows of length 0 do not survive every batch operation.
    alone = torch.nonzero(count_N == 0).flatten()
    ends.append((alone, alone, weight_P.new_zeros(len(alone))))
    row_M, sibling_M, weight_M = (torch.cat(parts) for parts in zip(*ends, strict=True))
    order = torch.argsort(row_M.int(), stable=True)  # half the width sorts in half the time
    row_M, sibling_M, weight_M = (values.index_select(0, order) for values in (row_M, sibling_M, weight_M))
    anchor_M = relative_N.index_select(0, sibling_M) + ref_N.index_select(0, row_M)
    anchor_M = torch.where(weight_M == 0, 0.0, anchor_M)
    return Preferences(anchor_M.float(), weight_M.float(), count_N.clamp(min=1), beta, gradient_N, metrics)
