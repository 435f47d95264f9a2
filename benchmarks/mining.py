"""Mining and weights of a whole batch over a loop over its pairs, and how they grow with the prompts.

python -m benchmarks.mining [--quick]

Both sides end with the same pairs, weights, anchors, signed weights and gradient; that is asserted before
anything is timed.
"""

import argparse
import statistics
from functools import partial

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.mining import mine_pairs
from amir_verl.preferences import Preferences, step_preferences
from benchmarks.measure import clock, interleaved, machine, ratio, spread, verdict
from benchmarks.pair_loop import assert_same, loop_preferences

CONFIG = AmirConfig(rank_weighting="linear", reward_margin=0.05)


def batch(prompts: int, responses: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log-probabilities, rewards on a grid of 64 (so that some tie) and groups, in shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    rows = prompts * responses
    order = torch.randperm(rows, generator=generator)
    group = torch.arange(prompts).repeat_interleave(responses)[order]
    rewards = torch.randint(0, 64, (rows,), generator=generator).float() / 63
    return -torch.rand(rows, generator=generator, dtype=torch.float64), rewards, group


def vectorised(mean: Tensor, rewards: Tensor, group: Tensor) -> Preferences:
    """Mining and everything a step derives from it."""
    return step_preferences(mean, rewards, group, torch.ones_like(group, dtype=torch.bool), CONFIG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1024)
    parser.add_argument("--responses", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    args = parser.parse_args()
    repeats = 7 if args.quick else args.repeats
    torch.set_num_threads(1)
    print(f"mining: {args.prompts} prompts x {args.responses} responses, all pairs, linear rank weights")
    print(machine())

    mean, rewards, group = batch(args.prompts, args.responses, seed=0)
    groups = group.tolist()
    settings = {"margin": CONFIG.reward_margin, "beta": CONFIG.beta}
    over_numbers = partial(loop_preferences, mean.tolist(), rewards.tolist(), groups, **settings)
    over_tensors = partial(loop_preferences, mean, rewards, groups, **settings)

    eligible = torch.ones_like(group, dtype=torch.bool)
    pairs = mine_pairs(rewards, group, CONFIG, eligible_N=eligible, order_N=mean)
    print(f"{len(pairs):,} pairs; both ways give the same pairs, weights, anchors and gradient: ", end="")
    assert_same(over_numbers(), pairs=pairs, preferences=vectorised(mean, rewards, group))
    print("checked")

    twice = batch(2 * args.prompts, args.responses, seed=1)
    times = interleaved(
        {
            "vectorised": lambda: vectorised(mean, rewards, group),
            "twice the prompts": lambda: vectorised(*twice),
            "loop over numbers": over_numbers,
        },
        repeats=repeats,
    )
    _, start = clock()
    over_tensors()
    _, end = clock()

    print("CPU milliseconds, median:")
    for name, seconds in times.items():
        print(f"  {name:<22} {statistics.median(seconds.cpu) * 1e3:10.1f}")
    print(f"  {'loop over tensors':<22} {(end - start) * 1e3:10.1f}  (once)")
    fast = times["vectorised"].cpu
    print(verdict("loop over tensors / vectorised", (end - start) / statistics.median(fast), at_least=100))
    numbers = times["loop over numbers"].cpu
    print(verdict("loop over plain numbers / vectorised", ratio(numbers, fast), at_least=100))
    growth = times["twice the prompts"].cpu
    print(
        verdict("twice the prompts / once", ratio(growth, fast), at_most=2.2)
        + f" (+- {spread(growth, fast):.2g})"
    )


if __name__ == "__main__":
    main()
