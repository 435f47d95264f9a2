"""Arms of the study through verl's own trainer, with Ray and vLLM, beside the same arms in the loop.

python -m benchmarks.study.through_verl --arms grpo chosen_b2_r3 --seeds 2 3 4 --out outputs/study

A run begins with the loop's first model, meets the loop's problems in the loop's order, and is measured by
the loop's measures on the weights that verl saved; only the trainer and the sampled responses are others. Its
rows have the task `countdown_verl`.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path

import datasets
import pandas as pd
import torch

from amir_verl.demo import countdown
from benchmarks.study.__main__ import GROUP, PROMPTS, first_model, measure, problems_of
from benchmarks.study.arms import Arm, arm
from benchmarks.study.measures import Grader, row_of
from benchmarks.study.policy import Policy
from benchmarks.study.run_state import replace
from benchmarks.study.tasks import TASKS
from benchmarks.trainer_run import REPOSITORY, run_to_end

TASK, LABEL = "countdown", "countdown_verl"
ACTOR = "actor_rollout_ref.actor"
LIMIT_SECONDS = 3600
_SETTINGS = {
    "learning_rate": f"{ACTOR}.optim.lr",
    "clip_low": f"{ACTOR}.clip_ratio_low",
    "clip_high": f"{ACTOR}.clip_ratio_high",
    "norm_by_std": "algorithm.norm_adv_by_std_in_grpo",
    "entropy": f"{ACTOR}.entropy_coeff",
    "kl": f"{ACTOR}.kl_loss_coef",
}


def overrides(found: Arm) -> list[str]:
    """An arm in verl's settings.

    Raises:
        ValueError: verl has no setting for something that the arm changes.
    """
    known = (*_SETTINGS, "updates", "amir")
    if found != Arm(**{field: getattr(found, field) for field in known}):
        raise ValueError(f"only {', '.join(known)} can go through verl, got {found}")
    words = [f"{name}={getattr(found, field)}" for field, name in _SETTINGS.items()]
    words.append(f"{ACTOR}.ppo_mini_batch_size={PROMPTS // found.updates}")
    if found.kl:
        words += [f"{ACTOR}.use_kl_loss=True", f"{ACTOR}.kl_loss_type=low_var_kl"]
    if found.amir:
        words += [
            f"amir.{field.name}={getattr(found.amir, field.name)}"
            for field in dataclasses.fields(found.amir)
            if getattr(found.amir, field.name) != field.default
        ]
    return words


def train(name: str, seed: int, steps: int, every: int, out: Path) -> pd.DataFrame:
    """One run, and its rows; what is already there is kept."""
    path = out / "rows" / f"{LABEL}-right_wrong-{name}-{seed}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    task, found = TASKS[TASK], arm(name)
    model = first_model(TASK, task, seed, out)
    folder = (out / "verl" / f"{name}-{seed}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    problems, held_out = problems_of(task, seed)
    questions = [countdown.verl_row(problem, index, "train") for index, problem in enumerate(problems)]
    datasets.Dataset.from_list(questions).to_parquet(folder / "train.parquet")
    datasets.Dataset.from_list(questions[:PROMPTS]).to_parquet(folder / "validation.parquet")
    variables = {
        "ALGO": "amir_grpo" if found.amir else "grpo",
        "TINY": model.resolve(),
        "TRAIN": folder / "train.parquet",
        "VAL": folder / "validation.parquet",
        "REWARD": "pkg://amir_verl.demo.countdown",
        "OUT": folder,
        "PYTHON": sys.executable,
        "PROMPTS": PROMPTS,
        "GROUP": GROUP,
        "PROMPT_LENGTH": 16,
        "RESPONSE_LENGTH": task.tokens,
        "STEPS": steps,
        "SEED": seed,
    }
    words = [
        *overrides(found),
        f"{ACTOR}.optim.weight_decay=0.0",
        "data.shuffle=False",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        f"trainer.save_freq={every}",
        f"{ACTOR}.checkpoint.save_contents=[model,hf_model]",
    ]
    environment = os.environ | {key: str(value) for key, value in variables.items()}
    command = ["bash", str(REPOSITORY / "recipes" / "tiny_cpu.sh"), *words]
    with (folder / "train.log").open("w") as log:
        status = run_to_end(command, environment, REPOSITORY, log, seconds=LIMIT_SECONDS)
    if status:
        raise RuntimeError(f"verl ended with {status}, see {folder / 'train.log'}")
    rows, first_Q = [], None
    for step in range(0, steps + 1, every):
        saved = folder / "checkpoints" / f"global_step_{step}" / "actor" / "huggingface"
        policy = Policy.load(saved if step else model)
        grader = Grader(policy, "right_wrong", seed)
        right_Q, distinct_Q, averages = measure(policy, TASK, held_out, grader, seed=seed, step=step, out=out)
        first_Q = right_Q if first_Q is None else first_Q
        key = {"task": LABEL, "reward": "right_wrong", "arm": name, "seed": seed, "step": step}
        rows.append(key | row_of(right_Q, distinct_Q, averages, first_Q))
    table = pd.DataFrame(rows)
    replace(path, lambda part: table.to_parquet(part, index=False))
    shutil.rmtree(folder / "checkpoints")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study.through_verl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the study's folder of models and rows")
    parser.add_argument("--arms", nargs="+", default=["grpo"], help="see benchmarks/study/arms.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3, 4])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--every", type=int, default=50, help="steps between measurements")
    args = parser.parse_args()
    if args.every < 1 or args.steps % args.every:
        parser.error(f"--steps must be a multiple of --every, got {args.steps} and {args.every}")
    try:
        for name in args.arms:
            overrides(arm(name))
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    for seed in args.seeds:
        for name in args.arms:
            begun = time.monotonic()
            last = train(name, seed, args.steps, args.every, args.out).iloc[-1]
            figures = " ".join(f"{last[f'pass@{k}']:.3f}" for k in (1, 8, 64))
            print(f"{name} {seed}: pass@1, 8, 64 {figures}, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
