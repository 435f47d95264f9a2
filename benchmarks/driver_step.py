"""What AMIR adds to the driver's part of a step, over verl's own advantages, in seconds and memory.

python -m benchmarks.driver_step [ROWSxTOKENS ...] [--full] [--quick]

verl's `_compute_advantage` and the mixin's around it, in turns on one batch, on one thread (Ray gives this
actor one), with the queue in memory. Lengths of responses are uniform up to the limit; with --full all have
it. Each size runs in a process of its own. A line a size: `ROWSxTOKENS SECONDS MEGABYTES`, what AMIR adds in
either, and the ratio of its seconds to those of verl's own step.
"""

import argparse
import statistics
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.measure import interleaved, machine, verdict
from benchmarks.memory_queue import MemoryQueue
from benchmarks.peak_memory import peak_increase

GROUP = 8
SIZES = ("4096x4096", "16384x2048")
# Seconds and megabytes to stay below; ratio to verl's own advantage step.
TARGETS = {"4096x4096": (0.9, 150.0), "16384x2048": (1.8, 300.0)}
RATIO = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", metavar="ROWSxTOKENS", help=f"default: {' '.join(SIZES)}")
    parser.add_argument("--loss", default="vanilla", help="verl's policy loss")
    parser.add_argument("--full", action="store_true", help="every response has the longest length")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two repeats")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.sizes = args.sizes or list(SIZES)
    for size in args.sizes:
        rows, _, tokens = size.partition("x")
        if not (rows.isdigit() and tokens.isdigit() and int(tokens) and int(rows) and int(rows) % GROUP == 0):
            parser.error(f"{size}: a size is ROWSxTOKENS, rows a multiple of {GROUP}")
    repeats = 2 if args.quick else args.repeats
    torch.set_num_threads(1)
    if args.alone:
        (size,) = args.sizes
        measure(*map(int, size.split("x")), loss=args.loss, full=args.full, repeats=repeats)
        return
    print(f"driver's step: groups of {GROUP}, policy loss {args.loss}, {repeats} interleaved repeats")
    print(machine(), flush=True)
    for size in args.sizes:
        # The memory that one size leaves behind would hide the next one's.
        options = ["--loss", args.loss, "--repeats", str(repeats), *(["--full"] if args.full else [])]
        status = subprocess.call([sys.executable, "-m", __spec__.name, "--alone", size, *options])
        if status:
            sys.exit(status)


def measure(rows: int, tokens: int, *, loss: str, full: bool, repeats: int) -> None:
    """One size: the line, and the verdicts where the size has targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # verl's list of the engines that are not installed
        plain, amir = trainers(rows, tokens, loss=loss, full=full)
    memory = {name: peak_increase(run) for name, run in (("plain", plain), ("amir", amir))}
    times = interleaved({"plain": plain, "amir": amir}, repeats=repeats)
    # On one thread CPU time is the clock's time without what other processes took.
    base, both = times["plain"].cpu, times["amir"].cpu
    seconds = statistics.median(b - a for a, b in zip(base, both, strict=True))
    ratio = seconds / statistics.median(base)
    known = None not in memory.values()
    megabytes = (memory["amir"] - memory["plain"]) * 2**20 / 1e6 if known else float("nan")
    print(f"{rows}x{tokens} {seconds:.2f} {megabytes:.0f} (verl's own: {statistics.median(base):.2f} s)")
    at_most = TARGETS.get(f"{rows}x{tokens}")
    if at_most and not full:
        print(" ", verdict("seconds added", seconds, at_most=at_most[0]))
        print(" ", verdict("megabytes added", megabytes, at_most=at_most[1]))
    print(" ", verdict("seconds added / verl's own advantage step", ratio, at_most=RATIO), flush=True)


def trainers(rows: int, tokens: int, *, loss: str, full: bool) -> tuple[Any, Any]:
    """verl's advantage step and AMIR's on one random batch, as calls."""
    from hydra import compose, initialize_config_module
    from verl.trainer.ppo.core_algos import get_policy_loss_fn
    from verl.trainer.ppo.v1 import PPOTrainerSync, trainer_base
    from verl.utils.config import omega_conf_to_dataclass

    from amir_verl.config import AmirConfig
    from amir_verl.objective.lambda_schedule import LambdaController
    from amir_verl.trainer import driver
    from amir_verl.trainer.no_pairs import NoPairsWatch

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose(
            "ppo_trainer",
            overrides=[
                "+amir@_global_=grpo",
                f"actor_rollout_ref.rollout.n={GROUP}",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
                f"actor_rollout_ref.actor.policy_loss.loss_mode={loss}",
            ],
        )
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    queue = random_step(rows, tokens, full=full)
    calls = []
    for kind in (PPOTrainerSync, driver.AmirTrainerSync):
        trainer = object.__new__(kind)
        trainer.config, trainer.tokenizer = config, SimpleNamespace(eos_token_id=0)
        trainer._amir = AmirConfig()
        trainer._lambda = LambdaController(trainer._amir)
        trainer._no_pairs = NoPairsWatch(trainer._amir.reward_margin)
        trainer._actor_config, trainer._policy_loss = actor, get_policy_loss_fn(loss)
        calls.append(lambda trainer=trainer: trainer._compute_advantage(queue.batch(), {}))
    trainer_base.tq = driver.tq = queue
    return tuple(calls)


def random_step(rows: int, tokens: int, *, full: bool) -> MemoryQueue:
    """A step's fields in the queue: right or wrong answers of random length."""
    draw = torch.Generator().manual_seed(0)
    length = torch.full((rows,), tokens)
    if not full:
        length = torch.randint(1, tokens + 1, (rows,), generator=draw)
    offsets = torch.nn.functional.pad(length.cumsum(0), (1, 0))
    total = int(offsets[-1])
    scores = torch.zeros(total)
    scores[offsets[1:] - 1] = torch.randint(0, 2, (rows,), generator=draw).float()
    keys = [f"prompt-{row // GROUP}_{row % GROUP}_0" for row in range(rows)]
    queue = MemoryQueue(keys, [{} for _ in keys])
    jagged = {
        "responses": torch.randint(0, 150_000, (total,), generator=draw),
        "response_mask": torch.ones(total, dtype=torch.long),
        "rm_scores": scores,
        "old_log_probs": -torch.rand(total, generator=draw),
    }
    columns = {
        name: torch.nested.nested_tensor_from_jagged(
            values, offsets=offsets, min_seqlen=int(length.min()), max_seqlen=int(length.max())
        )
        for name, values in jagged.items()
    }
    columns["uid"] = [key.rsplit("_", 2)[0] for key in keys]
    columns["extra_fields"] = [{"reward_extra_info": {"acc": 0.0}} for _ in keys]
    queue.kv_batch_put(keys=keys, partition_id="train", fields=columns)
    return queue


if __name__ == "__main__":
    main()
