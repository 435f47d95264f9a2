"""How long one response can keep `reward_fns.math_reward`: repeated units outside its engine, and inside it.

Outside: a unit repeated to 300, 1,200 and 8,000 characters, with a tail, in a box, a tag or bare; CPU time of
the calling thread, in which the engine has no part. Inside: expressions that keep a computer algebra system
busy, from eight threads at once; wall time, which a busy machine lengthens.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from reward_fns.math_reward import compute_score

LENGTHS = (300, 1200, 8000)
THREADS = 8
_UNITS = (
    "a", "x ", "1", "12 ", "1,", "1/", "-", "+-", "=", "a =", "1=", "{", "}", "(", "()", "[", "$", "$1$",
    "\\", "\\a ", "\\boxed{", "\\boxed{1} ", "<answer>", "<think>", "</think>", "<analysis>", "#### ",
    "answer is ", "A: ", "(A) ", "or ", "and ", "\\cup ", "\\pm ", "\\frac{", "\\frac{1}{2}", "\\sqrt",
    "\\text{a}", "\\left(", "\\displaystyle.", "\\,", "1&1\\\\", "\\begin{pmatrix}", "^", "_{", "a_1",
    "^\\circ", "%", "10^", "!", "*", ".", "\n", " ", "\u2212", "\u00b2", "km ", "km^2 ", "million ",
    "wait ", "not ", "is ", "\\le ", "<1<", "(1,2),", "\\infty)\\cup(", "\\sin ", "sqrt(", "f(x)=",
    "\\int ", "\\binom{1}{", "\\operatorname{", "|a|", "{,}000", "1, 2, ", "1+1=2 ", "2^", "x_{1}=",
    "y = ",
)  # fmt: skip
_TAILS = ("", "18", "!", "a1", "}")
_CONTEXTS = ("%s", "\\boxed{%s}", "<answer>%s</answer>", "The answer is %s.", "Answer: $%s$")
_STALLS = (
    "9^{9^{9^{9}}}", "((10!)!)!", "10000000!", "\\sum_{n=1}^{10^{10}} \\sin(n)^{n}", "(x+y+z+w)^{200}",
    "\\int_0^1 x^x\\sin(x)^x dx", "\\int e^{x^2}\\sin(x^3)\\ln(x) dx", "\\binom{200}{x}\\binom{x}{100}",
    "\\sum_{n=1}^{200}\\frac{\\sin(n)^{n}}{n^{x}}", "\\sum_{i=1}^{100}\\sum_{j=1}^{100}\\frac{1}{i+j+x}",
    "\\int_0^{\\infty}\\frac{\\sin(x^{50})}{x+\\ln x}dx",
    "\\frac{\\sin(\\cos(\\tan(\\sin x)))}{\\cos(\\sin(\\tan x))}",
    "\\lim_{x\\to0}\\frac{\\sin(\\tan x)-\\tan(\\sin x)}{x^{7}}", "\\prod_{k=1}^{100}(x-k)",
    "x!+(x+1)!-(x+y)!",
)  # fmt: skip
_GOLDS = ("18", "\\frac{x+1}{2}", "(1,2]", "\\int_0^1 f(x)dx")


@dataclass(frozen=True)
class Worst:
    """The slowest response of a set: seconds, and the response's unit or answer."""

    seconds: float
    shape: str


def shapes(length: int) -> Iterator[tuple[str, str]]:
    """A short name and the response, for every unit, tail and context."""
    for unit in _UNITS:
        for tail in _TAILS:
            for context in _CONTEXTS:
                yield f"{context % (unit + '...' + tail)!r}", context % (unit * (length // len(unit)) + tail)


def worst_outside_the_engine(length: int, *, seconds: float = 0.01) -> Worst:
    """CPU seconds of the slowest shape of one length; the engine gets `seconds` of wall time a response."""
    worst = Worst(0.0, "")
    for name, response in shapes(length):
        for gold in _GOLDS:
            begin = time.thread_time()
            compute_score("benchmark", response, gold, timeout_s=seconds)
            worst = max(worst, Worst(time.thread_time() - begin, name), key=lambda found: found.seconds)
    return worst


def worst_inside_the_engine(repeats: int = 2) -> tuple[Worst, int, int]:
    """Wall seconds of the slowest of the stalling answers, their count, and the count of timeouts."""
    jobs = [(answer, gold) for answer in _STALLS for gold in _GOLDS for _ in range(repeats)]
    random.Random(0).shuffle(jobs)
    compute_score("benchmark", "\\boxed{\\int_0^1 f(t)\\,dt}", _GOLDS[-1], timeout_s=30.0)  # start the engine

    def answer_time(job: tuple[str, str]) -> tuple[Worst, float]:
        begin = time.monotonic()
        result = compute_score("benchmark", f"\\boxed{{{job[0]}}}", job[1])
        return Worst(time.monotonic() - begin, job[0]), result["timeout"]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(answer_time, jobs))
    slowest = max((worst for worst, _ in found), key=lambda worst: worst.seconds)
    return slowest, len(jobs), int(sum(timeout for _, timeout in found))
