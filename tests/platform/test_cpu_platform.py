"""The CPU as a verl platform, and what comes with VERL_PLATFORM=cpu."""

import os
from pathlib import Path

import pytest
import torch

from amir_verl.platform import patches


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
