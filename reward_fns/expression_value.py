"""Whether two expressions are the same function: their values at a few points, exact where they are rational.

An expression is evaluated, never simplified, so the time is that of its operations. Sizes are bounded before
they grow: a tower of powers or a huge factorial is refused by its size. Rational values stay fractions,
others have 120 digits. Two different expressions of a hundred characters that agree to that many digits at
every point are not written by chance.
"""

import threading
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256

from mpmath.libmp.libhyper import NoConvergence

from reward_fns.expression_arithmetic import (
    CONTEXT,
    TooLargeError,
    UndefinedError,
    add,
    binomial,
    call,
    divide,
    factorial,
    is_complex,
    multiply,
    negative,
    out_of_budget,
    power,
    real,
    renew_budget,
    root,
    snapped,
    spend,
)
from reward_fns.expression_atoms import NotUnderstoodError
from reward_fns.expression_parser import parse_expression

# Two values agree if they differ by less than this part of themselves.
_AGREE = CONTEXT.mpf(10) ** -95
# Values of the symbols: positive at the first points, of either sign at the others.
POINTS = 8
POSITIVE_POINTS = 5

_SCALES = (1, 1, 1, 40, 1000, 1, 40, 1000)

# mpmath's constants are cached without a lock.
_LOCK = threading.Lock()


@lru_cache(maxsize=2048)
def point_values(clean: str) -> tuple | None:
    """The values of an expression at POINTS points, None at a point where it has none.

    A constant has one value for all points. None if the text is not understood.

    Raises:
        TooLargeError: by its size it is refused.
    """
    try:
        tree = parse_expression(clean)
    except NotUnderstoodError:
        return None
    with _LOCK:
        renew_budget()
        if not _has_symbols(tree):
            return (_value_at(tree, 0),)
        # The steps of a floor are told apart by large values alone.
        first = POINTS if "\\lfloor" in clean or "\\lceil" in clean else 0
        return tuple(_value_at(tree, first + point) for point in range(POINTS))


def _value_at(tree: tuple, point: int):
    try:
        value = _evaluate(tree, point)
    except (UndefinedError, ZeroDivisionError, ValueError, NoConvergence, OverflowError):
        return None
    except TooLargeError:
        # Large values of the symbols may be too large for an expression that is not.
        if _SCALES[point % POINTS] == 1 or out_of_budget():
            raise
        return None
    return value if isinstance(value, Fraction) or CONTEXT.isfinite(value) else None


def _has_symbols(tree: tuple) -> bool:
    if tree[0] == "symbol" or (tree[0] == "log" and tree[1] is None):
        return True
    return any(
        _has_symbols(part) if part and isinstance(part[0], str) else any(map(_has_symbols, part))
        for part in tree[1:]
        if isinstance(part, tuple)
    )


def is_constant(values: tuple) -> bool:
    """Whether the values are those of an expression without symbols."""
    return len(values) == 1


def values_equal(gold: tuple, answer: tuple) -> bool:
    """Whether two expressions agree at every point where both have a value, and at two at least.

    Roots and logarithms of negative numbers may take different branches: a real value is not compared with a
    complex one, and at the points with negative values only real ones are.
    """
    count = max(len(gold), len(answer))
    compared = 0
    for point in range(count):
        one, other = gold[point % len(gold)], answer[point % len(answer)]
        if one is None or other is None:
            if (one is None) != (other is None) and count == 1:
                return False
            continue
        branch = is_complex(one) != is_complex(other) if point < POSITIVE_POINTS else is_complex(one)
        if count > 1 and (branch or (point >= POSITIVE_POINTS and is_complex(other))):
            continue
        compared += 1
        if not same(one, other):
            return False
    return compared > (count > 1)


