"""A small actor in verl's own update loop: a bigram model whose every probability can be followed by hand.

The loop over micro-batches, their making, the loss and the metrics are verl's; the model alone is not.
"""

from functools import partial
from types import SimpleNamespace

import torch
import torch.distributed as dist
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.utils.metric import Metric, reduce_metrics
from verl.utils.torch_functional import allgather_dict_into_dict
from verl.workers.config import FSDPActorConfig, PolicyLossConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import response_from_nested

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.loss import amir_loss, mean_log_prob
from amir_verl.trainer.worker_loss import (
    ANCHORS,
    BETA,
    ENDS,
    LAMBDA,
    POLICY_WEIGHT,
    WEIGHTS,
    preference_loss_fn,
)

VOCABULARY = 7
LAMBDA_VALUE = 0.37
CONFIG = AmirConfig(beta=3.0, rank_weighting="linear")
# Sixteen rows: ragged groups, the last one a row that pads the batch. Row 5 has no token in its mask.
GROUP_SIZES = (6, 5, 4, 1)
EMPTY_ROW = 5


class Rollouts:
    """One step's rollouts as the driver sees them, and the policies that made and learn from them."""

    def __init__(self, *, drift: float = 0.3, config: AmirConfig = CONFIG) -> None:
        draw = torch.Generator().manual_seed(5)
        total = sum(GROUP_SIZES)
        self.config = config
        self.old_weight = torch.randn(VOCABULARY, VOCABULARY, generator=draw, dtype=torch.float64)
        noise = torch.randn(VOCABULARY, VOCABULARY, generator=draw, dtype=torch.float64)
        self.weight = self.old_weight + drift * noise
        # The rows of a group lie anywhere, so that ranks and micro-batches split every group.
        group = torch.repeat_interleave(torch.arange(len(GROUP_SIZES)), torch.tensor(GROUP_SIZES))
        self.group = group[torch.randperm(total, generator=draw)]
        self.eligible = self.group != len(GROUP_SIZES) - 1
        self.rewards = torch.randint(0, 3, (total,), generator=draw).float()
        lengths = torch.randint(1, 7, (total, 2), generator=draw).tolist()
        prompts = [torch.randint(0, VOCABULARY, (p,), generator=draw) for p, _ in lengths]
        responses = [torch.randint(0, VOCABULARY, (r,), generator=draw) for _, r in lengths]
        masks = [torch.ones_like(response) for response in responses]
        masks[EMPTY_ROW].zero_()
        advantages = torch.randn(total, generator=draw, dtype=torch.float64)
        self.eligible[EMPTY_ROW] = False
        data = {
            "prompts": jagged(prompts),
            "responses": jagged(responses),
            "input_ids": jagged([torch.cat(pair) for pair in zip(prompts, responses, strict=True)]),
            "response_mask": jagged(masks),
            "loss_mask": jagged(masks),
            "advantages": jagged([a * mask for a, mask in zip(advantages, masks, strict=True)]),
        }
        log_probs = bigram_log_probs(self.old_weight, data["input_ids"])
        data["old_log_probs"] = response_from_nested(log_probs, data["response_mask"])
        self.data = tu.get_tensordict(data)
        self.data["old_log_probs"] = data["old_log_probs"]

    def preferences(self) -> Preferences:
        mask = padded(self.data["response_mask"]).bool()
        mean = mean_log_prob(padded(self.data["old_log_probs"]), mask)
        return step_preferences(mean, self.rewards, self.group, self.eligible, self.config)

    def actor_batch(
        self, *, lambda_: float = LAMBDA_VALUE, policy_weight: float = 1.0, stacked: bool = False
    ) -> TensorDict:
        """The whole batch with AMIR's fields, as the actors receive it."""
        preferences = self.preferences()
        data = self.data.copy()
        anchors = preferences.jagged(preferences.anchor_M)
        weights = preferences.jagged(preferences.signed_weight_M)
        if stacked:
            anchors, weights = padded(anchors), padded(weights)
        data[ANCHORS], data[WEIGHTS] = anchors, weights
        settings = {
            LAMBDA: lambda_,
            BETA: preferences.beta,
            POLICY_WEIGHT: policy_weight,
            ENDS: self.config.moving_ends,
        }
        return tu.assign_non_tensor(data, **settings, global_batch_size=len(data))

    def one_process_loss(self, weight: Tensor, *, anchored: bool = True) -> Tensor:
        """L_pref of the batch by `amir_loss`."""
        mask = self.data["response_mask"]
        live = response_from_nested(bigram_log_probs(weight, self.data["input_ids"]), mask)
        loss, _ = amir_loss(
            padded(live),
            padded(mask),
            self.rewards,
            self.group,
            self.config,
            old_log_prob=padded(self.data["old_log_probs"]) if anchored else None,
            eligible=self.eligible,
        )
        return loss

    def one_process_gradient(self, *, anchored: bool = True) -> Tensor:
        weight = self.weight.clone().requires_grad_()
        return torch.autograd.grad(self.one_process_loss(weight, anchored=anchored), weight)[0]


