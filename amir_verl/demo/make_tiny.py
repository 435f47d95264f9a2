"""Make a tiny model that is right now and then, and the problems to train and validate it on.

Writes a Hugging Face folder (model, tokenizer, chat template) with train.parquet and validation.parquet in
it. What is there is kept.

--task countdown    reach a target from four numbers: many answers are right, and the model finds one in about
                    one try of ten, and in 64 tries for most problems.
--task arithmetic   worked sums whose carry is forgotten more often than not: the model knows the format and
                    answers about two sums of three right when sampled, one of two when greedy.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import transformers

from amir_verl.demo import arithmetic, countdown
from amir_verl.demo.model import ARCHITECTURES, build_model, build_tokenizer, save_model
from amir_verl.demo.warm_up import warm_up
from amir_verl.demo.words import make_countdown

TASKS = ("arithmetic", "countdown")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--task", choices=TASKS, default="arithmetic")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="qwen2")
    parser.add_argument("--steps", type=int, help="warm-up steps; 0 leaves the model untrained")
    parser.add_argument("--train", type=int, default=2048, help="training problems")
    parser.add_argument("--validation", type=int, default=128, help="held-out problems")
    parser.add_argument(
        "--samples",
        type=int,
        help="rows of a held-out problem, each of which verl samples once: 8 for countdown, else 1",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hidden-size", type=int, default=96)
    sums = parser.add_argument_group("arithmetic")
    sums.add_argument("--difficulty", choices=sorted(arithmetic.DIFFICULTIES), default="easy")
    sums.add_argument(
        "--forgets-carry", type=float, default=0.6, help="share of demonstrations without carry"
    )
    sums.add_argument("--carry-share", type=float, default=0.5, help="share of problems with a carry")
    args = parser.parse_args(arguments)
    for name in ("forgets_carry", "carry_share"):
        if not 0 <= getattr(args, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} is a share from 0 to 1, got {getattr(args, name)}")
    if args.samples is None:
        args.samples = 8 if args.task == "countdown" else 1
    if args.samples < 1:
        parser.error(f"--samples must be 1 or more, got {args.samples}")
    return args


def write_rows(folder: Path, split: str, rows: list[dict], *, times: int = 1) -> None:
    """`times` rows a problem, instead of verl's val_kwargs.n: for each problem, metric and subset size verl
    would draw 1,000 bootstrap samples in Python (trainer/ppo/metric_utils.py:842), which takes longer than
    the samples themselves. pass@k is read from the validation dumps, where the problem's text brings its rows
    together.
    """
    repeated = [row for row in rows for _ in range(times)]
    datasets.Dataset.from_list(repeated).to_parquet(folder / f"{split}.parquet")


def make_sums(args: argparse.Namespace) -> None:
    """The folder of the task arithmetic."""
    share = args.carry_share
    held_out = arithmetic.distinct_sums(
        args.difficulty, args.validation, seed=args.seed + 1, carry_share=share
    )
    training = arithmetic.distinct_sums(
        args.difficulty, args.train, seed=args.seed + 2, without=frozenset(held_out), carry_share=share
    )
    for split, problems, times in (("train", training, 1), ("validation", held_out, args.samples)):
        rows = [arithmetic.verl_row(problem, index, split) for index, problem in enumerate(problems)]
        write_rows(args.out, split, rows, times=times)
    tokenizer = build_tokenizer()
    model = build_model(args.architecture, tokenizer, hidden_size=args.hidden_size, seed=args.seed)
    steps = 500 if args.steps is None else args.steps
    if steps:
        warm_up(
            model,
            tokenizer,
            difficulty=args.difficulty,
            forgets_carry=args.forgets_carry,
            steps=steps,
            carry_share=share,
            without=frozenset(held_out),
            seed=args.seed,
        )
    save_model(model, tokenizer, args.out)  # last: config.json says that the folder is whole


def make_countdown_task(args: argparse.Namespace) -> None:
    """The folder of the task countdown."""
    training = countdown.problems(args.seed + 1, args.train)
    held_out = countdown.problems(args.seed + 2, args.validation, held_out=True)
    for split, problems, times in (("train", training, 1), ("validation", held_out, args.samples)):
        rows = [countdown.verl_row(problem, index, split) for index, problem in enumerate(problems)]
        write_rows(args.out, split, rows, times=times)
    make_countdown(  # last, as above
        args.out,
        seed=args.seed,
        architecture=args.architecture,
        hidden_size=args.hidden_size,
        **({} if args.steps is None else {"steps": args.steps}),
        report=lambda step, loss: print(f"warm-up: step {step}, loss {loss:.3f}", flush=True),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    if (args.out / "config.json").exists():
        print(f"{args.out}: already there, kept")
        return 0
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    args.out.mkdir(parents=True, exist_ok=True)
    {"arithmetic": make_sums, "countdown": make_countdown_task}[args.task](args)
    print(f"{args.out}: {args.architecture}, {args.train} + {args.validation} problems of {args.task}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
