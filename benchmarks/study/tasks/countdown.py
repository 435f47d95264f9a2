"""Countdown, as in amir_verl.demo.countdown, with a grade for near misses."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from amir_verl.demo import countdown

# A wrong value this far off is worth a third of what a near one is.
NEAR = 5.0


@dataclass(frozen=True)
class GradedProblem(countdown.Problem):
    """A problem that pays for valid expressions, and for values near the target."""

    def grade(self, response: str) -> float:
        """1 for the target, 0 for what is no expression, else 0.1 to 0.5 by the distance."""
        found = countdown.value(response, self.numbers)
        if found is None:
            return 0.0
        distance = abs(found - self.target)
        return 1.0 if not distance else 0.1 + 0.4 * math.exp(-distance / NEAR)


def demonstrations(seed: int, *, numbers: int) -> Iterator[tuple[GradedProblem, str]]:
    for problem, response in countdown.demonstrations(seed, numbers=numbers):
        yield GradedProblem(problem.numbers, problem.target), response


def problems(seed: int, total: int, held_out: bool, *, numbers: int) -> list[GradedProblem]:
    found = countdown.problems(seed, total, numbers=numbers, held_out=held_out)
    return [GradedProblem(problem.numbers, problem.target) for problem in found]


def task(numbers: int) -> tuple:
    """The fields of a `Task` with that many numbers."""
    return (
        countdown.WORDS,
        countdown.response_tokens(numbers),
        partial(demonstrations, numbers=numbers),
        partial(problems, numbers=numbers),
        1000,
    )