def constant_ratio(gold: tuple, answer: tuple) -> int:
    """The sign of a number c with `gold = c * answer` at every point; 0 if there is none."""
    ratio = None
    with _LOCK:
        renew_budget()
        for point in range(max(len(gold), len(answer))):
            one, other = gold[point % len(gold)], answer[point % len(answer)]
            if one is None or other is None or is_complex(one) or is_complex(other):
                continue
            if other == 0 or one == 0:
                if one != other:
                    return 0
                continue
            found = divide(one, other)
            if ratio is None:
                ratio = found
            elif not same(ratio, found):
                return 0
    return 0 if ratio is None else (1 if ratio > 0 else -1)


def difference(one: tuple, other: tuple) -> tuple:
    """The values of `one - other`."""
    with _LOCK:
        renew_budget()
        return tuple(
            None
            if (a := one[point % len(one)]) is None or (b := other[point % len(other)]) is None
            else add([a, negative(b)])
            for point in range(max(len(one), len(other)))
        )


def same(one, other) -> bool:
    """Equal: exactly between fractions, else to nearly all digits."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    a, b = real(one), real(other)
    if a == 0 or b == 0:
        return a == b
    return abs(a - b) <= _AGREE * max(abs(a), abs(b))


def _evaluate(tree: tuple, point: int):
    """The value at a point."""
    spend(1)
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "symbol":
        return _symbol(tree[1], point)
    if kind == "constant":
        return _constant(tree[1])
    if kind == "negative":
        return negative(_evaluate(tree[1], point))
    if kind == "sum":
        return add([_evaluate(term, point) for term in tree[1]])
    if kind == "product":
        value = Fraction(1)
        for factor in tree[1]:
            if factor[0] == "inverse":
                value = divide(value, _evaluate(factor[1], point))
            else:
                value = multiply(value, _evaluate(factor, point))
        return value
    if kind == "quotient":
        return divide(_evaluate(tree[1], point), _evaluate(tree[2], point))
    if kind == "power":
        return power(_evaluate(tree[1], point), _evaluate(tree[2], point))
    if kind == "root":
        return root(_evaluate(tree[1], point), _evaluate(tree[2], point))
    spend(3)
    if kind == "factorial":
        return factorial(_evaluate(tree[1], point))
    if kind == "binomial":
        return binomial(_evaluate(tree[1], point), _evaluate(tree[2], point))
    if kind == "log":
        return _logarithm(tree, point)
    return call(tree[1], _evaluate(tree[2], point))


@lru_cache(maxsize=1024)
def _symbol(name: str, point: int) -> Fraction:
    """Another fraction for each name and point: small, of some tens, or of some thousands, and of either
    sign.
    """
    seed = int.from_bytes(sha256(f"{point} {name}".encode("utf-8", "replace")).digest()[:8], "big")
    value = Fraction(100_003 + seed % 1_000_003, 300_007) * _SCALES[point % POINTS]
    if point >= POINTS:
        value *= 1000
    return -value if point % POINTS >= POSITIVE_POINTS and (seed >> 40) % 4 else value


def _constant(name: str):
    if name == "degree":
        return CONTEXT.pi / 180
    return {"pi": +CONTEXT.pi, "e": +CONTEXT.e, "i": CONTEXT.mpc(0, 1)}[name]


def _logarithm(tree: tuple, point: int):
    """`\\log` without a base has one that is not told: `\\log 8/\\log 2` is 3, and `\\log 100` is not 2."""
    argument = _evaluate(tree[2], point)
    if argument == 0:
        raise UndefinedError
    value = CONTEXT.log(real(argument))
    base = real(_symbol("\\log", point) + 3 if tree[1] is None else _evaluate(tree[1], point))
    if is_complex(base) or base <= 0 or base == 1:
        raise UndefinedError
    return divide(snapped(value), CONTEXT.log(base))


def rounds_to(gold, answer, step: Fraction, rel_tol: float) -> bool:
    """Whether two real values differ by half of `step` at most, or by `rel_tol` of the gold value."""
    if is_complex(gold) or is_complex(answer) or not (step or rel_tol):
        return False
    one, other = real(gold), real(answer)
    distance = abs(one - other)
    return bool(2 * distance <= real(step) or (rel_tol and distance <= rel_tol * abs(one)))
