"""A verl checkpoint engine for the host: sends weights to rollout engines in other processes over Gloo.

verl's separate_async trainer refuses the `naive` engine (trainer_separate_async.py:68), and the others in
verl 0.9.1 each need an accelerator's library: CuPy (nccl, nixl, delta_sharded), torch_npu (hccl), mooncake,
checkpoint-engine (kimi_ckpt_engine). Select it with
`actor_rollout_ref.rollout.checkpoint_engine.backend=gloo`. Rank 0 of the actor broadcasts tensor by tensor.
"""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import ray
import torch
from torch import Tensor
from torch.distributed import ProcessGroupGloo, TCPStore
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

TIMEOUT = timedelta(minutes=5)


@CheckpointEngineRegistry.register("gloo")
class GlooWeights(CheckpointEngine):
    """One weight sync: `prepare`, `init_process_group`, then `send_weights` on the actor and
    `receive_weights` on each rollout worker, `finalize`.
    """

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        """verl gives every engine a bucket size in bytes; this one needs no bucket."""
        self.is_master = is_master
        self._store: TCPStore | None = None
        self._group: ProcessGroupGloo | None = None

    def prepare(self) -> tuple[str, int] | None:
        """The address where the actor's rank 0 waits for the others; None on other ranks."""
        if not self.is_master:
            return None
        host = ray.util.get_node_ip_address()
        self._store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
        return host, self._store.port

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[Any]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """The actor's rank 0 and every rollout worker form a group; rank -1 stays out."""
        size = rollout_world_size + 1
        actor, rollout = (
            {"rank": ranks, "world_size": [size] * len(ranks), "address": [metadata[0]] * len(ranks)}
            for ranks in ([0] + [-1] * (actor_wg_world_size - 1), list(range(1, size)))
        )
        return actor, rollout

    def init_process_group(self, *, rank: int, world_size: int, address: tuple[str, int]) -> None:
        if rank < 0:
            return
        if rank > 0:
            self._store = TCPStore(*address, is_master=False, timeout=TIMEOUT)
        self._group = ProcessGroupGloo(self._store, rank, world_size, TIMEOUT)

    def finalize(self) -> None:
        self._group = self._store = None

    async def send_weights(
        self, weights: Iterable[tuple[str, Tensor]], global_steps: int | None = None
    ) -> None:
        """Broadcast the weights. The actor's other ranks only take part in gathering them."""
        sent = 0
        for name, weight in weights:
            if self._group is None:
                continue
            self._announce(sent, {"name": name, "shape": list(weight.shape), "dtype": str(weight.dtype)})
            self._group.broadcast(weight.detach().contiguous(), 0).wait()
            sent += 1
        if self._group is not None:
            self._announce(sent, None)

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[tuple[str, Tensor]]:
        """Name and full tensor of each weight, as they come."""
        received = 0
        while (weight := json.loads(self._store.get(f"weight/{received}"))) is not None:
            dtype = getattr(torch, weight["dtype"].removeprefix("torch."))
            tensor = torch.empty(weight["shape"], dtype=dtype)
            self._group.broadcast(tensor, 0).wait()
            yield weight["name"], tensor
            received += 1

    def _announce(self, index: int, weight: dict[str, Any] | None) -> None:
        self._store.set(f"weight/{index}", json.dumps(weight))
