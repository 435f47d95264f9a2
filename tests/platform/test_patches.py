"""Each patch of the CPU platform: verl, torch or vLLM still needs it, and it does its job.

A test named `..._needs_...` fails on the day its patch can go.
"""

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.fsdp as fsdp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import _init_utils as fsdp1

from amir_verl.platform import patches, vllm_cpu


def source_of(module):
    """The text of a module that is not imported for it (importing vLLM takes seconds)."""
    package, _, rest = module.partition(".")
    root = Path(importlib.util.find_spec(package).origin).parent
    path = root / (rest.replace(".", "/") + ".py") if rest else root / "__init__.py"
    return (path if path.exists() else path.with_suffix("") / "__init__.py").read_text()


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


def test_verl_needs_the_reference_policy_of_fsdp2_unpinned(one_rank, patch_engine):
    assert "CPUOffloadPolicy(pin_memory=True)" in source_of("verl.workers.engine.fsdp.transformer_impl")
    if torch.accelerator.is_available():
        pytest.skip("memory can be pinned on this machine")
    mesh = init_device_mesh("cpu", (1,))

    def sharded(policy):
        module = fsdp.fully_shard(torch.nn.Linear(2, 1), mesh=mesh, offload_policy=policy)
        return module(torch.ones(1, 2))

    with pytest.raises(RuntimeError, match="accelerator"):
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

    with pytest.raises(RuntimeError, match="accelerator"):
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


# Weights of vLLM's CPU linear layers.


