"""Whether two answers are the same where one is a relation: `x = 5` and 5, `x \\ge 2` and its interval."""

from collections.abc import Callable

from reward_fns.answer_relation import (
    Relation,
    function_letter,
    interval_of,
    is_name,
    is_name_tuple,
)
from reward_fns.answer_structure import read_parts
from reward_fns.answer_text import canonical_text
from reward_fns.comparison import Comparison
from reward_fns.exact_number import read_number
from reward_fns.expression_equality import chain_is_consistent, relations_proportional

# Compares what stands in a relation or list, one level deeper.
Equal = Callable[[str, str, Comparison], bool]
_GENERIC_NAMES = frozenset(["answer", "total", "result", "value", "ans"])
_NAMED = ("=", "~")


def relations_equal(
    gold: str,
    answer: str,
    gold_relation: Relation | None,
    answer_relation: Relation | None,
    comparison: Comparison,
    equal: Equal,
) -> bool:
    """At least one side is a relation. A value equals a relation that gives it a name, a set one that allows
    it.
    """
    gold_value = named_value(gold_relation, lenient=True)
    answer_value = named_value(answer_relation)
    if gold_relation and answer_relation:
        if gold_value and answer_value and same_name(gold_value, answer_value):
            return equal(gold_value[1], answer_value[1], comparison)
        return _both_relations_equal(gold_relation, answer_relation, comparison, equal)
    if gold_relation:
        if gold_value:
            return equal(gold_value[1], answer, comparison)
        if gold_relation.signs == ("~",):
            return equal(gold_relation.terms[0], answer, comparison)
        interval = interval_of(gold_relation)
        return bool(interval) and _sets_equal(interval[1], answer, comparison, equal)
    if answer_value:
        return equal(gold, answer_value[1], comparison)
    if set(answer_relation.signs) <= {"=", "~"}:
        return _calculation_equal(gold, answer_relation, comparison, equal)
    interval = interval_of(answer_relation)
    return bool(interval) and _sets_equal(gold, interval[1], comparison, equal)


def named_value(relation: Relation | None, *, lenient: bool = False) -> tuple[str, str] | None:
    """The name and the value of `x = 5`, `x = 2+3 = 5`, `(x, y) = (1, 2)`; None for any other relation.

    What a model writes must hold: `x = 5 = 7` has no value. An approximation behind the value is dropped.
    """
    if relation is None or not set(relation.signs) <= set(_NAMED):
        return None
    terms, signs = relation.terms, relation.signs
    name = terms[0]
    if not (is_name(name, lenient=lenient) or is_name_tuple(name)):
        if len(terms) == 2 and signs[0] == "=" and is_name(terms[1]) and not lenient:
            return terms[1], terms[0]
        return None
    if not lenient and not chain_is_consistent(terms[1:], signs[1:]):
        return None
    return name, _before_approximation(terms, signs, 1)


def _before_approximation(terms: tuple[str, ...], signs: tuple[str, ...], first: int) -> str:
    """The last term, or the one before the first `\\approx` that has a value before it."""
    for index in range(first, len(signs)):
        if signs[index] == "~":
            return terms[index]
    return terms[-1]


def same_name(gold: tuple[str, str], answer: tuple[str, str]) -> bool:
    """The same name, `Total` or the like for any, or the same function of another letter that no value
    holds.
    """
    names = [canonical_text(gold[0]).lower(), canonical_text(answer[0]).lower()]
    if canonical_text(gold[0]) == canonical_text(answer[0]):
        return True
    if any(name.removeprefix("the ").removeprefix("final ") in _GENERIC_NAMES for name in names):
        return True
    if all(len(name) > 2 and name[0].isalpha() for name in (gold[0], answer[0])) and names[0] == names[1]:
        return True
    functions = [function_letter(gold[0]), function_letter(answer[0])]
    if all(functions):
        (one, x), (other, y) = functions
        return one == other and x.islower() and y.islower() and x not in gold[1] and y not in answer[1]
    other = functions[1 - names.index("y")] if "y" in names else None
    return other is not None and other[1] == "x"


def _calculation_equal(gold: str, answer: Relation, comparison: Comparison, equal: Equal) -> bool:
    """`6 \\cdot 7 = 42`, `\\frac{1}{3} \\approx 0.33`: a calculation that holds, and gives its value."""
    terms, signs = answer.terms, answer.signs
    if (
        len(terms) > 2
        and chain_is_consistent(terms[1:], signs[1:], closed=True)
        and not read_number(terms[1])
    ):
        terms, signs = terms[1:], signs[1:]  # `a + b = 2 + 3 = 5`
    if canonical_text(terms[0]) == canonical_text(terms[-1]):
        return False  # `0 = 0` calculates nothing
    if comparison.require_value or not chain_is_consistent(terms, signs, closed=True):
        return False
    return equal(gold, _before_approximation(terms, signs, 0), comparison)


def _both_relations_equal(gold: Relation, answer: Relation, comparison: Comparison, equal: Equal) -> bool:
    """The same equation or inequality, turned around or multiplied, or the same set of allowed values."""
    named = named_value(gold, lenient=True)
    is_value = named is not None and (read_number(named[1]) is not None or read_parts(named[1]) is not None)
    if len(gold.signs) == len(answer.signs) == 1 and not is_value and relations_proportional(gold, answer):
        return True
    if is_value:
        return False  # `x = 5` is not `2x = 10`
    if gold.signs == ("in",) and answer.signs != ("in",):
        return False  # a set is asked for
    sets = interval_of(gold), interval_of(answer)
    if all(sets) and canonical_text(sets[0][0]) == canonical_text(sets[1][0]):
        return _sets_equal(sets[0][1], sets[1][1], comparison, equal)
    if gold.signs != answer.signs:
        return False
    return all(equal(*pair, comparison) for pair in zip(gold.terms, answer.terms, strict=True))


def _sets_equal(gold: str, answer: str, comparison: Comparison, equal: Equal) -> bool:
    """Both must be written as sets: an interval with its brackets, a union, or the same text."""
    parts = read_parts(gold), read_parts(answer)
    if any(part is None or part.kind == "list" for part in parts):
        return canonical_text(gold) == canonical_text(answer)
    return equal(gold, answer, comparison)
