"""What a training of the loop needs to go on where it stopped, and files that are never half there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.study.loop import Training


def state_of(training: Training) -> dict[str, Any]:
    """Weights, moments, random numbers, lambda."""
    lambda_controller = training.lambda_controller
    return {
        "policy": training.policy.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "generator": training.generator.get_state(),
        "stream": torch.get_rng_state(),
        "lambda": lambda_controller.state_dict() if lambda_controller else None,
    }


def go_on(training: Training, state: dict[str, Any]) -> None:
    """Put a new training where the saved one was."""
    training.policy.load_state_dict(state["policy"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.generator.set_state(state["generator"])
    torch.set_rng_state(state["stream"])
    if training.lambda_controller:
        training.lambda_controller.load_state_dict(state["lambda"])


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is whole at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    write(part)
    os.replace(part, path)
