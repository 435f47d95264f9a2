"""What a model writes costs time in proportion to its length, whatever it repeats, outside the engine."""

import time

import pytest
from tiers import FAST, rows_of_tier

from reward_fns import (
    answer_relation,
    answer_structure,
    answer_text,
    exact_number,
    expression_value,
    math_reward,
    units,
)
from reward_fns.symbolic_engine import ENGINE

LENGTHS = (300, 1200, 8000)
# Below this a time is that of the call and of the clock, in seconds of the processor.
NOISE = 0.02
LIMIT = 0.25
UNITS = [
    "a", "wait ", "a a ", "ab", "1", "1,", "1 ", "1.", "- ", "-", "(", "[", "{", "\\{", "\\left(", "\\frac",
    "\\frac{", "\\frac1", "\\sqrt", "\\sqrt{", "\\text{", "\\text{a}", "\\boxed", "\\boxed{", "\\boxed{1}",
    "\\boxed{1} or ", "$", "$$", "$1$", "\\(", "\\(1\\)", "\\[", "\\begin{", "\\begin{pmatrix}",
    "\\end{pmatrix}", "&", "\\\\", "\\", "^", "_", "x_", "x^", "x_{", "x'", "f(x)", "=", "x=", "1=", "1+1=",
    "<", "x<", "\\le ", "\\pm ", "\\cup ", "|", "!", "%", '"', "*", "**", "`", "#", "####", "#### 1\n",
    "answer is ", "The answer is 1. ", "answer", "A:", "\nA:", "or ", "and ", "1 or ", "not ",
    "1 apple and ", ".", "?", "?1", "<think>", "</think>", "<answer>", "</answer>", "<analysis>",
    "</analysis>", "1:2", "\\pi", "\u00b2", "\u2212", "\u00bd", "\ud800", "cm ", "per ", "/", "1/",
    "million ", "e9", "10^", "\\cdot ", "{,}", "\\,", "\\!", "~", "\\in ", "(1,2),", "sin", "\\sin ", "x!",
    "5!", "3 boys ", "\t", "\r\n", "Step 1\n", "- 1\n", "B) ", "(B) ", "<<1=1>>",
]  # fmt: skip
TAILS = ["", "1", "} = 18"]
CONTEXTS = [
    "%s",
    "\\boxed{%s}",
    "\\boxed{%s 1}",
    "<answer>%s</answer>",
    "<answer>%s 18",
    "The answer is %s",
    "$%s$",
    "#### %s",
]
CACHED = (answer_relation, answer_structure, answer_text, exact_number, expression_value, units)


def seconds(response: str, gold: str) -> float:
    """Processor time of one answer, with empty caches; the engine is left out."""
    for module in CACHED:
        for function in vars(module).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()
    start = time.thread_time()
    result = math_reward.compute_score("test", response, gold)
    assert result["acc"] in (0.0, 1.0)
    return time.thread_time() - start


def repeated(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


@pytest.fixture(autouse=True)
def no_engine(monkeypatch):
    monkeypatch.setattr(ENGINE, "equal", lambda *_: False)


@pytest.mark.parametrize("context", CONTEXTS)
def test_time_grows_with_the_length_and_no_faster(context):
    gold, index = "\\frac{x+1}{2}", CONTEXTS.index(context)
    for place, unit in rows_of_tier(list(enumerate(UNITS))[index % 4 if FAST else 0 :]):
        # Every unit meets every tail, which decides how a pattern fails, in some context.
        tail = TAILS[(place + index) % len(TAILS)]
        times = [seconds(context % (repeated(unit, length) + tail), gold) for length in LENGTHS]
        for length, longer, short, long in zip(LENGTHS, LENGTHS[1:], times, times[1:], strict=False):
            allowed = min(max(short, NOISE) * longer / length * 1.3, LIMIT)
            if long > allowed:  # once more: another process may have had the processor's caches
                long = seconds(context % (repeated(unit, longer) + tail), gold)
            assert long <= allowed, (unit, tail, length, short, long)


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{" + "a" * 300 + " 1}",
        "\\boxed{" + "a" * 400 + " 1}",
        "<answer>" + "wait " * 60 + "18</answer>",
        "<answer>" + "wait " * 4000 + "18</answer>",
        "\\boxed{" + "a " * 900 + "= 1}",
        "\\boxed{" + "A" * 1900 + "=5}",
        "\\boxed{" + ",".join(["x^{0.123}+\\sin x"] * 60) + "}",
        "\\boxed{" + "+".join(["\\frac{1}{2^{9999}+k}"] * 40) + "}",
        "\\boxed{" + "*".join(["2000!"] * 100) + "}",
        "\\boxed{" + "+".join(["\\binom{x}{199}"] * 35) + "}",
        "\\boxed{" + ",".join(["x!"] * 64) + "}",
    ],
)
def test_no_shape_takes_a_quarter_of_a_second(response):
    for gold in ("18", "1", ",".join(f"x^{{{k}}}" for k in range(2, 60)), "\\frac{x+1}{2}"):
        assert min(seconds(response, gold) for _ in range(2)) < LIMIT
