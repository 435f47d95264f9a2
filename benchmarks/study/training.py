"""One training of the study: the tiny model made where it is missing, recipes/tiny_cpu.sh, its row."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import DictConfig

from amir_verl.cli.dry_run import composed_run
from benchmarks.study.grid import REPOSITORY, REWARDS, WARM_UPS, Run

PROMPTS, GROUP, HELD_OUT, SAMPLES, RESPONSE_LENGTH = 16, 8, 128, 8, 48
SAMPLED = "validation_repeated.parquet"
_MAKING_MODELS = threading.Lock()


class Length(NamedTuple):
    """Training steps, and steps between two validations."""

    steps: int
    validate_every: int


def model_folder(run: Run, out: Path) -> Path:
    """Where the cell's warmed-up model and problems for this seed lie."""
    return out / "models" / f"{run.cell.model}-{run.seed}"


def make_model(run: Run, out: Path) -> Path:
    """Make that model where it is missing; its folder."""
    folder = model_folder(run, out)
    forgets, steps = WARM_UPS[run.cell.difficulty, run.cell.start]
    command = [
        sys.executable,
        "scripts/make_tiny.py",
        f"--out={folder}",
        f"--difficulty={run.cell.difficulty}",
        f"--forgets-carry={forgets}",
        f"--steps={steps}",
        "--carry-share=1",
        f"--validation={HELD_OUT}",
        f"--seed={run.seed}",
    ]
    # Threads that wait for each other cost a tiny model more than they give.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with _MAKING_MODELS:  # trainings at a time may share a model
        if (folder / SAMPLED).exists():  # written last
            return folder
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, env=environment)
        repeat_rows(folder / "validation.parquet", folder / SAMPLED)
    return folder


def repeat_rows(path: Path, to: Path) -> None:
    """Each held-out problem as many times as it is sampled.

    verl would sample one row several times too, but then draws 1,000 bootstrap samples a problem, metric and
    subset size in Python (trainer/ppo/metric_utils.py:842), which takes longer than the samples themselves.
    """
    rows = pd.read_parquet(path)
    rows.loc[rows.index.repeat(SAMPLES)].to_parquet(to, index=False)


def overrides(run: Run, length: Length) -> list[str]:
    """verl overrides of the run, after those of recipes/tiny_cpu.sh."""
    return [
        *run.arm.overrides,
        "actor_rollout_ref.rollout.val_kwargs.do_sample=true",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
        f"trainer.test_freq={length.validate_every}",
        f"trainer.save_freq={length.steps}",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,hf_model]",
    ]


def _environment(run: Run, model: Path, folder: Path, length: Length) -> dict[str, str]:
    """What recipes/tiny_cpu.sh reads."""
    return {
        "PYTHON": sys.executable,
        "ALGO": run.arm.algorithm,
        "TINY": str(model.resolve()),
        "VAL": str((model / SAMPLED).resolve()),
        "OUT": str(folder.resolve()),
        "VERL_FILE_LOGGER_PATH": str(folder.resolve() / "metrics.jsonl"),
        "REWARD": str(REWARDS[run.cell.reward]),
        "STEPS": str(length.steps),
        "SEED": str(run.seed),
        "PROMPTS": str(PROMPTS),
        "GROUP": str(GROUP),
        "LR": str(run.arm.learning_rate),
        "RESPONSE_LENGTH": str(RESPONSE_LENGTH),
    }


def composed_run_of(run: Run, model: Path, length: Length) -> DictConfig:
    """verl's configuration of the run from the model in a folder, as the recipe composes it."""
    environment = os.environ | _environment(run, model, model, length) | {"DRY_RUN": "args"}
    command = ["bash", "recipes/tiny_cpu.sh", *overrides(run, length)]
    printed = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=True).stdout
    return composed_run(printed.decode().split("\0")[:-1])


# Trainings under way, so that an interrupt ends them.
_UNDER_WAY: set[subprocess.Popen] = set()


def end_all() -> None:
    """End every training under way; Ray's processes end with theirs."""
    for child in list(_UNDER_WAY):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)


def train(run: Run, out: Path, length: Length, *, limit: float) -> dict[str, Any]:
    """Train with verl's trainer and measure; the figures of the run.

    Raises:
        RuntimeError: the run failed or took more than `limit` seconds; names its log, which is kept.
    """
    from benchmarks.study.measures import measure

    model, folder = make_model(run, out), out / "runs" / run.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = os.environ | _environment(run, model, folder, length)
    started, log = time.monotonic(), folder / "log.txt"
    command = ["bash", "recipes/tiny_cpu.sh", *overrides(run, length)]
    _finish(command, environment, log, name=run.name, limit=limit)
    figures = measure(folder, model / "validation.parquet")
    shutil.rmtree(folder / "checkpoints")
    return figures | {"seconds": time.monotonic() - started}


def _finish(command: list[str], environment: dict[str, str], log: Path, *, name: str, limit: float) -> None:
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _UNDER_WAY.add(child)
    try:
        status = child.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()
        raise RuntimeError(f"{name}: took more than {limit:.0f} s; {log} holds its output") from None
    finally:
        _UNDER_WAY.discard(child)
    if status != 0:
        raise RuntimeError(f"{name}: ended with {status}; {log} holds its output")
