"""`amir-verl doctor` as a user calls it: real processes, a real Ray worker."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


def doctor(*arguments, **environment):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("VERL_", "RAY_"))}
    return subprocess.run(
        [sys.executable, "-m", "amir_verl.cli.main", "doctor", *arguments],
        env=env | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
def test_the_real_command_asks_a_real_ray_worker_and_leaves_nothing_behind(tmp_path):
    """Here AMIR is installed: the report says so, and its Ray is gone when it ends."""
    marker = {"AMIR_DOCTOR_TEST": str(tmp_path)}
    ended = doctor(VERL_PLATFORM="cpu", **marker)
    lines = ended.stdout.splitlines()
    assert "ok    Ray worker     sees amir_grpo and amir_sync" in lines, ended.stdout + ended.stderr
    assert "ok    plugin         loads with verl" in lines
    assert len(lines) == 13  # flash-attn and cupy are asked for on GPUs alone
    # vLLM may not be in the environment of these tests; the status says what the last line says.
    assert (lines[-1] == "all well") == (ended.returncode == 0)
    deadline = time.monotonic() + 20
    while (left := _processes_with(marker)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


@pytest.mark.slow
def test_a_plugin_that_is_switched_off_and_a_vllm_that_breaks_are_told(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['vllm'] = None\n")
    ended = doctor(
        "--no-ray", VERL_PLATFORM="cpu", VERL_USE_EXTERNAL_PLUGINS="none", PYTHONPATH=str(tmp_path)
    )
    assert ended.returncode == 1
    assert "FAIL  plugin         switched off by VERL_USE_EXTERNAL_PLUGINS=none" in ended.stdout
    (vllm,) = [line for line in ended.stdout.splitlines() if " vLLM " in line]
    assert vllm.startswith("FAIL  vLLM") and ("vllm halted" in vllm or "not installed" in vllm)
    assert "Ray worker" not in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("to fix it: ")


def _processes_with(marker):
    """Commands of the processes that inherited the marker."""
    ((name, value),) = marker.items()
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value:
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found
