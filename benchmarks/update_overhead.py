"""The actor's update with AMIR over the same update without, at growing group sizes and equal tokens.

python -m benchmarks.update_overhead [--quick]

One process, one batch, verl's own worker and loss: forward, loss, backward, gradient clipping, optimizer.
Beside it stands the pair-by-pair way, a second forward and backward of chosen and rejected of every pair as
an implementation of DPO would do it; it is timed at the first group size and must give the same gradient.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import warnings
from functools import partial
from pathlib import Path

import torch
from tensordict import TensorDict

from benchmarks.actor_update import (
    MODELS,
    Actor,
    Batch,
    Size,
    build_actor,
    pair_rows,
    rollout,
    update,
    update_pair_by_pair,
    with_groups,
)
from benchmarks.measure import clock, interleaved, machine, ratio, spread, verdict
from benchmarks.peak_memory import peak_increase

LEGEND = """\
update: the plain update, CPU seconds (with CUDA: by the clock). +AMIR: ratio and half the distance of its
quartiles. fastest: ratio of the fastest runs, for a busy machine. +driver: +AMIR with the driver's mining.
memory: ratio of peak increases. by pairs: a second forward and backward of every pair, over the plain update;
~ from the cost of a pair at the top. - for large models, which compute in bfloat16: the gradients of the two
ways differ by its rounding, so that their equality would show nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[8, 32, 64, 256], help="group sizes")
    parser.add_argument("--responses", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=8, help="tokens of a prompt")
    parser.add_argument("--response", type=int, default=24, help="most tokens of a response")
    parser.add_argument("--model", choices=MODELS, default="small", help="its shape; weights are random")
    parser.add_argument("--layers", type=int, default=4, help="of the small model")
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="group sizes 8 and 64, fewer responses, repeats")
    args = parser.parse_args()
    if args.quick:
        args.groups, args.responses, args.repeats = [8, 64], 64, 5
    for group in args.groups:
        if args.responses % group:
            parser.error(f"--responses {args.responses} is not a multiple of the group size {group}")
    torch.set_num_threads(1)

    size = Size(args.responses, args.prompt, args.response, args.layers, args.micro_batch, args.model)
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # verl's list of the engines that are not installed
            actor = build_actor(Path(folder), size)
        data = rollout(actor, size, seed=0)
        parameters = sum(p.numel() for p in actor.worker.engine.module.parameters())
        print(
            f"\nactor update: {args.responses} responses, {data['input_ids'].values().numel()} tokens, "
            f"{parameters / 1e6:.1f}M parameters, micro-batches of {args.micro_batch}, "
            f"{args.repeats} interleaved repeats"
        )
        print(machine())
        measure_groups(actor, data, args)


def measure_groups(actor: Actor, data: TensorDict, args: argparse.Namespace) -> None:
    """One row of the table for each group size, then the verdicts."""
    print(" group   pairs   update            +AMIR  fastest  +driver  memory  by pairs")
    lines, seconds_a_pair = [], None
    for place, group in enumerate(args.groups):
        batch = with_groups(data, group_size=group, seed=1)
        times = interleaved(
            {name: partial(update, actor, batch, amir=name == "amir") for name in ("plain", "amir")},
            repeats=args.repeats,
        )
        # On one thread CPU time is the clock's time without what other processes took.
        plain, amir = (
            times[name].wall if torch.cuda.is_available() else times[name].cpu for name in ("plain", "amir")
        )
        driver = interleaved({"driver": batch.driver}, repeats=5)["driver"].cpu
        base = statistics.median(plain)
        if seconds_a_pair is None and args.model == "small":
            seconds_a_pair = pair_seconds(actor, batch, base)
        by_pairs = "-"
        if seconds_a_pair is not None:
            by_pairs = f"{'~' if place else ''}{1 + seconds_a_pair * len(batch.pairs) / base:.1f}"
        overhead = ratio(amir, plain)
        print(
            f"{group:>6} {len(batch.pairs):>7} {base:>7.2f}s {overhead:>8.4f} +- {spread(amir, plain):.3f} "
            f"{min(amir) / min(plain):>8.4f} {overhead + statistics.median(driver) / base:>8.4f} "
            f"{memory_ratio(actor, batch):>7} {by_pairs:>9}",
            flush=True,
        )
        target = 1.02 if group <= 8 else 1.05
        lines.append(verdict(f"update with AMIR / without, groups of {group}", overhead, at_most=target))
    print(LEGEND)
    print("\n".join(lines))


def pair_seconds(actor: Actor, batch: Batch, base: float) -> float:
    """Seconds that the pair-by-pair way adds for each pair; asserts that it gives AMIR's gradient."""
    pairs = pair_rows(batch)
    wall, cpu = clock()
    norm = update_pair_by_pair(actor, batch, pairs)
    wall_after, cpu_after = clock()
    seconds = wall_after - wall if torch.cuda.is_available() else cpu_after - cpu
    expected = update(actor, batch, amir=True)
    assert abs(norm - expected) <= 1e-3 * expected, f"gradient norms differ: {norm} and {expected}"
    return (seconds - base) / len(batch.pairs)


def memory_ratio(actor: Actor, batch: Batch) -> str:
    """Peak increase of the update with AMIR over that without, medians of three; "?" where unknown."""
    peaks = {
        amir: [peak_increase(partial(update, actor, batch, amir=amir)) for _ in range(3)]
        for amir in (False, True)
    }
    if any(peak is None for row in peaks.values() for peak in row):
        return "?"
    return f"{statistics.median(peaks[True]) / statistics.median(peaks[False]):.3f}"


if __name__ == "__main__":
    main()
