"""Arithmetic of `expression_value`: exact between fractions, with DIGITS digits else, and with a budget.

Sizes are bounded before they grow, so that a tower of powers or a huge factorial is refused by its size.
"""

from fractions import Fraction
from functools import lru_cache

import mpmath

DIGITS = 120
MAX_BITS = 60_000
MAX_LOG = 100_000
MAX_FACTORIAL = 2_000
# What one expression may cost at all points together; a step is a few microseconds, at most 50.
MAX_STEPS = 4_000

CONTEXT = mpmath.MPContext()
CONTEXT.dps = DIGITS
# A sum that is smaller than this part of its terms is zero.
_VANISHING = CONTEXT.mpf(10) ** -80
CANCELLED = CONTEXT.mpf(10) ** -100
ZERO = Fraction(0)

_budget = [0]


class TooLargeError(Exception):
    """The value is not worth its computation."""


class UndefinedError(Exception):
    """No value at this point."""


def renew_budget() -> None:
    """Before an expression. The caller holds the lock that belongs to CONTEXT and the budget."""
    _budget[0] = MAX_STEPS


def out_of_budget() -> bool:
    """Whether the expression has spent what it may."""
    return _budget[0] < 0


def spend(steps: int) -> None:
    """Raise TooLargeError when an expression has cost more than it may."""
    _budget[0] -= steps
    if _budget[0] < 0:
        raise TooLargeError


def is_complex(value) -> bool:
    return isinstance(value, CONTEXT.mpc)


def real(value):
    """A fraction in floating point; others as they are."""
    if isinstance(value, Fraction):
        return CONTEXT.mpf(value.numerator) / value.denominator
    return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def checked(value):
    if isinstance(value, Fraction):
        top, bottom = value.numerator.bit_length(), value.denominator.bit_length()
        if max(top, bottom) > MAX_BITS:
            raise TooLargeError
        # The next product, and the greatest common divisor that keeps it reduced.
        spend((top + bottom) // 4000 + top * bottom // 1_000_000)
        return value
    if is_complex(value) and abs(value.imag) <= CANCELLED * abs(value.real):
        return value.real
    return value


def negative(value):
    return -value


def add(values: list):
    """The sum; what cancels to nearly all digits is zero."""
    if all(isinstance(value, Fraction) for value in values):
        total = ZERO
        for value in values:
            total = checked(total + value)
        return total
    reals = [real(value) for value in values]
    if max(sizes := [abs(number) for number in reals if number]) * _VANISHING > min(sizes):
        raise TooLargeError  # a term below the last digit of another
    total = sum(reals)
    if abs(total) <= CANCELLED * max(map(abs, reals)):
        return ZERO
    return checked(total)


def multiply(one, other):
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return checked(one * other)
    if one == 0 or other == 0:
        return ZERO
    return checked(real(one) * real(other))


def divide(one, other):
    if other == 0:
        raise UndefinedError
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return checked(one / other)
    return checked(real(one) / real(other))


def power(base, exponent):
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if base == 0:
            if exponent <= 0:
                raise UndefinedError
            return ZERO
        if isinstance(base, Fraction):
            if base in (1, -1):
                return Fraction(-1) if base == -1 and exponent % 2 else Fraction(1)
            if abs(exponent) * max(_bits(base), 1) > MAX_BITS:
                raise TooLargeError
            return checked(base ** int(exponent))
    if base == 0:
        raise UndefinedError
    spend(4)
    real_base, real_exponent = real(base), real(exponent)
    if abs(real_exponent) * max(abs(CONTEXT.log(abs(real_base))), 1) > MAX_LOG:
        raise TooLargeError
    return checked(CONTEXT.power(real_base, real_exponent))


def root(value, degree):
    if not isinstance(degree, Fraction) or degree.denominator != 1 or not 2 <= degree <= 100:
        return power(value, divide(Fraction(1), degree))
    if value == 0:
        return ZERO
    if isinstance(value, Fraction):
        top, bottom = (
            _exact_root(abs(value.numerator), int(degree)),
            _exact_root(value.denominator, int(degree)),
        )
        if top is not None and bottom is not None and (value > 0 or degree % 2):
            return Fraction(top if value > 0 else -top, bottom)
    spend(4)
    number = real(value)
    if not is_complex(number) and number < 0 and degree % 2:
        return -CONTEXT.root(-number, int(degree))
    return checked(CONTEXT.root(number, int(degree)))


def _exact_root(value: int, degree: int) -> int | None:
    """The integer whose power `value` is, or None."""
    if value < 2:
        return value
    if degree >= value.bit_length():
        return None
    guess = int(mpmath.libmp.isqrt(value)) if degree == 2 else _integer_root(value, degree)
    return guess if guess**degree == value else None


def _integer_root(value: int, degree: int) -> int:
    low, high = 1, 1 << (value.bit_length() // degree + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle)
    return low


def factorial(value):
    if isinstance(value, Fraction) and value.denominator == 1:
        if value < 0:
            raise UndefinedError
        if value > MAX_FACTORIAL:
            raise TooLargeError
        spend(int(value) // 100)
        return Fraction(_integer_factorial(int(value)))
    if abs(real(value)) > MAX_FACTORIAL:
        raise TooLargeError
    spend(60)
    return CONTEXT.gamma(real(value) + 1)


@lru_cache(maxsize=256)
def _integer_factorial(n: int) -> int:
    product = 1
    for k in range(2, n + 1):
        product *= k
    return product


def binomial(n, k):
    if isinstance(k, Fraction) and k.denominator == 1 and 0 <= k <= 200:
        spend(int(k) // 4)
        value = Fraction(1)
        for step in range(int(k)):
            value = divide(multiply(value, add([n, Fraction(-step)])), Fraction(step + 1))
        return value
    if all(isinstance(part, Fraction) and part.denominator == 1 for part in (n, k)):
        if k < 0 or (0 <= n < k):
            return ZERO
        if n < 0:
            raise UndefinedError
        return Fraction(factorial(n), factorial(k) * factorial(n - k))
    spend(200)
    if max(abs(real(n)), abs(real(k))) > MAX_FACTORIAL:
        raise TooLargeError
    return CONTEXT.binomial(real(n), real(k))


def snapped(value):
    """A transcendental value that is a whole number to nearly all digits is that number."""
    if not is_complex(value) and abs(value) < 10**6:
        nearest = int(CONTEXT.nint(value))
        if abs(value - nearest) < CANCELLED:
            return Fraction(nearest)
    return checked(value)


def call(name: str, argument):
    number = real(argument)
    if name == "abs":
        return abs(argument)
    if name in ("floor", "ceil"):
        if is_complex(number) or abs(number) > 10**50:
            raise TooLargeError
        exact = argument if isinstance(argument, Fraction) else Fraction(str(CONTEXT.nstr(number, 100)))
        return Fraction(exact.__floor__() if name == "floor" else exact.__ceil__())
    if name in ("ln", "lg"):
        if argument == 0:
            raise UndefinedError
        value = CONTEXT.log(number)
        return snapped(value if name == "ln" else value / CONTEXT.log(10))
    if abs(number) > (MAX_LOG if name in ("exp", "sinh", "cosh", "tanh") else 10**40):
        raise TooLargeError
    function = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}.get(name, name)
    value = getattr(CONTEXT, function)(number)
    return snapped(value)