def jagged(rows: list[Tensor]) -> Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def padded(values: Tensor) -> Tensor:
    return torch.nested.to_padded_tensor(values, 0)


def bigram_log_probs(weight: Tensor, input_ids: Tensor) -> Tensor:
    """Log-probability of each next token, nested over prompt and response as verl's engines give it."""
    tokens = input_ids.values()
    table = torch.log_softmax(weight, dim=-1)
    # The last token's successor is the next row's first: a place that verl never reads.
    return torch.nested.nested_tensor_from_jagged(table[tokens, tokens.roll(-1)], offsets=input_ids.offsets())


class BigramEngine(FSDPEngine):
    """verl's FSDP engine around a table of weights; gradients are averaged over ranks as FSDP does."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.clone().requires_grad_()
        self.engine_config = SimpleNamespace(use_no_sync_for_gradient_accumulation=False)
        self.ulysses_device_mesh = None
        self.ulysses_sequence_parallel_size = 1

    def forward_step(self, micro_batch, loss_function, forward_only):
        log_probs = bigram_log_probs(self.weight, micro_batch["input_ids"])
        loss, metrics = loss_function(
            model_output={"log_probs": log_probs},
            data=micro_batch,
            dp_group=self.get_data_parallel_group(),
        )
        return loss, {"loss": loss.detach().item(), "metrics": metrics}

    def averaged_gradient(self) -> Tensor:
        gradient = self.weight.grad.clone()
        dist.all_reduce(gradient)
        return gradient / dist.get_world_size()


def actor_config(loss_mode: str = "vanilla", **settings) -> FSDPActorConfig:
    return FSDPActorConfig(
        rollout_n=4,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=PolicyLossConfig(loss_mode=loss_mode, dro_beta=0.5),
        **settings,
    )


def loss_function(config: FSDPActorConfig):
    """What the workers get: verl's loss, with the preferences around it if the policy loss is AMIR's."""
    plain = partial(ppo_loss, config=config)
    if config.policy_loss.loss_mode.startswith("amir_"):
        return partial(preference_loss_fn, loss_fn=plain)
    return plain


def update_actor(
    rollouts: Rollouts,
    batch: TensorDict,
    config: FSDPActorConfig,
    *,
    micro_batch_size: int | None = None,
    max_tokens: int | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """One update of every rank on its share of the rows: the gradient, and the metrics that the driver gets.

    `micro_batch_size` rows at a time, or by `max_tokens`; by default the rank's rows at once.
    """
    torch.manual_seed(3)  # some of verl's losses draw tokens
    shares = tu.chunk_tensordict(batch, dist.get_world_size())
    data = shares[dist.get_rank()]
    tu.assign_non_tensor(
        data,
        use_dynamic_bsz=max_tokens is not None,
        micro_batch_size_per_gpu=micro_batch_size or len(data),
        max_token_len_per_gpu=max_tokens,
    )
    engine = BigramEngine(rollouts.weight)
    output = engine.forward_backward_batch(data, loss_function(config))
    gathered = allgather_dict_into_dict(output["metrics"], group=engine.get_data_parallel_group())
    metrics = {
        name: Metric.aggregate_dp(values)
        for name, values in gathered.items()
        if isinstance(values[0], Metric)
    }
    return engine.averaged_gradient(), reduce_metrics(metrics) | {"micro_batches": len(output["loss"])}


SPLITS = (
    {},
    {"micro_batch_size": 1},
    {"micro_batch_size": 2},
    {"micro_batch_size": 4},
    {"max_tokens": 14},
    {"max_tokens": 30},
)
SPLIT_LOSSES = ("amir_grpo", "amir_gspo", "vanilla")
AGGREGATIONS = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)


def split_updates() -> dict[tuple, tuple[Tensor, dict[str, float]]]:
    """Gradient and metrics of every way to split one batch, in the process group that is there."""
    rollouts = Rollouts()
    batch = rollouts.actor_batch()
    updates = {}
    for loss_mode in SPLIT_LOSSES:
        for place, split in enumerate(SPLITS):
            updates[loss_mode, "token-mean", place] = update_actor(
                rollouts, batch, actor_config(loss_mode), **split
            )
    for mode in AGGREGATIONS:
        config = actor_config("amir_grpo", loss_agg_mode=mode, loss_scale_factor=10)
        updates["amir_grpo", mode, "two rows"] = update_actor(rollouts, batch, config, micro_batch_size=2)
    return updates


def rank_process(rank: int, ranks: int, folder: str) -> None:
    """One of `ranks` processes: joins the group, runs every split, and rank 0 writes what came out."""
    from verl.plugin.platform import set_platform

    from amir_verl.platform.cpu import CpuPlatform

    set_platform(CpuPlatform())
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=ranks)
    updates = split_updates()
    if rank == 0:
        torch.save(updates, f"{folder}/updates.pt")
    dist.destroy_process_group()
