"""Real trainings for the tests: verl's trainer with Ray, TransferQueue, FSDP2 and vLLM, on a tiny model.

What a start costs is imports, some ten seconds in each of a dozen processes. So there are few trainings, and
each answers many questions.
"""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
DIGIT_REWARD = HERE / "digit_reward.py"
# verl waits for ever on a vLLM engine that has died, so no training may run without a limit.
LIMIT_SECONDS = 600

EVERY_STEP = {
    "amir/loss",
    "amir/lambda",
    "amir/grad_ratio",
    "amir/num_pairs",
    "amir/pair_coverage",
    "amir/pair_accuracy",
    "amir/margin",
    "amir/reward_gap",
    "amir/beta_spread",
    "amir/cos_policy",
    "amir/drift",
    "amir/dropped_rewards",
    "amir/empty_responses",
    "amir/groups_of_one",
    "amir/steps_without_pairs",
    "amir/padding_rows",
}

# How far `amir/grad_ratio`, measured in the update, may lie from the ratio that lambda was set to, as a share
# of it. With one mini-batch: float32, and log-probabilities of two passes of the model. With several, all but
# the first see weights that have moved, and clip some tokens' policy gradient away.
BY_ROUNDING, BY_MINI_BATCHES = 1e-3, 0.25
# Here several mini-batches weigh alike in both losses. By token-mean, verl's default, the policy gradient of
# one with a third of the other's tokens is three times as long for that alone, whatever lambda was set by.
SEQUENCE_MEAN = "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"

# Two steps of a recipe without a GPU.
TWO_STEPS = {
    "PLATFORM": "cpu",
    "STEPS": 2,
    "PROMPTS": 4,
    "GROUP": 4,
    # A character is a token for the tiny models' tokenizer.
    "PROMPT_LENGTH": 1536,
    "RESPONSE_LENGTH": 32,
    "VAL_PROBLEMS": 2,
    "VAL_SAMPLES": 2,
    "VAL_BEFORE_TRAIN": "False",
    "TEST_FREQ": 2,
}


def run(command, *, log, env=None, limit=LIMIT_SECONDS):
    """Run a command in a process group of its own, its output into `log`; ends the whole group afterwards."""
    with open(log, "wb") as sink:
        child = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=sink, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        try:
            return child.wait(limit)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def train(recipe, out, *overrides, **variables):
    """One training by a recipe, its variables in capitals; returns step -> metrics. Fails with the end of the
    log.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = {"PYTHON": sys.executable, "OUT": out, "VERL_FILE_LOGGER_PATH": out / "metrics.jsonl"}
    env = os.environ | {name: str(value) for name, value in (settings | variables).items()}
    log = out / "train.log"
    status = run(["bash", f"recipes/{recipe}.sh", *overrides], log=log, env=env)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:])
    assert status == 0, f"{recipe} ended with {status}:\n{tail}"
    metrics: dict[int, dict] = {}
    for line in (out / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        metrics.setdefault(record["step"], {}).update(record["data"])
    return metrics


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def not_finite(data):
    return [name for name, value in data.items() if value is None or not math.isfinite(value)]