def test_vllm_needs_to_be_told_to_keep_its_weights():
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    calls = [
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in ast.walk(ast.parse(source_of("vllm.model_executor.layers.linear")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dispatch_cpu_unquantized_gemm"
    ]
    assert [ast.literal_eval(call["remove_weight"]) for call in calls] == [True]
    # Imported where it is called, so that the patched function is the one found there.
    imports = [
        node
        for node in ast.parse(source_of("vllm.model_executor.layers.linear")).body
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "dispatch_cpu_unquantized_gemm" for alias in node.names)
    ]
    assert imports == []


@pytest.fixture
def vllm_modules(monkeypatch):
    """Stand-ins for the two modules of vLLM that the patch touches, and the calls that reach vLLM."""
    calls = []

    def dispatch_cpu_unquantized_gemm(layer, remove_weight):
        calls.append((layer, remove_weight))
        return "packed"

    utils = types.SimpleNamespace(dispatch_cpu_unquantized_gemm=dispatch_cpu_unquantized_gemm)
    cpu = types.SimpleNamespace(is_cpu=lambda: True)
    modules = {
        "vllm": types.ModuleType("vllm"),
        "vllm.platforms": types.SimpleNamespace(current_platform=cpu),
        "vllm.model_executor": types.ModuleType("vllm.model_executor"),
        "vllm.model_executor.layers": types.SimpleNamespace(utils=utils),
        "vllm.model_executor.layers.utils": utils,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return types.SimpleNamespace(utils=utils, cpu=cpu, calls=calls)


def test_layers_keep_their_weights(vllm_modules):
    vllm_cpu.keep_weights()
    vllm_cpu.keep_weights()  # vLLM loads its plugins once and again in some processes
    dispatch = vllm_modules.utils.dispatch_cpu_unquantized_gemm
    assert dispatch("linear", remove_weight=True) == "packed"
    assert dispatch("embedding", remove_weight=False) == "packed"
    assert vllm_modules.calls == [("linear", False), ("embedding", False)]
    assert not hasattr(dispatch.__wrapped__, "__wrapped__")


def test_vllm_on_another_device_is_left_alone(vllm_modules):
    vllm_modules.cpu.is_cpu = lambda: False
    dispatch = vllm_modules.utils.dispatch_cpu_unquantized_gemm
    vllm_cpu.keep_weights()
    assert vllm_modules.utils.dispatch_cpu_unquantized_gemm is dispatch


def test_vllm_finds_the_patch_by_its_entry_point():
    names = {entry.name: entry.value for entry in metadata.entry_points(group="vllm.general_plugins")}
    assert names["amir_verl_cpu"] == "amir_verl.platform.vllm_cpu:keep_weights"


# The platform itself.


def test_verl_needs_to_be_told_the_engine_of_the_host(monkeypatch):
    from verl.plugin.platform import platform_manager
    from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead

    from amir_verl.platform import cpu

    monkeypatch.setattr(platform_manager, "_current_platform", cpu.CpuPlatform())
    for name in ("VERL_ENGINE_DEVICE", "VLLM_CPU_OMP_THREADS_BIND", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that each is put back afterwards
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match="No engine registered for device='cpu'"):
        EngineRegistry.get_engine_cls("language_model", "fsdp2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    cpu.set_environment()
    assert EngineRegistry.get_engine_cls("language_model", "fsdp2") is FSDPEngineWithLMHead
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert os.environ["OMP_NUM_THREADS"] == "3", "what the user has set stays"


MEMORY_FUNCTIONS = ("memory_allocated", "max_memory_allocated")


def test_the_platform_answers_what_verl_asks():
    from verl.plugin.platform import PlatformBase, PlatformRegistry

    from amir_verl.platform.cpu import CpuPlatform

    platform = CpuPlatform()
    assert PlatformRegistry.get("cpu") is CpuPlatform
    assert platform.is_available() and not platform.is_platform_available(use_smi_check=True)
    assert torch.ones(1).to(platform.current_device()).device.type == "cpu"
    assert f"cpu:{platform.current_device()}" == "cpu:0"
    assert platform.device_module == torch.cpu and platform.device_module.is_available()
    available, total = platform.device_module.mem_get_info()
    assert 0 < available <= total
    allocated, peak = (getattr(platform.device_module, name)() for name in MEMORY_FUNCTIONS)
    assert 0 < allocated < 1.05 * peak  # the kernel counts the two at different moments
    with platform.nvtx_range("step"):
        platform.synchronize()
    platform.manual_seed(3)
    first = torch.rand(2)
    platform.manual_seed_all(3)
    assert torch.equal(torch.rand(2), first)
    state = platform.device_module.get_rng_state()
    second = torch.rand(2)
    platform.device_module.set_rng_state(state)
    assert torch.equal(torch.rand(2), second)
    # Nothing of the interface is left to the base class, where it would raise or answer for a GPU.
    inherited = {
        name
        for name, value in vars(PlatformBase).items()
        if getattr(value, "__isabstractmethod__", False) and name not in vars(CpuPlatform)
    }
    assert inherited == set()


@pytest.mark.parametrize(
    ("mode", "buffer"), [("sync", "ReplayBuffer"), ("colocate_async", "ReplayBufferAsync")]
)
def test_verl_needs_a_quicker_poll(mode, buffer):
    """Found as verl finds it, by the names in the settings of the platform."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.v1 import replay_buffer
    from verl.utils.import_utils import load_extern_type

    settings = {
        "trainer_mode": mode,
        "trainer_config": {},
        "max_off_policy_threshold": None,
        "max_off_policy_strategy": "drop",
        "sampler_kwargs": {},
    }
    assert getattr(replay_buffer, buffer)(**settings).poll_interval >= 1.0
    conf = Path(patches.__file__).parents[1] / "conf" / "platform" / "cpu.yaml"
    sampler = OmegaConf.load(conf).trainer.v1.sampler.custom_sampler
    quick = load_extern_type(sampler.path, sampler.name)(**settings)
    assert type(quick) is getattr(replay_buffer, buffer) and quick.poll_interval == 0.05


INSTALLED = """
import sys
import verl
from verl.utils import distributed
from amir_verl.platform import patches
print("PATCHED", hasattr(distributed.initialize_global_process_group_ray, "__wrapped__"),
      any(isinstance(finder, patches.VllmCpuIsVllm) for finder in sys.meta_path))
import verl.workers.engine.fsdp.transformer_impl as engine
print("PINNED", engine.CPUOffloadPolicy(pin_memory=True).pin_memory)
from verl.plugin.platform import get_platform
print("PLATFORM", type(get_platform()).__name__)
"""


def test_verl_platform_cpu_brings_every_patch():
    """That nothing of it comes without VERL_PLATFORM=cpu, tests/trainer/test_plugin.py says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    ended = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        env=env | {"VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    expected = ["PATCHED True True", "PINNED False", "PLATFORM CpuPlatform"]
    assert [line for line in ended.stdout.splitlines() if line in expected] == expected
