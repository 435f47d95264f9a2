"""Recipes as scripts, with none of this shell's variables; many of them in one bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each run in a subshell of the one bash; `$@` are their folders, with variables and words of each.
MANY = r"""
for run in "$@"; do
  (
    set -a; source "$run/variables"; set +a
    mapfile -d '' words <"$run/words"
    recipe=${words[0]}
    set -- "${words[@]:1}"
    source "$recipe"
  ) >"$run/out" 2>"$run/err"
  echo $? >"$run/status"
done
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model folder and data files, of which only the names are read here."""
    folder = tmp_path_factory.mktemp("recipe_files")
    for name in ("model/config.json", "train.parquet", "more.parquet", "test.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def recipes(files, cpu_verl, tmp_path_factory):
    """Runs (name, verl overrides, variables) as recipes in one bash; returns a finished process of each."""

    def run(runs, *, dry_run="args"):
        folder = tmp_path_factory.mktemp("runs")
        machine = {"GPU_MEMORY_GB": "80", "GPUS": "1", "ATTENTION": "sdpa", "OMP_NUM_THREADS": "1"}
        inputs = {
            "MODEL": f"{files}/model",
            "TINY": f"{files}/model",
            "TRAIN": f"{files}/train.parquet",
            "VAL": f"{files}/test.parquet",
            "OUT": f"{files}/out",
        }
        places = []
        for index, (name, overrides, variables) in enumerate(runs):
            environment = machine | inputs | {"PYTHON": sys.executable, "DRY_RUN": dry_run} | variables
            if variables.get("GPUS"):
                environment["RANKS"] = variables["GPUS"]
            place = folder / str(index)
            place.mkdir()
            lines = [f"{key}='{value}'\n" for key, value in environment.items() if value is not None]
            (place / "variables").write_text("".join(lines))
            words = [str(ROOT / "recipes" / f"{name}.sh"), *overrides]
            (place / "words").write_text("".join(f"{word}\0" for word in words))
            places.append(place)
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        subprocess.run(["bash", "-c", MANY, "many", *map(str, places)], env=plain, check=True, timeout=240)
        return [
            subprocess.CompletedProcess(
                place,
                int((place / "status").read_text()),
                (place / "out").read_text(),
                (place / "err").read_text(),
            )
            for place in places
        ]

    return run


@pytest.fixture
def recipe(recipes):
    """One such run."""

    def run(name, *overrides, dry_run="args", **variables):
        return recipes([(name, overrides, variables)], dry_run=dry_run)[0]

    return run


@pytest.fixture(scope="module")
def cpu_verl():
    """The check of a LoRA run asks vLLM, whose CPU build needs verl's CPU platform."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VERL_PLATFORM", "cpu")
    yield
    patch.undo()
