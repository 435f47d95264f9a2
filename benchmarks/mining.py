"""Mining and weights of a whole batch over a loop over its pairs, and how they grow with the prompts.

python -m benchmarks.mining [--quick]

Two stages: mining and weights alone, and with all that a step sends to the workers (anchors, signed weights)
and needs for lambda (the gradient). Two loops: over tensors read element by element, as in training code with
tensors at hand, and over plain numbers. Both ways end with the same values; that is asserted first.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.pairs import Pairs, mine_pairs
from benchmarks.measure import interleaved, machine, verdict
from benchmarks.pair_loop import assert_same, loop_pairs, loop_preferences
from benchmarks.peak_memory import keep_freed_memory

CONFIG = AmirConfig(rank_weighting="linear", reward_margin=0.05)


def batch(prompts: int, responses: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log-probabilities, rewards on a grid of 64 (so that some tie) and groups, in shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    rows = prompts * responses
    order = torch.randperm(rows, generator=generator)
    group = torch.arange(prompts).repeat_interleave(responses)[order]
    rewards = torch.randint(0, 64, (rows,), generator=generator).float() / 63
    return -torch.rand(rows, generator=generator, dtype=torch.float64), rewards, group


def mine(mean: Tensor, rewards: Tensor, group: Tensor) -> Pairs:
    """Pairs and weights, vectorised."""
    return mine_pairs(rewards, group, CONFIG, order_N=mean)


def prefer(mean: Tensor, rewards: Tensor, group: Tensor) -> Preferences:
    """Pairs, weights and everything that a step derives from them, vectorised."""
    return step_preferences(mean, rewards, group, torch.ones_like(group, dtype=torch.bool), CONFIG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1024)
    parser.add_argument("--responses", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    args = parser.parse_args()
    repeats = 9 if args.quick else args.repeats
    torch.set_num_threads(1)
    print(f"mining: {args.prompts} prompts x {args.responses} responses, all pairs, linear rank weights")
    print(machine())
    kept = keep_freed_memory()
    print(f"page faults: {'left out, the process keeps what it frees' if kept else 'counted'}")

    once = mean, rewards, group = batch(args.prompts, args.responses, seed=0)
    twice = batch(2 * args.prompts, args.responses, seed=1)
    groups, numbers = group.tolist(), (mean.tolist(), rewards.tolist())
    margin, beta = CONFIG.reward_margin, CONFIG.beta
    assert_same(
        loop_preferences(*numbers, groups, margin=margin, beta=beta),
        pairs=mine(*once),
        preferences=prefer(*once),
    )
    print(f"{len(mine(*once)):,} pairs; both ways give the same pairs, weights, anchors and gradient")

    print("mining and weights, CPU ms, fastest:")
    compare(
        partial(mine, *once),
        partial(mine, *twice),
        partial(loop_pairs, numbers[1], groups, margin=margin),
        partial(loop_pairs, rewards, groups, margin=margin),
        repeats=repeats,
    )
    print("with anchors, signed weights and gradient, CPU ms, fastest:")
    compare(
        partial(prefer, *once),
        partial(prefer, *twice),
        partial(loop_preferences, *numbers, groups, margin=margin, beta=beta),
        partial(loop_preferences, mean, rewards, groups, margin=margin, beta=beta),
        repeats=repeats,
    )


def compare(
    vectorised: Callable[[], object],
    twice: Callable[[], object],
    over_numbers: Callable[[], object],
    over_tensors: Callable[[], object],
    *,
    repeats: int,
) -> None:
    """Time one stage in its four forms and print what stands against the targets.

    Calls of some milliseconds: the fastest of many is the work itself, the rest is what other processes do to
    caches and memory.
    """
    variants = {"vectorised": vectorised, "twice the prompts": twice, "loop over numbers": over_numbers}
    fastest = {name: min(seconds.cpu) for name, seconds in interleaved(variants, repeats=repeats).items()}
    fastest["loop over tensors"] = min(interleaved({"loop": over_tensors}, repeats=2)["loop"].cpu)
    for name, seconds in fastest.items():
        print(f"  {name:<18} {seconds * 1e3:9.1f}")
    for loop in ("loop over tensors", "loop over numbers"):
        print(" ", verdict(f"{loop} / vectorised", fastest[loop] / fastest["vectorised"], at_least=100))
    growth = fastest["twice the prompts"] / fastest["vectorised"]
    print(" ", verdict("twice the prompts / once", growth, at_most=2.2))


if __name__ == "__main__":
    main()
