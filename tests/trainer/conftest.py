"""verl on the host for the tests of this folder."""

import pytest


@pytest.fixture(scope="module")
def cpu_platform():
    """verl's platform is the CPU while a module's tests run."""
    from verl.plugin.platform import platform_manager

    from amir_verl.platform.cpu import CpuPlatform

    before = platform_manager._current_platform
    platform_manager._current_platform = CpuPlatform()
    yield
    platform_manager._current_platform = before
