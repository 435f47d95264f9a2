"""What verl's separate_async trainer needs on the host: weights to engines of other processes, and the old
policy's weights kept while the new one trains.
"""

import asyncio
import inspect
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from verl.checkpoint_engine.base import CheckpointEngineRegistry

from amir_verl.platform import patches
from amir_verl.platform.gloo_weights import GlooWeights

WEIGHTS = {
    "embedding": torch.arange(6.0).reshape(2, 3),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 4),
}


async def collect(engine):
    return [(name, weight.clone()) async for name, weight in engine.receive_weights(global_steps=1)]


def synchronise(actors, rollouts, weights):
    """One weight sync as verl's CheckpointEngineManager runs it, each engine in a thread of its own."""
    engines = actors + rollouts
    metadata = [engine.prepare() for engine in engines]
    topology = GlooWeights.build_topology(len(actors), len(rollouts), metadata)
    settings = [
        {name: values[rank] for name, values in side.items()}
        for side, members in zip(topology, (actors, rollouts), strict=True)
        for rank in range(len(members))
    ]
    with ThreadPoolExecutor(len(engines)) as pool:
        joins = [
            pool.submit(engine.init_process_group, **own)
            for engine, own in zip(engines, settings, strict=True)
        ]
        for join in joins:
            join.result(60)
        sends = [pool.submit(asyncio.run, actor.send_weights(iter(weights.items()))) for actor in actors]
        receives = [pool.submit(asyncio.run, collect(rollout)) for rollout in rollouts]
        for send in sends:
            send.result(60)
        received = [receive.result(60) for receive in receives]
    for engine in engines:
        engine.finalize()
    return received


@pytest.fixture
def engines():
    actors = [GlooWeights(bucket_size=1 << 20, is_master=rank == 0) for rank in range(2)]
    return actors, [GlooWeights(bucket_size=1 << 20) for _ in range(2)]


def test_every_rollout_receives_the_weights_of_the_actor(engines):
    received = synchronise(*engines, WEIGHTS)
    for weights in received:
        assert [name for name, _ in weights] == list(WEIGHTS)
        for name, weight in weights:
            assert weight.dtype == WEIGHTS[name].dtype
            assert torch.equal(weight, WEIGHTS[name])


def test_the_same_engines_bring_the_next_weights(engines):
    synchronise(*engines, WEIGHTS)
    after = {name: weight + 1 for name, weight in WEIGHTS.items()}
    for weights in synchronise(*engines, after):
        assert all(torch.equal(weight, after[name]) for name, weight in weights)


def test_verl_needs_an_engine_for_the_host():
    """Fails on the day verl brings one; `naive` is refused by its separate_async trainer."""
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    assert set(CheckpointEngineRegistry._registry) - {"gloo"} == {"naive"}


def test_verl_takes_the_engine_by_its_name():
    engine = CheckpointEngineRegistry.new("gloo", bucket_size=1, is_master=True)
    assert isinstance(engine, GlooWeights)


@pytest.fixture
def sharded(tmp_path):
    dist.init_process_group("cpu:gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield fully_shard(torch.nn.Linear(2, 1), mesh=init_device_mesh("cpu", (1,)))
    dist.destroy_process_group()


def train_on(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)


def test_verl_needs_a_copy_of_weights_that_are_on_the_host(sharded):
    from verl.utils import fsdp_utils

    save = inspect.unwrap(fsdp_utils.fsdp2_sharded_save_to_cpu)
    before = sharded.weight.to_local().clone()
    shards, _ = save(sharded)
    train_on(sharded)
    assert not torch.equal(shards["weight"][0], before)


def test_the_old_policy_is_kept_while_the_new_one_trains(sharded):
    from verl.utils import fsdp_utils

    module = types.SimpleNamespace(
        fsdp2_sharded_save_to_cpu=inspect.unwrap(fsdp_utils.fsdp2_sharded_save_to_cpu)
    )
    patches._snapshot_copies(module)
    before = sharded.weight.to_local().clone()
    shards, spec = module.fsdp2_sharded_save_to_cpu(sharded)
    train_on(sharded)
    assert torch.equal(shards["weight"][0], before)
    fsdp_utils.fsdp2_sharded_load_from_cpu(sharded, shards, spec)
    assert torch.equal(sharded.weight.to_local(), before)
