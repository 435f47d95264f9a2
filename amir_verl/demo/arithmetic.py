"""Generated sums in the <think>/<answer> format, with demonstrations that make a beginner's mistakes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DATA_SOURCE = "arithmetic"
# Largest operand of each difficulty.
DIFFICULTIES = {"easy": 99, "hard": 999}


@dataclass(frozen=True)
class Sum:
    """The problem left + right, worked digit by digit from the right."""

    left: int
    right: int

    @property
    def question(self) -> str:
        return f"{self.left}+{self.right}=?"

    @property
    def answer(self) -> str:
        return str(self.left + self.right)

    def worked(self, *, carry: bool = True) -> str:
        """The solution as a model should write it; without `carry` it forgets every carry."""
        steps, digits, carried = [], "", 0
        left, right = self.left, self.right
        while left or right or not steps:
            (left, a), (right, b) = divmod(left, 10), divmod(right, 10)
            total = a + b + (carried if carry else 0)
            steps.append(f"{a}+{b}" + (f"+{carried}" if carried and carry else "") + f"={total}")
            carried, digit = divmod(total, 10)
            digits = str(digit) + digits
        if carried:
            digits = str(carried) + digits
        return f"<think>{','.join(steps)}</think><answer>{digits}</answer>"

    @property
    def carries(self) -> bool:
        """Whether forgetting the carry gives a wrong answer."""
        return self.worked(carry=False) != self.worked()


def sums(difficulty: str, *, seed: int, carry_share: float = 0.5) -> Iterator[Sum]:
    """Endless stream of problems, a share `carry_share` of them with a carry.

    Raises:
        ValueError: unknown difficulty.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, got {difficulty!r}")
    largest, rng = DIFFICULTIES[difficulty], random.Random(seed)
    while True:
        wanted = rng.random() < carry_share
        problem = Sum(rng.randint(0, largest), rng.randint(0, largest))
        while problem.carries != wanted:
            problem = Sum(rng.randint(0, largest), rng.randint(0, largest))
        yield problem


def distinct_sums(
    difficulty: str,
    count: int,
    *,
    seed: int,
    without: frozenset[Sum] = frozenset(),
    carry_share: float = 0.5,
) -> list[Sum]:
    """`count` different problems, none of them in `without`."""
    found: dict[Sum, None] = {}
    for problem in sums(difficulty, seed=seed, carry_share=carry_share):
        if problem not in without:
            found[problem] = None
        if len(found) == count:
            return list(found)
    raise AssertionError("the stream of problems is endless")


def verl_row(problem: Sum, index: int, split: str) -> dict[str, Any]:
    """The problem as a row of verl's parquet schema."""
    return {
        "data_source": DATA_SOURCE,
        "prompt": [{"role": "user", "content": problem.question}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {"index": index, "split": split},
    }
