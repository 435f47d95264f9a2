"""Sums with graded answers: a generated ranked set.

    python -m amir_verl.demo.graded_sums --out FILE

Each prompt has four answers, ranked by the number first and the working second: the worked solution (0), the
right number after a false step (1), a solution that forgets the carry (2), one that is off by ten (3). If
nothing is carried, the third is off by one. In a quarter of the prompts the two wrong answers tie, in a
quarter one answer is unranked. Writes JSON Lines for `amir-verl prepare-ranked`.
"""

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

from amir_verl.demo.arithmetic import Sum, distinct_sums

TIED, UNRANKED = 0.25, 0.25


def graded_row(problem: Sum, rng: random.Random) -> dict[str, Any]:
    """`{"prompt", "responses", "rankings"}` of one sum, responses in random order."""
    total = problem.left + problem.right
    right = problem.worked()
    slip = problem.worked(carry=False) if problem.carries else _with_answer(right, total + 1)
    answers = [right, _with_false_step(right), slip, _with_answer(right, total + 10)]
    ranks: list[int | None] = [0, 1, 2, 2 if rng.random() < TIED else 3]
    if rng.random() < UNRANKED:
        ranks[rng.randrange(len(ranks))] = None
    order = rng.sample(range(len(answers)), len(answers))
    return {
        "prompt": problem.question,
        "responses": [answers[i] for i in order],
        "rankings": [ranks[i] for i in order],
    }


def _with_answer(worked: str, number: int) -> str:
    return re.sub(r"<answer>\d+", f"<answer>{number}", worked)


def _with_false_step(worked: str) -> str:
    return re.sub(r"=(\d+)", lambda step: f"={int(step.group(1)) + 1}", worked, count=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON Lines file to write")
    parser.add_argument("--prompts", type=int, default=1152)
    parser.add_argument("--difficulty", default="easy", help="largest operand: easy 99, hard 999")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    problems = distinct_sums(args.difficulty, args.prompts, seed=args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(json.dumps(graded_row(problem, rng)) + "\n" for problem in problems))
    print(f"{args.out}: {len(problems)} prompts with four graded answers each")


if __name__ == "__main__":
    main()
