"""Sums of two digits with a carry: the task with nothing to lose.

There are two ways to answer, with the carry and without. The first model mostly forgets it, is right in about
one of five samples, and has a right answer in 64 to every problem, as it has after any training.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from amir_verl.demo.arithmetic import Sum

FORGETS_CARRY = 0.8
WORDS = (*"0123456789+=,?", "<think>", "</think>", "<answer>", "</answer>")
TOKENS = 26
_HELD_OUT_SHARE = 8


@dataclass(frozen=True)
class SumProblem(Sum):
    """A sum, written with a space between its characters."""

    @property
    def question(self) -> str:
        return " ".join(super().question)

    @property
    def held_out(self) -> bool:
        """Whether the problem is for measuring alone."""
        return zlib.crc32(f"{self.left}+{self.right}".encode()) % _HELD_OUT_SHARE == 0

    def is_right(self, response: str) -> bool:
        return self.answer == self._given(response)

    def grade(self, response: str) -> float:
        """1 for the sum, else half the share of its digits that are right, from the right."""
        given = self._given(response)
        same = sum(a == b for a, b in zip(reversed(given), reversed(self.answer), strict=False))
        return 1.0 if given == self.answer else 0.5 * same / max(len(given), len(self.answer))

    def _given(self, response: str) -> str:
        """What stands between the only pair of answer tags, at the end."""
        words = response.split()
        if words.count("<answer>") != 1 or words.count("</answer>") != 1 or words[-1] != "</answer>":
            return ""
        return "".join(words[words.index("<answer>") + 1 : -1])


def spaced(text: str) -> str:
    """The words of a worked sum, spaces between them: a tag is one word, else a character is."""
    words, rest = [], text
    while rest:
        size = rest.index(">") + 1 if rest[0] == "<" else 1
        words.append(rest[:size])
        rest = rest[size:]
    return " ".join(words)


def _stream(rng: random.Random, held_out: bool) -> Iterator[SumProblem]:
    while True:
        problem = SumProblem(rng.randint(10, 99), rng.randint(10, 99))
        if problem.carries and problem.held_out == held_out:
            yield problem


def demonstrations(seed: int) -> Iterator[tuple[SumProblem, str]]:
    """Worked sums, four in five of them without the carry."""
    rng = random.Random(seed)
    for problem in _stream(rng, False):
        yield problem, spaced(problem.worked(carry=rng.random() >= FORGETS_CARRY))


def problems(seed: int, total: int, held_out: bool) -> list[SumProblem]:
    found: dict[SumProblem, None] = {}
    for problem in _stream(random.Random(seed), held_out):
        found[problem] = None
        if len(found) == total:
            return list(found)
    raise AssertionError("the stream of problems is endless")


def task() -> tuple:
    """The fields of a `Task`."""
    return WORDS, TOKENS, demonstrations, problems, 600
