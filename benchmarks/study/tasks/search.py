"""Countdown by attempts: expressions are written out with their values, one by one, until one fits.

`3 7 12 5 = 28` may be answered `3 7 + 12 + 5 + = 27 ; 12 5 - 3 * 7 + = 28`. The last attempt is the answer;
what stands before it costs tokens and nothing else. So responses differ in length, wrong ones can be as long
as right ones, and one that is cut off at the limit has no answer worth reading.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from amir_verl.demo import countdown

NUMBERS, ATTEMPTS = 4, 3
FAR = "far"  # a value that is no target
WORDS = (*countdown.WORDS, ";", FAR)
# An attempt: the expression, the equals sign, the value, and a semicolon or the end.
TOKENS = ATTEMPTS * (2 * NUMBERS - 1 + 3)


@dataclass(frozen=True)
class SearchProblem(countdown.Problem):
    """A problem of countdown whose answer is the last attempt."""

    def answer(self, response: str) -> str:
        """The expression of the last attempt; empty where it is not followed by a value."""
        expression, equals, value = response[-200:].rpartition(";")[2].partition("=")
        return expression if equals and len(value.split()) == 1 else ""

    def is_right(self, response: str) -> bool:
        return super().is_right(self.answer(response))

    def grade(self, response: str) -> float:
        """1 for a right answer, 0.1 for a valid expression, else 0."""
        if self.is_right(response):
            return 1.0
        return 0.1 * (countdown.value(self.answer(response), self.numbers) is not None)


def attempt(problem: countdown.Problem, expression: str) -> str:
    """An expression with its value, as it is written."""
    found = countdown.value(expression, problem.numbers)
    return f"{expression} = {found if 1 <= found <= countdown.LARGEST_TARGET else FAR}"


def demonstrations(seed: int) -> Iterator[tuple[SearchProblem, str]]:
    """Right answers after none to two wrong attempts, each as likely."""
    rng = random.Random(seed)
    for drawn, right in countdown.demonstrations(seed, numbers=NUMBERS):
        problem = SearchProblem(drawn.numbers, drawn.target)
        attempts = []
        for _ in range(rng.randrange(ATTEMPTS)):
            expression = countdown.random_expression(rng, problem.numbers)
            if countdown.value(expression, problem.numbers) != problem.target:
                attempts.append(attempt(problem, expression))
        yield problem, " ; ".join([*attempts, attempt(problem, right)])


def problems(seed: int, total: int, held_out: bool) -> list[SearchProblem]:
    found = countdown.problems(seed, total, numbers=NUMBERS, held_out=held_out)
    return [SearchProblem(problem.numbers, problem.target) for problem in found]


def task() -> tuple:
    """The fields of a `Task`."""
    return WORDS, TOKENS, demonstrations, problems, 1000
