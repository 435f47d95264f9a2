"""The study's tasks: generated, with exact verifiers, and a tiny model warmed up on random right answers.

Each has something to lose: most problems have many right answers, and the first model finds one in 64
tries far more often than in one. The sums are the exception, and are here for it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from benchmarks.study.tasks import countdown, paths, search, sums


class Problem(Protocol):
    """What the loop asks of a problem."""

    question: str

    def is_right(self, response: str) -> bool:
        """Whether the response is a right answer."""

    def grade(self, response: str) -> float:
        """1 for a right answer, else up to 0.5 for how near it comes."""


class Task(NamedTuple):
    """A task.

    Attributes:
        words: the vocabulary.
        tokens: the longest response.
        demonstrations: seed -> endless stream of problem and right answer, none held out.
        problems: (seed, total, held_out) -> that many different problems.
        warm_up_steps: batches of 128 demonstrations that the first model has seen.
    """

    words: tuple[str, ...]
    tokens: int
    demonstrations: Callable[[int], Iterator[tuple[Problem, str]]]
    problems: Callable[[int, int, bool], list[Problem]]
    warm_up_steps: int


TASKS: dict[str, Task] = {
    **{f"countdown{n}" if n != 4 else "countdown": Task(*countdown.task(n)) for n in (3, 4, 5)},
    "search": Task(*search.task()),
    "paths": Task(*paths.task()),
    "sums": Task(*sums.task()),
}
