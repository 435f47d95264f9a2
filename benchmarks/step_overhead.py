"""A whole step of verl's trainer with AMIR over the same step without.

python -m benchmarks.step_overhead [--quick]

Runs of `python -m verl.trainer.main_ppo`, `sync` with plain GRPO and `amir_sync` with +amir=grpo in turns, on
a random tiny model whose responses all have one length. The first steps of a run are left out. Noise of a
shared machine falls mostly on the rollout, which AMIR does not touch: so what AMIR adds to the two phases
where it works, advantages and actor update, is printed beside the ratio of whole steps.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import machine, verdict
from benchmarks.trainer_run import RunSize, train, write_inputs

MODES = {"sync": ["trainer.v1.trainer_mode=sync"], "amir_sync": ["+amir=grpo"]}
PHASES = ("gen", "old_log_prob", "adv", "update_actor", "update_weights", "step")
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="runs of each mode")
    parser.add_argument("--steps", type=int, default=35, help=f"steps of a run, {WARM_UP} of them left out")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--responses", type=int, default=8, help="of a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of a response")
    parser.add_argument("--width", type=int, default=128, help="hidden size of the model")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a run has failed")
    parser.add_argument("--out", type=Path, help="keep inputs, logs and metrics here")
    parser.add_argument("--quick", action="store_true", help="one run of each mode, 15 steps")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.steps = 1, 15
    if args.steps < WARM_UP + 2:
        parser.error(f"--steps must be at least {WARM_UP + 2}, got {args.steps}")
    size = RunSize(args.steps, args.prompts, args.responses, args.tokens, args.width, args.layers)

    print(
        f"whole step: {size.prompts} prompts x {size.responses} responses x {size.tokens} tokens, "
        f"{size.layers} layers of {size.width}, {args.rounds} runs of {size.steps} steps in each mode"
    )
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.out or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        write_inputs(folder, size)
        seconds = run_all(folder, size, rounds=args.rounds, limit=args.limit)
    report(seconds)


def run_all(folder: Path, size: RunSize, *, rounds: int, limit: float) -> dict[str, dict[str, list[float]]]:
    """Seconds by mode and phase over all runs, warm-up left out; the order changes each round."""
    seconds = {mode: {phase: [] for phase in PHASES} for mode in MODES}
    for turn in range(rounds):
        for mode in MODES if turn % 2 == 0 else reversed(MODES):
            start = time.monotonic()
            try:
                steps = train(folder, f"{mode}_{turn}", MODES[mode], size, limit=limit)[WARM_UP:]
            except RuntimeError as error:
                sys.exit(str(error))
            for phase in PHASES:
                seconds[mode][phase] += [step[f"timing_s/{phase}"] for step in steps]
            median = statistics.median(step["timing_s/step"] for step in steps)
            print(f"  {mode:<9} {median:.3f} s a step, {time.monotonic() - start:.0f} s in all", flush=True)
    return seconds


def report(seconds: dict[str, dict[str, list[float]]]) -> None:
    """The table of phases and the two figures."""
    median = {
        mode: {phase: statistics.median(values) for phase, values in phases.items()}
        for mode, phases in seconds.items()
    }
    plain, amir = median["sync"], median["amir_sync"]
    print(f"{'phase, median s':<16} {'sync':>8} {'amir_sync':>10} {'difference':>11}")
    for phase in PHASES:
        print(f"{phase:<16} {plain[phase]:>8.4f} {amir[phase]:>10.4f} {amir[phase] - plain[phase]:>+11.4f}")
    low, _, high = statistics.quantiles(seconds["sync"]["step"], n=4)
    print(f"quartiles of a step without AMIR: {low:.3f} to {high:.3f} s")
    added = sum(amir[phase] - plain[phase] for phase in ("adv", "update_actor"))
    print(verdict("step with AMIR / without", amir["step"] / plain["step"], at_most=1.03))
    print(verdict("1 + (adv and update_actor longer) / step", 1 + added / plain["step"], at_most=1.03))


if __name__ == "__main__":
    main()
