"""Runs of verl's real trainer for timing: a random tiny model, responses of one length."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import torch

SEED = 1
REPOSITORY = Path(__file__).resolve().parents[1]


class RunSize(NamedTuple):
    """Steps; prompts per step, responses per prompt, tokens per response; model width and layers."""

    steps: int
    prompts: int
    responses: int
    tokens: int
    width: int
    layers: int


def write_inputs(folder: Path, size: RunSize) -> None:
    """Model, tokenizer and questions; the model is random, since only its speed matters."""
    import pandas as pd
    from transformers.utils import logging

    from amir_verl.demo.arithmetic import distinct_sums, verl_row
    from amir_verl.demo.model import build_model, build_tokenizer, save_model

    logging.disable_progress_bar()
    tokenizer = build_tokenizer()
    model = build_model("qwen3", tokenizer, hidden_size=size.width, layers=size.layers, seed=SEED)
    save_model(model, tokenizer, folder / "model")
    problems = distinct_sums("easy", 8 * size.prompts, seed=SEED)
    rows = [verl_row(problem, index, "train") for index, problem in enumerate(problems)]
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")


def train(
    folder: Path,
    name: str,
    overrides: list[str],
    size: RunSize,
    *,
    limit: float,
    modules: Sequence[str] = (),
) -> list[dict[str, float]]:
    """Train with verl's own entry point in a separate process; the metrics of each step.

    Args:
        modules: of this repository, which verl imports in every process of the run.

    Raises:
        RuntimeError: the run failed or took more than `limit` seconds (vLLM may wait for ever for weights
            that did not fit); the message ends with the end of its output, which `<name>.log` holds.
    """
    metrics, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(metrics), "HF_HUB_OFFLINE": "1"}
    if modules:
        more = filter(None, (os.environ.get("VERL_USE_EXTERNAL_MODULES"), *modules))
        environment["VERL_USE_EXTERNAL_MODULES"] = ",".join(more)
        paths = filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    if not torch.cuda.is_available():
        environment["VERL_PLATFORM"] = "cpu"
        overrides = ["+platform=cpu", *overrides]
    with log.open("w") as output:
        command = [sys.executable, "-m", "verl.trainer.main_ppo", *_settings(folder, size), *overrides]
        code = run_to_end(command, environment, folder, output, seconds=limit)
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    steps = [json.loads(line)["data"] for line in lines]
    if code != 0 or len(steps) < size.steps:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"the run {name} stopped after {len(steps)} of {size.steps} steps:\n{end}")
    return steps


def run_to_end(
    command: list[str], environment: dict[str, str], folder: Path, output: IO[str], *, seconds: float
) -> int:
    """Run to the end, or stop it after `seconds` or when this process is to end; the exit status."""
    run: subprocess.Popen | None = None
    stopped = False

    def stop(*_: object) -> None:  # as `timeout` ends a process
        nonlocal stopped
        stopped = True
        if run is not None:  # else it is being started, and would be lost
            sys.exit(143)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        run = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if stopped:
            sys.exit(143)
        return run.wait(seconds)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        if run is not None and run.poll() is None:
            # Ray's own processes end with the one that started them.
            os.killpg(run.pid, signal.SIGTERM)
            run.wait()
        signal.signal(signal.SIGTERM, before)


def _settings(folder: Path, size: RunSize) -> list[str]:
    rows, longest = size.prompts * size.responses, 64 + size.tokens
    data, reward = folder / "train.parquet", Path(__file__).with_name("digit_reward.py")
    return [
        "algorithm.adv_estimator=grpo",
        f"data.train_files={data}",
        f"data.val_files={data}",
        f"data.train_batch_size={size.prompts}",
        "data.max_prompt_length=64",
        f"data.max_response_length={size.tokens}",
        f"data.seed={SEED}",
        f"reward.custom_reward_function.path={reward}",
        f"actor_rollout_ref.model.path={folder / 'model'}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={size.prompts}",
        f"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu={min(rows, 32)}",
        f"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu={min(rows, 32)}",
        # Small, so that the work of a step does not change.
        "actor_rollout_ref.actor.optim.lr=1e-6",
        f"actor_rollout_ref.rollout.n={size.responses}",
        f"actor_rollout_ref.rollout.max_model_len={longest}",
        # Every response runs to the limit, so both runs generate and train on equally many tokens.
        "actor_rollout_ref.rollout.ignore_eos=true",
        "trainer.logger=[file]",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.resume_mode=disable",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        "trainer.total_epochs=1000",
        f"trainer.total_training_steps={size.steps}",
    ]
