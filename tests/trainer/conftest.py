"""verl on the host for the tests of this folder."""

import pytest
import torch.distributed as dist


@pytest.fixture(scope="module")
def cpu_platform():
    """verl's platform is the CPU while a module's tests run."""
    from verl.plugin.platform import platform_manager

    from amir_verl.platform.cpu import CpuPlatform

    before = platform_manager._current_platform
    platform_manager._current_platform = CpuPlatform()
    yield
    platform_manager._current_platform = before


@pytest.fixture(scope="module")
def one_rank(cpu_platform, tmp_path_factory):
    """This process as the only rank of a group, as verl's engine needs one."""
    group = tmp_path_factory.mktemp("one_rank") / "group"
    dist.init_process_group("gloo", init_method=f"file://{group}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()
