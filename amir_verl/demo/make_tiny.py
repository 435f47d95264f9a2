"""Make a tiny model that can half add, and the sums to train and validate it on.

Writes a Hugging Face folder (model, tokenizer, chat template) with train.parquet and validation.parquet in
it. The model is warmed up on worked sums that forget the carry more often than not: it knows the format and
the digits, and answers about two sums of three right when sampled, one of two when greedy. What is there is
kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import transformers

from amir_verl.demo.arithmetic import DIFFICULTIES, distinct_sums, verl_row
from amir_verl.demo.model import ARCHITECTURES, build_model, build_tokenizer, save_model
from amir_verl.demo.warm_up import warm_up


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="qwen2")
    parser.add_argument("--difficulty", choices=sorted(DIFFICULTIES), default="easy")
    parser.add_argument(
        "--forgets-carry", type=float, default=0.6, help="share of demonstrations without carry"
    )
    parser.add_argument("--carry-share", type=float, default=0.5, help="share of problems with a carry")
    parser.add_argument("--steps", type=int, default=500, help="warm-up steps; 0 leaves the model untrained")
    parser.add_argument("--hidden-size", type=int, default=96)
    parser.add_argument("--train", type=int, default=2048, help="training problems")
    parser.add_argument("--validation", type=int, default=128, help="held-out problems")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    for name in ("forgets_carry", "carry_share"):
        if not 0 <= getattr(args, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} is a share from 0 to 1, got {getattr(args, name)}")
    if (args.out / "config.json").exists():
        print(f"{args.out}: already there, kept")
        return 0

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    share = args.carry_share
    held_out = distinct_sums(args.difficulty, args.validation, seed=args.seed + 1, carry_share=share)
    training = distinct_sums(
        args.difficulty, args.train, seed=args.seed + 2, without=frozenset(held_out), carry_share=share
    )
    args.out.mkdir(parents=True, exist_ok=True)
    for split, problems in (("train", training), ("validation", held_out)):
        rows = [verl_row(problem, index, split) for index, problem in enumerate(problems)]
        datasets.Dataset.from_list(rows).to_parquet(args.out / f"{split}.parquet")

    tokenizer = build_tokenizer()
    model = build_model(args.architecture, tokenizer, hidden_size=args.hidden_size, seed=args.seed)
    if args.steps:
        warm_up(
            model,
            tokenizer,
            difficulty=args.difficulty,
            forgets_carry=args.forgets_carry,
            steps=args.steps,
            carry_share=share,
            without=frozenset(held_out),
            seed=args.seed,
        )
    save_model(model, tokenizer, args.out)  # last: config.json says that the folder is whole
    parameters = sum(parameter.numel() for parameter in model.parameters())
    problems = f"{len(training)} + {len(held_out)} sums"
    print(f"{args.out}: {args.architecture} of {parameters:,} parameters, {problems}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
