"""Recipes run as scripts, with none of this shell's variables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model folder and data files, of which only the names are read here."""
    folder = tmp_path_factory.mktemp("recipe_files")
    for name in ("model/config.json", "train.parquet", "more.parquet", "test.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def recipe(files, cpu_verl):
    """Runs a recipe with these variables and none of this shell's; returns the finished process."""

    def run(name, *overrides, dry_run="args", **variables):
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        machine = {"GPU_MEMORY_GB": "80", "GPUS": "1", "ATTENTION": "sdpa", "OMP_NUM_THREADS": "1"}
        inputs = {
            "MODEL": f"{files}/model",
            "TINY": f"{files}/model",
            "TRAIN": f"{files}/train.parquet",
            "VAL": f"{files}/test.parquet",
            "OUT": f"{files}/out",
        }
        environment = plain | machine | inputs | {"PYTHON": sys.executable, "DRY_RUN": dry_run} | variables
        if variables.get("GPUS"):
            environment["RANKS"] = variables["GPUS"]
        return subprocess.run(
            ["bash", str(ROOT / "recipes" / f"{name}.sh"), *overrides],
            env={key: value for key, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.fixture(scope="module")
def cpu_verl():
    """The check of a LoRA run asks vLLM, whose CPU build needs verl's CPU platform."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VERL_PLATFORM", "cpu")
    yield
    patch.undo()
