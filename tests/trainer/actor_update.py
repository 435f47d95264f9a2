"""A small actor in verl's own update loop.

The loop over micro-batches, their making, the loss and the metrics are verl's; the model alone, a table of
bigrams, is not.
"""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace

import cloudpickle
import torch
import torch.distributed as dist
from bigram_rollouts import Rollouts, bigram_log_probs
from tensordict import TensorDict
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from verl.utils import tensordict_utils as tu
from verl.utils.metric import Metric, reduce_metrics
from verl.utils.torch_functional import allgather_dict_into_dict
from verl.utils.ulysses import set_ulysses_sequence_parallel_group, ulysses_pad_and_slice_inputs
from verl.workers.config import FSDPActorConfig, PolicyLossConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine
from verl.workers.utils.losses import ppo_loss

from amir_verl.trainer.worker_loss import preference_loss_fn


class BigramEngine(FSDPEngine):
    """verl's FSDP engine around a table of weights; gradients are averaged over ranks as FSDP does.

    With Ulysses, `sequence_ranks` of them share a row's tokens: packed, padded, cut and gathered by verl.
    """

    def __init__(self, weight: Tensor, *, sequence_ranks: int = 1) -> None:
        self.weight = weight.clone().requires_grad_()
        self.engine_config = SimpleNamespace(use_no_sync_for_gradient_accumulation=False)
        self.ulysses_sequence_parallel_size = sequence_ranks
        self.use_ulysses_sp = sequence_ranks > 1
        self.ulysses_device_mesh = None
        if self.use_ulysses_sp:
            shape = (dist.get_world_size() // sequence_ranks, sequence_ranks)
            self.ulysses_device_mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "sp"))
            set_ulysses_sequence_parallel_group(self.ulysses_device_mesh["sp"].get_group())

    def forward_step(self, micro_batch, loss_function, forward_only):
        if self.use_ulysses_sp:
            log_probs = self._log_probs_of_a_share(micro_batch["input_ids"])
        else:
            log_probs = bigram_log_probs(self.weight, micro_batch["input_ids"])
        loss, metrics = loss_function(
            model_output={"log_probs": log_probs},
            data=micro_batch,
            dp_group=self.get_data_parallel_group(),
        )
        return loss, {"loss": loss.detach().item(), "metrics": metrics}

    def _log_probs_of_a_share(self, input_ids: Tensor) -> Tensor:
        tokens = input_ids.values()
        shares = [
            ulysses_pad_and_slice_inputs(row[None], sp_size=self.ulysses_sequence_parallel_size)
            for row in (tokens, tokens.roll(-1))
        ]
        (token, _, padded_by), (successor, _, _) = shares
        table = torch.log_softmax(self.weight, dim=-1)
        log_prob = self._gather_and_unpad_packed(table[token[0], successor[0]], padded_by)
        return torch.nested.nested_tensor_from_jagged(log_prob, offsets=input_ids.offsets())

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
    sequence_ranks: int = 1,
) -> tuple[Tensor, dict[str, float]]:
    """One update of every rank on its share of the rows: the gradient, and the metrics that the driver gets.

    `micro_batch_size` rows at a time, or by `max_tokens`; by default the rank's rows at once.
    """
    torch.manual_seed(3)  # some of verl's losses draw tokens
    engine = BigramEngine(rollouts.weight, sequence_ranks=sequence_ranks)
    shares = tu.chunk_tensordict(batch, engine.get_data_parallel_size())
    data = shares[engine.get_data_parallel_rank()]
    tu.assign_non_tensor(
        data,
        use_dynamic_bsz=max_tokens is not None,
        micro_batch_size_per_gpu=micro_batch_size or len(data),
        max_token_len_per_gpu=max_tokens,
    )
    # As set_loss_fn sends it, through Ray's pickle: what arrives must still find verl's loss and ours.
    arrived = cloudpickle.loads(cloudpickle.dumps(loss_function(config)))
    output = engine.forward_backward_batch(data, arrived)
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
# Loss, and which of SPLITS it is tried in: the others beside the first one show that it is not the loss.
SPLIT_LOSSES = [("amir_grpo", place) for place in range(len(SPLITS))]
SPLIT_LOSSES += [(name, place) for name in ("amir_gspo", "vanilla") for place in (0, 2, 4)]
AGGREGATIONS = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)


def split_updates(
    splits: Sequence[tuple[str, int]] = SPLIT_LOSSES, *, sequence_ranks: int = 1
) -> dict[tuple, tuple[Tensor, dict[str, float]]]:
    """Gradient and metrics of these ways to split one batch, and of every aggregation, in the process group
    that is there.
    """
    rollouts = Rollouts()
    batch = rollouts.actor_batch()
    update = partial(update_actor, rollouts, batch, sequence_ranks=sequence_ranks)
    updates = {}
    for loss_mode, place in splits:
        updates[loss_mode, "token-mean", place] = update(actor_config(loss_mode), **SPLITS[place])
    for mode in AGGREGATIONS:
        config = actor_config("amir_grpo", loss_agg_mode=mode, loss_scale_factor=10)
        updates["amir_grpo", mode, "two rows"] = update(config, micro_batch_size=2)
    return updates


# Ranks, how many of them share a row's tokens (Ulysses), and what is tried on them.
RANKS = {
    "2 ranks": (2, 1, SPLIT_LOSSES),
    "2 ranks, Ulysses 2": (2, 2, SPLIT_LOSSES),
    "4 ranks, Ulysses 2": (4, 2, [("amir_grpo", 0), ("amir_grpo", 2), ("amir_gspo", 4)]),
}


def rank_process(rank: int, folder: str) -> None:
    """One of four processes: joins each of RANKS in turn, runs every split; rank 0 writes what came out."""
    from verl.plugin.platform import set_platform

    from amir_verl.platform.cpu import CpuPlatform

    set_platform(CpuPlatform())
    torch.set_num_threads(1)
    for name, (ranks, sequence_ranks, splits) in RANKS.items():
        if rank >= ranks:
            continue
        init = f"file://{folder}/group of {name}"
        dist.init_process_group("gloo", init_method=init, rank=rank, world_size=ranks)
        updates = split_updates(splits, sequence_ranks=sequence_ranks)
        if rank == 0:
            torch.save(updates, f"{folder}/{name}.pt")
        set_ulysses_sequence_parallel_group(None)
        dist.destroy_process_group()
