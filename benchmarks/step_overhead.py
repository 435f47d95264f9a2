"""A whole step of verl's trainer with AMIR over the same step without, switched inside one run.

python -m benchmarks.step_overhead [--quick]

One training by `verl.trainer.main_ppo` with the preset grpo on a random tiny model whose responses all have
one length. Its steps are verl's own and AMIR's in turn (benchmarks/switched_trainer.py): off, on, on, off.
So both kinds meet the same process, model, batch sizes and load. Each pair of neighbours gives a ratio; the
median counts, and its interval is that of the sign test, which asks nothing of the noise. The first steps of
a run are left out.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import machine, verdict
from benchmarks.switched_trainer import ON
from benchmarks.trainer_run import RunSize, train, write_inputs

PHASES = ("gen", "old_log_prob", "adv", "update_actor", "update_weights", "step")
WORK = ("adv", "update_actor")  # where AMIR has something to do
WARM_UP = 6  # whole pairs of steps
AT_MOST = 1.02


class Paired(NamedTuple):
    """Median of a figure over pairs of steps, and its 95 % interval."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.4f}, 95 % interval {self.low:.4f} to {self.high:.4f}, {self.pairs} pairs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="of steps with and without AMIR")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--responses", type=int, default=8, help="of a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of a response")
    parser.add_argument("--width", type=int, default=128, help="hidden size of the model")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which the run has failed")
    parser.add_argument("--out", type=Path, help="keep inputs, log and metrics here")
    parser.add_argument("--quick", action="store_true", help="8 pairs")
    args = parser.parse_args()
    pairs = 8 if args.quick else args.pairs
    if pairs < 6:
        parser.error(f"--pairs must be at least 6, or there is no 95 % interval; got {pairs}")
    steps = WARM_UP + 2 * pairs
    size = RunSize(steps, args.prompts, args.responses, args.tokens, args.width, args.layers)

    print(
        f"whole step: {size.prompts} prompts x {size.responses} responses x {size.tokens} tokens, "
        f"{size.layers} layers of {size.width}, {pairs} pairs of steps"
    )
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.out or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        write_inputs(folder, size)
        try:
            logged = train(
                folder,
                "switched",
                ["+amir@_global_=grpo"],
                size,
                limit=args.limit,
                modules=["benchmarks.switched_trainer"],
            )
        except RuntimeError as error:
            sys.exit(str(error))
    print("\n".join(report(logged[WARM_UP:])))


def report(steps: Sequence[Mapping[str, float]]) -> list[str]:
    """The table of phases and the two figures, from the metrics of consecutive steps."""
    kinds = [[step for step in steps if step[ON] == on] for on in (0.0, 1.0)]
    assert len(kinds[0]) == len(kinds[1]) == len(steps) / 2
    lines = [f"{'phase, median s':<16} {'without':>8} {'with':>8} {'difference':>11}"]
    for phase in PHASES:
        off, on = (statistics.median(step[f"timing_s/{phase}"] for step in kind) for kind in kinds)
        lines.append(f"{phase:<16} {off:>8.4f} {on:>8.4f} {on - off:>+11.4f}")
    whole = over_pairs(steps, PHASES[-1:])
    work = over_pairs(steps, WORK)
    lines += [f"whole step: {whole}", f"by {' and '.join(WORK)} alone: {work}"]
    lines.append(verdict("step with AMIR / without", whole.median, at_most=AT_MOST))
    lines.append(verdict("the same, by the phases where AMIR works", work.median, at_most=AT_MOST))
    return lines


def over_pairs(steps: Sequence[Mapping[str, float]], phases: Sequence[str]) -> Paired:
    """1 + what `phases` take longer in a step with AMIR, over the whole step without, pair by pair."""
    from scipy.stats import quantile_test

    ratios = []
    for pair in zip(steps[::2], steps[1::2], strict=True):
        off, on = sorted(pair, key=lambda step: step[ON])
        assert (off[ON], on[ON]) == (0.0, 1.0)
        longer = sum(on[f"timing_s/{phase}"] - off[f"timing_s/{phase}"] for phase in phases)
        ratios.append(1 + longer / off["timing_s/step"])
    median = statistics.median(ratios)
    interval = quantile_test(ratios, q=median, p=0.5).confidence_interval(0.95)
    return Paired(median, float(interval.low), float(interval.high), len(ratios))


if __name__ == "__main__":
    main()
