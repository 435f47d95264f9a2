"""The CPU as a verl platform: the host answers what verl asks of a device.

Ray still counts "GPUs", logical ones (`+ray_kwargs.ray_init.num_gpus=N`), so verl's placement works
unchanged.
"""

import os
import resource
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def _nothing(*_: Any, **__: Any) -> None:
    """A device operation the host does not need."""


def _resident_bytes(*_: Any, **__: Any) -> int:
    return psutil.Process().memory_info().rss


def _peak_resident_bytes(*_: Any, **__: Any) -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory_info(*_: Any, **__: Any) -> tuple[int, int]:
    memory = psutil.virtual_memory()
    return memory.available, memory.total


class _HostModule(types.ModuleType):
    """Takes the place of torch.cuda. Falls back to torch.cpu, and equals it: verl compares with ==."""

    is_available = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    get_device_name = staticmethod(lambda *_: "CPU")
    empty_cache = ipc_collect = reset_peak_memory_stats = staticmethod(_nothing)
    synchronize = set_device = staticmethod(_nothing)
    memory_allocated = memory_reserved = staticmethod(_resident_bytes)
    max_memory_allocated = max_memory_reserved = staticmethod(_peak_resident_bytes)
    mem_get_info = staticmethod(_memory_info)
    get_rng_state = staticmethod(lambda *_: torch.get_rng_state())
    set_rng_state = staticmethod(lambda state, *_: torch.set_rng_state(state))

    def __eq__(self, other: object) -> bool:
        return other is self or other is torch.cpu

    __hash__ = types.ModuleType.__hash__

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)


class _HostIndex(str):
    """The current device: `tensor.to(index)` reads "cpu", f"cpu:{index}" gives "cpu:0"."""

    def __format__(self, spec: str) -> str:
        return "0"


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """verl's platform interface for the host."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _HostModule("amir_verl.platform.host")

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # only VERL_PLATFORM=cpu selects it: no GPU user may land here by detection

    def current_device(self) -> str:
        return _HostIndex("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        return None

    def synchronize(self, device_index: int | None = None) -> None:
        return None

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        return None

    def empty_cache(self) -> None:
        return None

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        return None

    def profiler_stop(self) -> None:
        return None

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False  # weights reach vLLM through shared memory

    def cudart(self) -> None:
        return None


def set_environment() -> None:
    """Set defaults that verl and vLLM need on the host; keep what the user has set."""
    for name, value in {
        # verl/workers/engine/base.py:405 registers the FSDP engine only for "cuda" and "npu".
        "VERL_ENGINE_DEVICE": "cuda",
        # vLLM would bind each engine to its own cores, which Ray's workers need too.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        # Ray starts its workers at niceness 15. Here they do the training, and anything else would starve
        # them.
        "RAY_worker_niceness": "0",
    }.items():
        os.environ.setdefault(name, value)
