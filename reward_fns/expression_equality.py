"""Whether two expressions are equal: by their values, with their units, and last by the symbolic engine."""

import itertools
from fractions import Fraction

from reward_fns.answer_relation import Relation
from reward_fns.comparison import Comparison
from reward_fns.engine_limits import fits_engine
from reward_fns.exact_number import ExactNumber, read_number
from reward_fns.expression_arithmetic import TooLargeError
from reward_fns.expression_value import (
    constant_ratio,
    difference,
    is_constant,
    point_values,
    rounds_to,
    values_equal,
)
from reward_fns.latex_tokens import is_word, tokens_of
from reward_fns.symbolic_engine import ENGINE
from reward_fns.units import read_unit

_DIRECTIONS = {"<": 1, "<=": 1, ">": -1, ">=": -1}


def expressions_equal(gold: str, answer: str, comparison: Comparison) -> bool:
    """Whether two expressions without relations and parts have the same value, and the same unit if both have
    one.

    With `require_value` an answer to a number must be a number. What is too large is wrong.
    """
    comparison.engine_time.asked = True
    if gold.isalpha() and gold.isupper() and len(gold) > 1:
        return False  # `ABC` is a name or a sequence, not a product
    gold_text, gold_unit = split_unit(gold)
    answer_text, answer_unit = split_unit(answer)
    if gold_unit and answer_unit and gold_unit != answer_unit:
        return False
    gold_number, answer_number = read_number(gold_text), read_number(answer_text)
    if comparison.require_value and gold_number and not answer_number:
        return False
    try:
        gold_values, answer_values = point_values(gold_text), point_values(answer_text)
        if gold_values is not None and answer_values is not None:
            return values_equal(gold_values, answer_values) or _rounded(
                gold_values, answer_values, gold_number, answer_number, comparison.rel_tol
            )
    except TooLargeError:
        return False
    if not comparison.use_engine or not (fits_engine(gold_text) and fits_engine(answer_text)):
        return False
    return ENGINE.equal(gold_text, answer_text, comparison.engine_time)


def _rounded(
    gold: tuple,
    answer: tuple,
    gold_number: ExactNumber | None,
    answer_number: ExactNumber | None,
    rel_tol: float,
) -> bool:
    """Whether a decimal of six digits or more rounds the other side, which is no exact integer."""
    if not (is_constant(gold) and is_constant(answer)) or gold[0] is None or answer[0] is None:
        return False
    exact_gold = (
        isinstance(gold[0], Fraction) and gold[0].denominator == 1 and not (gold_number and gold_number.step)
    )
    exact_answer = isinstance(answer[0], Fraction) and answer[0].denominator == 1 and not answer_number
    step = Fraction(0)
    if not exact_gold and not exact_answer:
        step = max(number.step if number else Fraction(0) for number in (gold_number, answer_number))
    return rounds_to(gold[0], answer[0], step, rel_tol)


def split_unit(clean: str) -> tuple[str, frozenset[tuple[str, int]]]:
    """`25\\pi cm^2` to `25\\pi` and its unit; the whole text and no unit where there is none.

    A unit has two letters or more, and stands behind a digit, a bracket or a space.
    """
    tokens = tokens_of(clean)
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token in "([{") - (token in ")]}")
        if index == 0 or depth or not is_word(token) or len(token) < 2:
            continue
        unit = read_unit(" " + "".join(tokens[index:]))
        if unit is not None and not unit[1]:
            return "".join(tokens[:index]).strip(), unit[0]
        return clean, frozenset()
    return clean, frozenset()


def relations_proportional(gold: Relation, answer: Relation) -> bool:
    """Whether two equations or inequalities with one sign each differ by a factor alone: `2y = 4x+2`, `y =
    2x+1`.
    """
    sign, other = gold.signs[0], answer.signs[0]
    try:
        sides = [point_values(text) for text in (*gold.terms, *answer.terms)]
        if any(side is None for side in sides):
            return False
        ratio = constant_ratio(difference(sides[0], sides[1]), difference(sides[2], sides[3]))
    except TooLargeError:
        return False
    if sign == other and sign in ("=", "!="):
        return ratio != 0
    if sign not in _DIRECTIONS or other not in _DIRECTIONS or len(sign) != len(other):
        return False
    return ratio == _DIRECTIONS[sign] * _DIRECTIONS[other]


def chain_is_consistent(terms: tuple[str, ...], signs: tuple[str, ...], *, closed: bool = False) -> bool:
    """Whether the numbers among terms that `=` and `\\approx` join are equal, or round each other.

    Terms with symbols are passed over, unless `closed` asks for numbers alone.
    """
    known: list[tuple[str, tuple]] = []
    for term in terms:
        text, _ = split_unit(term)
        number = read_number(term)
        try:
            values = (number.value / (100 if number.percent else 1),) if number else point_values(text)
        except TooLargeError:
            return False
        if values is not None and is_constant(values) and values[0] is not None:
            known.append((text, values))
        elif closed:
            return False
    return all(_close(*pair) for pair in itertools.pairwise(known))


def _close(one: tuple[str, tuple], other: tuple[str, tuple]) -> bool:
    if values_equal(one[1], other[1]):
        return True
    step = max(_last_place(one[0]), _last_place(other[0]))
    percent = Fraction(1, 100) if "%" in one[0] or "%" in other[0] else Fraction(1)
    return bool(step) and rounds_to(one[1][0], other[1][0], 2 * step * percent, 0.0)


def _last_place(text: str) -> Fraction:
    """One unit in the last place of a decimal; 0 for other numbers."""
    digits = text.rstrip("%$ ").partition(".")[2]
    return Fraction(1, 10 ** len(digits)) if digits.isdigit() and len(digits) < 40 else Fraction(0)
