"""Train a grid; every run goes on where it was stopped, and leaves its rows in OUT/rows.

python -m benchmarks.study --tasks countdown --arms grpo chosen_b2_r3 --seeds 2 3 --out outputs/study
python -m benchmarks.study --collect docs/study --out outputs/study
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from amir_verl.demo.model import build_model, save_model
from amir_verl.demo.words import HIDDEN_SIZE, LAYERS, build_word_tokenizer, warm_up_on
from benchmarks.study.arms import TUNING_SEEDS, arm
from benchmarks.study.loop import Training
from benchmarks.study.measures import Grader, right_counts, row_of
from benchmarks.study.policy import Policy
from benchmarks.study.run_state import go_on, replace, state_of
from benchmarks.study.tasks import TASKS, Problem, Task

PROMPTS, GROUP = 16, 8
TRAINING, HELD_OUT = 2000, 256
EVERY = 50
WARM_UP_BATCH = 128


def first_model(name: str, task: Task, seed: int, out: Path) -> Path:
    """The folder of the model that every arm of a seed starts from, made where it is missing."""
    seed = min(TUNING_SEEDS) if seed in TUNING_SEEDS else seed
    folder = out / "models" / f"{name}-{seed}"
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}")
        tokenizer = build_word_tokenizer(task.words)
        model = build_model("qwen2", tokenizer, hidden_size=HIDDEN_SIZE, layers=LAYERS, seed=seed)
        stream = ((problem.question, response) for problem, response in task.demonstrations(seed))
        warm_up_on(model, tokenizer, stream, steps=task.warm_up_steps, batch_size=WARM_UP_BATCH)
        save_model(model, tokenizer, part)
        if folder.exists():  # another process was faster
            return folder
        os.replace(part, folder)
    return folder


def problems_of(task: Task, seed: int) -> tuple[list[Problem], list[Problem]]:
    """What every run of a seed trains on, in this order, and what it is measured on."""
    return (
        task.problems(10_000 + seed, TRAINING, False),
        task.problems(20_000 + seed, HELD_OUT, True),
    )


def measure(
    policy: Policy, name: str, held_out: Sequence[Problem], grader: Grader, *, seed: int, step: int, out: Path
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """`right_counts` with the random numbers that every run of a seed has at that step; the first model's are
    counted once for all of them.
    """
    kept = out / "states" / f"{name}-{seed}.pt"
    if not step and kept.exists():
        return torch.load(kept, weights_only=False)
    generator = torch.Generator().manual_seed(1000 * seed + step)
    found = right_counts(policy, held_out, grader, tokens=TASKS[name].tokens, generator=generator)
    if not step:
        replace(kept, lambda part: torch.save(found, part))
    return found


def train(task_name: str, reward: str, arm_name: str, seed: int, steps: int, out: Path) -> pd.DataFrame:
    """Train to that step, or on to it; one row for each evaluation."""
    name, task = f"{task_name}-{reward}-{arm_name}-{seed}", TASKS[task_name]
    path, state_path = out / "rows" / f"{name}.parquet", out / "states" / f"{name}.pt"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    policy = Policy.load(first_model(task_name, task, seed, out)).to(device)
    grader = Grader(policy, reward, seed)
    training = Training(policy, arm(arm_name), grader, group=GROUP, tokens=task.tokens, seed=seed)
    problems, held_out = problems_of(task, seed)
    rows: list[dict[str, Any]] = []
    first_Q, step = None, 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=False)
        go_on(training, state["training"])
        grader.load_state_dict(state["noise"])
        rows, first_Q, step = state["rows"], state["first_Q"], state["step"]
    begun = time.monotonic()
    while True:
        if step % EVERY == 0 and (not rows or rows[-1]["step"] < step):
            right_Q, distinct_Q, averages = measure(
                policy, task_name, held_out, grader, seed=seed, step=step, out=out
            )
            first_Q = right_Q if first_Q is None else first_Q
            key = {"task": task_name, "reward": reward, "arm": arm_name, "seed": seed, "step": step}
            watched = {"seconds": time.monotonic() - begun}
            rows.append(key | row_of(right_Q, distinct_Q, averages, first_Q) | watched)
            state = {"training": state_of(training), "noise": grader.state_dict()}
            state |= {"rows": rows, "first_Q": first_Q, "step": step}
            replace(state_path, lambda part: torch.save(state, part))  # noqa: B023
            replace(path, lambda part: pd.DataFrame(rows).to_parquet(part, index=False))
            begun = time.monotonic()
        if step >= steps:
            return pd.DataFrame(rows)
        place = PROMPTS * step % len(problems)
        training.step([problems[(place + index) % len(problems)] for index in range(PROMPTS)])
        step += 1


def collect(out: Path, folder: Path) -> None:
    """All rows of OUT, a file a task."""
    rows = pd.concat([pd.read_parquet(path) for path in sorted((out / "rows").glob("*.parquet"))])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in rows.groupby("task"):
        part = part.sort_values(["reward", "arm", "seed", "step"]).drop(columns="seconds", errors="ignore")
        part.to_parquet(folder / f"{name}.parquet", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of models, states and rows")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=["countdown"])
    parser.add_argument(
        "--rewards", nargs="+", choices=("right_wrong", "graded", "noisy"), default=["right_wrong"]
    )
    parser.add_argument("--arms", nargs="+", default=["grpo"], help="see benchmarks/study/arms.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--collect", type=Path, metavar="FOLDER", help="gather the rows of OUT and end")
    args = parser.parse_args()
    if args.collect:
        collect(args.out, args.collect)
        return
    if args.steps < 1 or args.steps % EVERY:
        parser.error(f"--steps must be a multiple of {EVERY}, got {args.steps}")
    try:
        for name in args.arms:
            arm(name)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)  # a run a core; more threads wait for each other
    for task in args.tasks:
        for reward in args.rewards:
            for seed in args.seeds:
                for name in args.arms:
                    begun = time.monotonic()
                    last = train(task, reward, name, seed, args.steps, args.out).iloc[-1]
                    figures = " ".join(f"{last[f'pass@{k}']:.3f}" for k in (1, 8, 64))
                    print(
                        f"{task} {reward} {name} {seed} step {last['step']}: pass@1, 8, 64 {figures}, "
                        f"{last['distinct_right']:.1f} distinct, entropy {last['entropy']:.2f}, "
                        f"{time.monotonic() - begun:.0f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
