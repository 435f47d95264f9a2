"""What is installed here, and what of it works.

Whatever may print, hang or crash (vLLM, verl, Ray) is tried in a Python of its own.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Facts:
    """What was found. An error is the line that says what went wrong, None where nothing did.

    Attributes:
        versions: version of each installed distribution, by normalised name.
        needs: requirements of amir-verl, those of its extras among them.
        accelerator: its name; None: no accelerator.
        verl_platform, verl_plugins: VERL_PLATFORM and VERL_USE_EXTERNAL_PLUGINS, "" where not set.
        checkout: folder of the sources, where AMIR runs from them.
        origin: where pip took amir-verl from, a URL; None: not known. It is on no index.
        ray_asked: whether a Ray worker was tried at all.
    """

    python: tuple[int, int, int]
    executable: str
    prefix: str
    checkout: str | None
    origin: str | None
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
        "plugin": "from amir_verl.cli import installation; installation.probe_verl()",
        "ray": "from amir_verl.cli import installation; installation.probe_ray()" if ray else "",
    }
    with ThreadPoolExecutor() as threads:
        ended = dict(zip(code, threads.map(_run, code.values()), strict=True))
    return Facts(
        python=sys.version_info[:3],
        executable=sys.executable,
        prefix=sys.prefix,
        checkout=str(root) if (root / "scripts" / "install.sh").exists() else None,
        origin=_origin() if "amir-verl" in versions else None,
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


def _origin() -> str | None:
    """What pip notes of a package that comes from a file or a repository (PEP 610)."""
    noted = json.loads(metadata.distribution("amir-verl").read_text("direct_url.json") or "{}")
    kind = (noted.get("vcs_info") or {}).get("vcs")
    url = noted.get("url")
    return f"{kind}+{url}" if kind and url else url


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
