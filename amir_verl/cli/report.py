"""Compare two runs: `amir-verl report RUN_A RUN_B [BASE] --out DIR` writes a page and PNGs.

`--also RUN ...` draws further runs beside them, where pass@k over training is shown.

A run is a directory with verl's metrics file (trainer.logger=[console,file], VERL_FILE_LOGGER_PATH) and its
validation dumps (trainer.validation_data_dir), or with the samples.parquet of `amir-verl evaluate`, or one
file of sample rows. Without BASE, the dump of step 0 of RUN_A is the base where it has one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from amir_verl.cli import complain


def _named_run(argument: str) -> tuple[str, str]:
    """Name and directory from `DIR` or `NAME=DIR`; a directory may have = in its name."""
    name, equals, directory = argument.partition("=")
    if equals and not Path(argument).exists():
        return name, directory
    return Path(argument).resolve().name, argument


def main(arguments: Sequence[str] | None = None, *, prog: str = "report") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_a", help="the run to compare with, such as GRPO")
    parser.add_argument("run_b", help="the run in question, such as AMIR-GRPO")
    parser.add_argument("base", nargs="?", help="rows of the model that both started from")
    parser.add_argument("--out", type=Path, required=True, help="directory of the report")
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="names to show: of A, of B, and of the base"
    )
    parser.add_argument(
        "--also",
        nargs="+",
        metavar="[NAME=]RUN",
        default=(),
        help="further run directories to draw where pass@k over training is shown; seeds may share a name",
    )
    parser.add_argument("--step", type=int, help="validation step to compare; else the last of each run")
    parser.add_argument(
        "--threshold", type=float, help="count a response as correct when its score is at least this"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    args = parser.parse_args(arguments)

    from amir_verl.evaluation.comparison.pass_curves import pass_curve
    from amir_verl.evaluation.comparison.report import write_report
    from amir_verl.evaluation.comparison.run_files import load_run

    name_a, name_b, name_base = [*(args.names or ()), None, None, None][:3]
    try:
        a = load_run(args.run_a, name=name_a, step=args.step, threshold=args.threshold)
        b = load_run(args.run_b, name=name_b, step=args.step, threshold=args.threshold)
        base = None
        if args.base:
            base = load_run(args.base, name=name_base or "base", first=True, threshold=args.threshold)
        elif a.first_step == 0 and a.step:
            base = load_run(args.run_a, name=name_base or "base", step=0, threshold=args.threshold)
        also = [_named_run(argument) for argument in args.also]
        for _, directory in also:
            if not Path(directory).is_dir():
                raise ValueError(f"--also {directory}: no such run directory")
        curves = [
            pass_curve(directory, name=name, threshold=args.threshold)
            for name, directory in ((a.name, args.run_a), (b.name, args.run_b), *also)
        ]
        curves = [curve for curve in curves if curve]
        page = write_report(a, b, base, out=args.out, curves=curves, seed=args.seed)
    except (ValueError, OSError) as error:
        return complain(prog, error, status=2)
    print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
