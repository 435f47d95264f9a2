"""Countdown: reach a target from a few numbers, a task with many right answers to most problems.

`3 7 12 5 = 28` is answered by `12 5 - 3 * 7 +`, a postfix expression that uses each number once, with + - *.
A policy that learns one way and forgets the others shows it here: its pass@1 rises and its pass@k falls.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DATA_SOURCE = "countdown"
LARGEST_NUMBER, LARGEST_TARGET = 12, 60
NUMBERS = 4
OPERATORS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
# Every word of questions and answers, for a tokenizer with a token a word.
WORDS = (*OPERATORS, "=", *(str(number) for number in range(1, LARGEST_TARGET + 1)))
_NUMBER_OF = {str(number): number for number in range(1, LARGEST_NUMBER + 1)}
# One problem in this many is held out.
_HELD_OUT_SHARE = 8


@dataclass(frozen=True)
class Problem:
    """Reach `target` with each of `numbers` used once."""

    numbers: tuple[int, ...]
    target: int

    @property
    def question(self) -> str:
        return f"{' '.join(map(str, self.numbers))} = {self.target}"

    @property
    def held_out(self) -> bool:
        """Whether the problem is for measuring alone; a matter of the problem, whatever the order of its
        numbers, so that no training and no warm-up can meet it by accident.
        """
        return zlib.crc32(repr((sorted(self.numbers), self.target)).encode()) % _HELD_OUT_SHARE == 0

    def is_right(self, response: str) -> bool:
        return value(response, self.numbers) == self.target


def response_tokens(numbers: int = NUMBERS) -> int:
    """Tokens of an answer: the numbers, an operator less, the end."""
    return 2 * numbers


def value(response: str, numbers: tuple[int, ...]) -> int | None:
    """What a postfix expression is worth; None if it is none, or does not use each number exactly once.

    The response is a model's: it is read word by word from a table, never evaluated, and a long one is
    refused before it is read.
    """
    length = 2 * len(numbers) - 1
    if len(response) > 8 * (length + 1):
        return None
    words = response.split()
    if len(words) != length:
        return None
    stack, left = [], list(numbers)
    for word in words:
        if word in OPERATORS:
            if len(stack) < 2:
                return None
            second, first = stack.pop(), stack.pop()
            stack.append(OPERATORS[word](first, second))
        else:
            number = _NUMBER_OF.get(word)
            if number not in left:
                return None
            left.remove(number)
            stack.append(number)
    return stack[0] if len(stack) == 1 else None


def random_expression(rng: random.Random, numbers: tuple[int, ...]) -> str:
    """A postfix expression that uses each number once: random order, random shape, random operators."""
    order = list(numbers)
    rng.shuffle(order)
    words, waiting = [], 0  # values on the stack
    while order or waiting > 1:
        if order and (waiting < 2 or rng.random() < 0.5):
            words.append(str(order.pop()))
            waiting += 1
        else:
            words.append(rng.choice(tuple(OPERATORS)))
            waiting -= 1
    return " ".join(words)


def demonstrations(
    seed: int, *, numbers: int = NUMBERS, held_out: bool = False
) -> Iterator[tuple[Problem, str]]:
    """Endless stream of problems, each with a random right answer; drawn by the answer, so every problem has
    one, and answers come as often as random expressions do.

    Raises:
        ValueError: fewer than two numbers.
    """
    if numbers < 2:
        raise ValueError(f"countdown needs at least 2 numbers, got {numbers}")
    rng = random.Random(seed)
    while True:
        drawn = tuple(rng.randint(1, LARGEST_NUMBER) for _ in range(numbers))
        expression = random_expression(rng, drawn)
        target = value(expression, drawn)
        if 1 <= target <= LARGEST_TARGET:
            problem = Problem(drawn, target)
            if problem.held_out == held_out:
                yield problem, expression


def problems(seed: int, total: int, *, numbers: int = NUMBERS, held_out: bool = False) -> list[Problem]:
    """`total` different problems, all of the held-out part or none."""
    found: dict[Problem, None] = {}
    for problem, _ in demonstrations(seed, numbers=numbers, held_out=held_out):
        found[problem] = None
        if len(found) == total:
            return list(found)
    raise AssertionError("the stream of problems is endless")


def verl_row(problem: Problem, index: int, split: str) -> dict[str, Any]:
    """The problem as a row of verl's parquet schema; `compute_score` reads numbers and target from
    `ground_truth`, the question.
    """
    return {
        "data_source": DATA_SOURCE,
        "prompt": [{"role": "user", "content": problem.question}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.question},
        "extra_info": {"index": index, "split": split},
    }


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, **_: Any
) -> dict[str, float | int | str]:
    """verl's reward function: 1 for an expression that reaches the target, else 0.

    Returns:
        score, acc, and pred: the value that was reached, or nothing.

    Raises:
        ValueError: `ground_truth` is no question of countdown.
    """
    numbers, equals, target = ground_truth.partition(" = ")
    if not equals:
        raise ValueError(f"ground_truth must read like '3 7 12 5 = 28', got {ground_truth!r}")
    found = value(solution_str, tuple(map(int, numbers.split())))
    right = found == int(target)
    return {"score": float(right), "acc": int(right), "pred": "" if found is None else str(found)}
