"""What rivals of GRPO change: rewards by rarity; verl's GSPO, and its losses that hold the entropy up.

With one update a step the gradients of verl's losses are GRPO's, or all but: they differ once the policy has
moved from the one that sampled. Shape suffixes: _Q prompts, _K responses to each, _N responses, _T tokens.
"""

from functools import cache
from typing import Any

from torch import Tensor

# What the study tunes of each: for GSPO the clip range of the sequence's ratio, for clip_cov and kl_cov the
# share of tokens chosen by their covariance.
LOSSES = ("gspo", "clip_cov", "kl_cov")


def rare_rewards(reward_QK: Tensor, mean_QK: Tensor, rarity: float) -> Tensor:
    """Rewards of right answers, less the share `rarity` for the likeliest of a group, none for the last."""
    group = reward_QK.shape[1]
    rank_QK = mean_QK.argsort(1, descending=True).argsort(1)  # 0: the likeliest
    return reward_QK * (1 - rarity * (1 - rank_QK / (group - 1)))


@cache
def loss_config(name: str, value: float) -> Any:
    """verl's settings of an actor with that loss.

    Raises:
        ValueError: no loss of `LOSSES`.
    """
    from verl.workers.config import FSDPActorConfig, PolicyLossConfig

    if name not in LOSSES:
        raise ValueError(f"the loss must be one of {', '.join(LOSSES)}, got {name!r}")
    own = {"gspo": {}, "clip_cov": {"clip_cov_ratio": value}, "kl_cov": {"kl_cov_ratio": value}}[name]
    # clip_cov is meant without a narrow clip of its own (arXiv 2505.22617): verl's recipe sets 1.
    clip = {"gspo": value, "clip_cov": 1.0, "kl_cov": 0.2}[name]
    return FSDPActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio=clip,
        clip_ratio_low=clip,
        clip_ratio_high=clip,
        policy_loss=PolicyLossConfig(loss_mode=name, **own),
    )


def verl_policy_loss(
    name: str, config: Any, live_NT: Tensor, old_NT: Tensor, advantage_N: Tensor, mask_NT: Tensor
) -> Tensor:
    """The loss as verl computes it, averaged over tokens."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    loss, _ = get_policy_loss_fn(name)(
        old_log_prob=old_NT,
        log_prob=live_NT,
        advantages=advantage_N[:, None].expand_as(live_NT),
        response_mask=mask_NT.float(),
        loss_agg_mode="token-mean",
        config=config,
    )
    return loss
