"""The process that runs math-verify's parser and sympy, apart from the trainer, with a child for each
question.

It loads and warms everything once, then only forks: the child answers, writes one line, and ends. A child
that reaches its deadline or its memory limit dies alone, so the next question never waits for a start.
Requests are JSON lines on stdin, `[id, gold, answer, seconds]`; replies are JSON lines on stdout, `[id,
verdict]`, with true, false, or null for "gave up". It is started as a file, imports nothing of this package,
of verl or of torch, and ends with its parent: stdin closes, or the parent's id changes.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys

# A whole child, interpreter and sympy included; a question that needs more gets a MemoryError.
ADDRESS_SPACE_BYTES = 768 * 2**20
PARENT_CHECK_MS = 5000
# Processor time after which a child runs at a lower priority.
YIELD_SECONDS = 0.1
# The parser's tables and sympy's rules load on first use, which takes ten times as long as a question: one
# question of each kind before the first fork.
WARM_UP = [
    ("\\frac{1}{2}", "0.5"),
    ("\\sum_{k=1}^{n} k^2", "\\frac{n(n+1)(2n+1)}{6}"),
    ("\\int_0^1 x^2 dx", "\\frac{1}{3}"),
    ("f(2x)+\\sin(2x)", "f(2x)+2\\sin x\\cos x"),
    ("e^{-2t}\\ln t", "x^2-4"),
    ("\\lim_{x\\to 0} \\frac{\\sin x}{x}", "1"),
]


def engine_verdict(gold: str, answer: str) -> bool:
    """Whether two expressions in LaTeX are equal: after simplification, or as numbers to 50 digits.

    math-verify's parser reads them; its comparison is not used, because it rounds absolutely and takes the
    right side of an equation for its value.
    """
    from math_verify import LatexExtractionConfig, parse
    from sympy import Expr, MatrixBase, MatrixExpr, simplify

    # A box makes the whole text one expression. First match alone and no fallback: else, of an expression
    # that cannot be parsed, one fraction would stand for all of it. Our clock replaces math-verify's signals.
    parsed = [
        parse(
            "\\boxed{" + text + "}",
            (LatexExtractionConfig(boxed_match_priority=0),),
            fallback_mode="no_fallback",
            extraction_mode="first_match",
            parsing_timeout=None,
        )
        for text in (gold, answer)
    ]
    if not all(parsed):
        return False
    one, other = parsed[0][0], parsed[1][0]
    if all(isinstance(side, MatrixBase | MatrixExpr) for side in (one, other)):
        one, other = (side.doit() for side in (one, other))
        one, other = (side if isinstance(side, MatrixBase) else side.as_explicit() for side in (one, other))
        return one.shape == other.shape and simplify(one - other).is_zero_matrix is True
    if not all(isinstance(side, Expr) for side in (one, other)):
        return False
    if one == other:
        return True
    gap = one.doit() - other.doit()
    if gap == 0:
        return True
    if not gap.free_symbols:
        value, size = gap.evalf(60, chop=False), abs(other.evalf(60))
        return bool(value.is_number and abs(value) <= 10**-50 * (size if size else 1)) and simplify(gap) == 0
    return simplify(gap) == 0


def read_lines(buffer: bytearray, parent: int) -> list[bytes] | None:
    """The next requests, an empty list after a signal or a while, None when the parent is gone."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    if not poll.poll(PARENT_CHECK_MS):
        return [] if os.getppid() == parent else None
    chunk = os.read(0, 65536)
    if not chunk:
        return None
    buffer += chunk
    *lines, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest
    return lines


def answer_in_child(request: bytes, replies: int) -> None:
    """In the child: the verdict of one request; never returns."""
    number, gold, answer, seconds = json.loads(request)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))  # ends the process, whatever it is doing
    # A question that is not soon answered makes way for those that are.
    signal.signal(signal.SIGPROF, lambda *_: os.nice(15))
    signal.setitimer(signal.ITIMER_PROF, YIELD_SECONDS)
    try:
        verdict = engine_verdict(gold, answer)
    except MemoryError:
        verdict = None
    except Exception:
        verdict = False
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.setitimer(signal.ITIMER_PROF, 0.0)
    with contextlib.suppress(OSError):
        os.write(replies, json.dumps([number, verdict]).encode() + b"\n")
    os._exit(0)


def main() -> None:
    """Fork for each request until the parent goes away."""
    parent = os.getppid()
    # Keep the pipe for replies to ourselves: what a library prints must not end up in it.
    replies = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        for gold, answer in WARM_UP:
            with contextlib.suppress(ValueError, TypeError, NotImplementedError):
                engine_verdict(gold, answer)
    except ImportError as error:
        os.write(replies, json.dumps({"error": str(error)}).encode() + b"\n")
        sys.exit(1)
    children: dict[int, int] = {}

    def reap(*_: object) -> None:
        """A child that died without a reply gave up."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                number = children.pop(ended[0], None)
                if ended[1] != 0 and number is not None:
                    os.write(replies, json.dumps([number, None]).encode() + b"\n")

    os.write(replies, b'"ready"\n')
    buffer = bytearray()
    signal.signal(signal.SIGCHLD, reap)
    while (lines := read_lines(buffer, parent)) is not None:
        for line in lines:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
            child = os.fork()
            if child == 0:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
                answer_in_child(line, replies)
            children[child] = json.loads(line)[0]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
