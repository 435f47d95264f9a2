"""The process that runs math-verify, apart from the trainer so that it can be stopped at any moment.

One JSON request a line on stdin, `[gold, answer, seconds]`; one JSON reply a line on stdout: true, false, or
null for "gave up". It is started as a file, imports nothing of this package, of verl or of torch, and ends
with its parent: stdin closes, or the parent's id changes, or, in the middle of a request, the alarm that each
request sets.
"""

import json
import os
import resource
import select
import signal
import sys

# The whole process, interpreter and sympy included; a request that needs more gets a MemoryError.
ADDRESS_SPACE_BYTES = 768 * 2**20
PARENT_CHECK_MS = 5000
# The parser's tables and sympy's rules load on first use, which takes ten times as long as a question: one
# question of each kind before the first answer's clock runs.
WARM_UP = [
    ("\\frac{1}{2}", "0.5"),
    ("20\\sqrt{7}", "\\sqrt{2801}"),
    ("\\frac{n(n+1)(2n+1)}{6}", "\\frac{2n^3+3n^2+n}{6}"),
    ("\\sin(2x)", "2\\sin x\\cos x"),
    ("e^{-2t}\\ln t", "x^2-4"),
    ("x", "\\frac{2x}{2}"),
    ("k\\ge 2", "k>2"),
    ("y=2x+1", "2y=4x+2"),
]


def engine_verdict(gold: str, answer: str) -> bool:
    """Whether math-verify holds `answer` to equal `gold`; both are LaTeX or plain text without delimiters."""
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Expr, Symbol, simplify

    # A box makes the whole text one expression. First match alone and no fallback: else, of an expression
    # that cannot be parsed, one fraction would stand for all of it. The parent's clock replaces math-verify's
    # signals.
    parsed_gold, parsed_answer = (
        parse(
            "\\boxed{" + text + "}",
            (LatexExtractionConfig(boxed_match_priority=0),),
            fallback_mode="no_fallback",
            extraction_mode="first_match",
            parsing_timeout=None,
        )
        for text in (gold, answer)
    )
    if not parsed_gold or not parsed_answer:
        return False
    if verify(parsed_gold, parsed_answer, timeout_seconds=None):
        return True
    # math-verify compares a lone symbol by its name alone, so that 2x/2 is not x.
    pair = (parsed_gold[0], parsed_answer[0])
    if any(isinstance(side, Symbol) for side in pair) and all(isinstance(side, Expr) for side in pair):
        return bool(simplify(pair[0] - pair[1]) == 0)
    return False


def read_line(buffer: bytearray, parent: int) -> bytes | None:
    """The next request, or None when the parent is gone."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    while b"\n" not in buffer:
        if not poll.poll(PARENT_CHECK_MS):
            if os.getppid() != parent:
                return None
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return None
        buffer += chunk
    line, _, rest = bytes(buffer).partition(b"\n")
    buffer[:] = rest
    return line


def main() -> None:
    """Answer requests until the parent goes away."""
    parent = os.getppid()
    # Keep the pipe for replies to ourselves: what a library prints must not end up in it.
    replies = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it is doing
    try:
        for gold, answer in WARM_UP:
            engine_verdict(gold, answer)
    except ImportError as error:
        os.write(replies, json.dumps({"error": str(error)}).encode() + b"\n")
        sys.exit(1)
    os.write(replies, b'"ready"\n')
    buffer = bytearray()
    while (line := read_line(buffer, parent)) is not None:
        gold, answer, seconds = json.loads(line)
        # The parent stops us at the deadline; this is for a parent that has died.
        signal.setitimer(signal.ITIMER_REAL, seconds + 1.0)
        try:
            verdict = engine_verdict(gold, answer)
        except MemoryError:
            verdict = None
        except Exception:
            verdict = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        os.write(replies, json.dumps(verdict).encode() + b"\n")


if __name__ == "__main__":
    main()
