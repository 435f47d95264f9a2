"""verl's advantage estimator `amir_grpo`: GRPO advantages plus the rank advantage, on the driver.

verl hands an estimator the rewards, the mask, each row's prompt and the `algorithm` node, no more. What its
V1 trainer knows beyond them (rows of one session, rewards before a KL penalty) comes from `advantage_call`.

Shape suffixes: _N rows of the batch, _T tokens, _G groups, _J sessions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from amir_verl.objective.advantage import AdvantageForm
from amir_verl.objective.pairs import group_ids
from amir_verl.objective.rank_advantage import rank_advantage, rank_push
from amir_verl.trainer.advantage_call import estimator_rows
from amir_verl.trainer.no_pairs import NoPairsWatch
from amir_verl.trainer.rows import describe_rows

DEVIATION_FLOOR = 1e-6  # as in verl's GRPO


def with_rank_advantage(grpo: Callable) -> Callable:
    """The estimator `amir_grpo` over verl's own GRPO estimator.

    Pairs come from the rewards before any KL penalty in the V1 trainer; elsewhere from those given. Of a
    session with several rows the last one stands for it, as in verl's GRPO: its rows share the GRPO
    advantage, the rank advantage is the last row's. Rows without a token, and rewards that are NaN or
    infinite, get advantage 0.
    """
    watch: NoPairsWatch | None = None  # from the first step on; an estimator can log no metric

    def amir_grpo(
        token_level_rewards: Tensor,
        response_mask: Tensor,
        index: Sequence,
        config: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        """Advantages and returns, both (N, T); ValueError where `algorithm.amir` is missing or wrong."""
        nonlocal watch
        form = AdvantageForm.from_algorithm(config)
        rows = estimator_rows()
        mask_NT = response_mask.bool()
        length_N = mask_NT.sum(-1)
        group_N = group_ids(list(index))
        reward_N = token_level_rewards.sum(-1)
        raw_NT = None if rows is None else rows.raw_score_NT
        raw_N = reward_N if raw_NT is None else raw_NT.sum(-1)
        last_N = torch.arange(len(length_N)) if rows is None else _last_rows(rows.keys)
        final_N = last_N == torch.arange(len(length_N))
        sound_N = (torch.isfinite(reward_N) & torch.isfinite(raw_N))[last_N]

        policy_N = torch.zeros_like(reward_N)
        policy_N[final_N] = _policy_advantage(
            grpo,
            reward_N[final_N],
            group_N[final_N],
            sound_N[final_N],
            length_N[final_N] > 0,
            deviation=form.deviation if config.get("norm_adv_by_std_in_grpo", True) else None,
        )
        policy_N = form.settings.policy_weight * policy_N[last_N]

        eligible_N = final_N & sound_N & (length_N > 0)
        push_N = rank_push(raw_N, group_N, form.settings, eligible_N=eligible_N)
        watch = watch or NoPairsWatch(form.settings.reward_margin)
        # A pair always pushes: the best of its group only wins, the worst only loses.
        without = watch.after_step(
            pairs=int(bool(push_N.any())), reward_N=raw_N, group_N=group_N, eligible_N=eligible_N
        )
        if without:
            print(without, flush=True)
        share_N = form.token_share_N(length_N, horizon=response_mask.shape[-1])
        rank_N = rank_advantage(policy_N, push_N, length_N, share_N, form.settings)
        advantage_N = (policy_N.double() + rank_N).to(token_level_rewards.dtype)
        advantages = torch.where(mask_NT, advantage_N[:, None], 0.0)
        return advantages, advantages

    return amir_grpo


def _last_rows(keys: Sequence[str]) -> Tensor:
    """For each row the last row of its session, (N,)."""
    final_N = describe_rows(keys, [{}] * len(keys)).final_N
    session_N = group_ids([key.rsplit("_", 1)[0] for key in keys])
    last_J = torch.empty(int(session_N.max()) + 1, dtype=torch.long)
    last_J[session_N[final_N]] = torch.nonzero(final_N).flatten()
    return last_J[session_N]


def _policy_advantage(
    grpo: Callable,
    reward_N: Tensor,
    group_N: Tensor,
    sound_N: Tensor,
    real_N: Tensor,
    *,
    deviation: str | None,
) -> Tensor:
    """GRPO's advantage, (N,), over the deviation of the `group`, of the `batch`, or as it is.

    Args:
        sound_N: rewards that may be used; the others count as their group's mean, which has advantage 0.
        real_N: rows with a token: the batch's deviation is theirs.
    """
    groups = int(group_N.max()) + 1
    count_G = torch.bincount(group_N[sound_N], minlength=groups).clamp(min=1)
    mean_G = torch.zeros(groups, dtype=reward_N.dtype).index_add_(0, group_N[sound_N], reward_N[sound_N])
    reward_N = torch.where(sound_N, reward_N, (mean_G / count_G)[group_N])
    advantages, _ = grpo(
        token_level_rewards=reward_N[:, None],
        response_mask=torch.ones_like(reward_N[:, None]),
        index=group_N.tolist(),
        norm_adv_by_std_in_grpo=deviation == "group",
    )
    advantage_N = torch.where(sound_N, advantages[:, 0], 0.0)
    if deviation == "batch" and int((sound_N & real_N).sum()) > 1:
        advantage_N = advantage_N / (reward_N[sound_N & real_N].std() + DEVIATION_FLOOR)
    return advantage_N
