"""Run a grid of the study; resumable, a row a run in OUT/runs.parquet.

python -m benchmarks.study --grid small --out outputs/study
python -m benchmarks.study.report --runs outputs/study/runs.parquet --page outputs/study/page.md
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.study.grid import ARMS, CELLS, SMALL_ARMS, SMALL_CELLS, Run, runs
from benchmarks.study.training import Length, end_all, make_model, train

FILE_NAME = "runs.parquet"
KEY = ["trainer", "cell", "arm", "seed"]


def read_rows(path: Path, length: Length) -> pd.DataFrame:
    """Rows of finished runs; empty where there are none.

    Raises:
        ValueError: they were trained for another number of steps, or validated at others.
    """
    if not path.exists():
        return pd.DataFrame(columns=KEY)
    rows = pd.read_parquet(path)
    others = sorted(set(rows["num_steps"]) - {length.steps})
    if others:
        raise ValueError(f"{path} holds runs of {others[0]} steps, not {length.steps}: give another --out")
    # A mean over validations compares nothing where they lie at different steps.
    every = sorted({int(steps[1]) for steps in rows["steps"]} - {min(length)})
    if every:
        raise ValueError(
            f"{path} holds runs validated every {every[0]} steps, not {min(length)}: give another --out"
        )
    return rows


def add_row(path: Path, row: dict) -> None:
    """Append a row; the file is whole at every moment."""
    new = pd.DataFrame([row])
    rows = pd.concat([pd.read_parquet(path), new], ignore_index=True) if path.exists() else new
    part = path.with_suffix(".part")
    rows.sort_values(KEY).to_parquet(part, index=False)
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--grid", choices=("small", "full"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of rows, logs and models")
    parser.add_argument("--cells", nargs="+", choices=sorted(CELLS), help="instead of the grid's")
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), help="instead of the grid's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--trainer", choices=("verl", "loop"), default="verl", help="loop: one process, to look at many arms"
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--validate-every", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; verl's need 8 GiB each")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a run has failed")
    args = parser.parse_args()
    for name in ("steps", "validate_every", "jobs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    args.out.mkdir(parents=True, exist_ok=True)
    length, path = Length(args.steps, args.validate_every), args.out / FILE_NAME
    try:
        rows = read_rows(path, length)
    except ValueError as error:
        parser.error(str(error))
    done = set(zip(*(rows[name] for name in KEY), strict=True))
    cells = args.cells or (SMALL_CELLS if args.grid == "small" else CELLS)
    arms = args.arms or (SMALL_ARMS if args.grid == "small" else ARMS)
    grid = runs(list(cells), list(arms), args.seeds)
    left = [run for run in grid if (args.trainer, run.cell.name, run.arm.name, run.seed) not in done]
    print(f"{len(grid)} runs, {len(grid) - len(left)} of them done", flush=True)
    if args.trainer == "verl":
        work = partial(train, out=args.out, length=length, limit=args.limit)
        failures = _train_all(left, work, ThreadPoolExecutor(args.jobs), path, args.trainer, length)
    else:
        from benchmarks.study.loop import train as train_here

        for run in left:
            make_model(run, args.out)  # here: two processes would make one model twice
        work = partial(train_here, out=args.out, length=length)
        pool = ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn"))
        failures = _train_all(left, work, pool, path, args.trainer, length)
    if failures:
        raise SystemExit(f"{len(failures)} of {len(left)} runs failed; the same command tries them again")


def _train_all(
    left: list[Run],
    work: Callable[[Run], dict[str, Any]],
    pool: Executor,
    path: Path,
    trainer: str,
    length: Length,
) -> list[str]:
    """Train what is left, printing a line a run; the failures."""
    started, failures = time.monotonic(), []
    try:
        futures = {pool.submit(work, run): run for run in left}
        for number, future in enumerate(as_completed(futures), start=1):
            run = futures[future]
            minutes = (time.monotonic() - started) / 60
            place = f"[{number}/{len(left)}, {minutes / number * (len(left) - number):.0f} min left]"
            try:
                figures = future.result()
            except RuntimeError as error:
                failures.append(str(error))
                print(f"{place} {error}", flush=True)
                continue
            settings = {
                "trainer": trainer,
                "cell": run.cell.name,
                "arm": run.arm.name,
                "seed": run.seed,
                "num_steps": length.steps,
                "overrides": " ".join(run.arm.overrides),
                "learning_rate": run.arm.learning_rate,
            }
            add_row(path, settings | figures)
            first, last = figures["pass@1"][0], figures["pass@1"][-1]
            print(f"{place} {run.name}: {first:.3f} -> {last:.3f} in {figures['seconds']:.0f} s", flush=True)
    except KeyboardInterrupt:
        end_all()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failures


if __name__ == "__main__":
    main()
