"""Whether two answers are the same: as text, exact numbers, words, relations, part by part, as expressions."""

from dataclasses import dataclass, replace

from reward_fns.answer_relation import (
    Relation,
    function_letter,
    interval_of,
    is_name,
    is_name_tuple,
    read_relation,
)
from reward_fns.answer_structure import Parts, read_parts, without_outer_parentheses
from reward_fns.answer_text import canonical_text, clean_answer, plain_words
from reward_fns.exact_number import (
    numbers_equal,
    read_labelled_number,
    read_number,
    time_of_day,
    with_decimal_point,
)
from reward_fns.expression_equality import chain_is_consistent, expressions_equal, relations_proportional
from reward_fns.latex_tokens import tokens_of
from reward_fns.symbolic_engine import EngineTime

_MAX_NESTING = 6
_NAMED = ("=", "~")


@dataclass(frozen=True)
class Comparison:
    """How answers are compared.

    The engine's clock, the relative tolerance between numbers (0: exact), whether a number must be written as
    one and not as `2+3`, whether the engine may be asked, and whether the two are parts of others.
    """

    engine_time: EngineTime
    rel_tol: float = 0.0
    require_value: bool = False
    use_engine: bool = True
    inside: bool = False


def answers_equal(gold: str, answer: str, comparison: Comparison) -> bool:
    """Whether `answer` is the gold answer. Both are as they were written."""
    gold_text, answer_text = clean_answer(gold), clean_answer(answer)
    if not gold_text or not answer_text:
        return False
    return _equal(gold_text, answer_text, comparison, 0)


def _equal(gold: str, answer: str, comparison: Comparison, depth: int) -> bool:
    if canonical_text(gold) == canonical_text(answer):
        return True
    if depth > _MAX_NESTING:
        return False
    gold_number, answer_number = read_number(gold), read_number(answer)
    if gold_number and answer_number:
        if comparison.require_value and not answer_number.is_value:
            return False
        return numbers_equal(gold_number, answer_number, rel_tol=comparison.rel_tol)
    gold_words, answer_words = plain_words(gold), plain_words(answer)
    if gold_words or answer_words:
        return gold_words == answer_words
    if gold_number and gold_number.value.denominator > 1 and (decimal := with_decimal_point(answer)):
        return numbers_equal(gold_number, decimal, rel_tol=comparison.rel_tol)
    if answer_number and gold.startswith("0,") and (decimal := with_decimal_point(gold)):
        return numbers_equal(decimal, answer_number, rel_tol=comparison.rel_tol)
    if answer_number and (labelled := read_labelled_number(gold)):
        return not answer_number.unit and numbers_equal(labelled, answer_number, rel_tol=comparison.rel_tol)
    if (gold_time := time_of_day(gold)) is not None and gold_time == time_of_day(answer):
        return True
    gold_inner, answer_inner = without_outer_parentheses(gold), without_outer_parentheses(answer)
    if (gold_inner != gold and not read_parts(gold)) or (answer_inner != answer and not read_parts(answer)):
        gold = gold if read_parts(gold) else gold_inner
        answer = answer if read_parts(answer) else answer_inner
        return _equal(gold, answer, comparison, depth + 1)
    # The comma of `1,200` makes no list of a gold answer; in an answer it may (`100,200` for the gold `100,
    # 200`).
    gold_parts, answer_parts = None if gold_number else read_parts(gold), read_parts(answer)
    if _is_list(gold_parts) or _is_list(answer_parts):
        return _lists_equal(gold, answer, gold_parts, answer_parts, comparison, depth)
    gold_relation, answer_relation = read_relation(gold), read_relation(answer)
    if gold_relation or answer_relation:
        return _relations_equal(gold, answer, gold_relation, answer_relation, comparison, depth)
    if gold_parts or answer_parts:
        return _parts_equal(gold_parts, answer_parts, gold, answer, comparison, depth)
    return expressions_equal(gold, answer, comparison)


def _is_list(parts: Parts | None) -> bool:
    return parts is not None and parts.kind == "list"


# Relations


def _relations_equal(
    gold: str,
    answer: str,
    gold_relation: Relation | None,
    answer_relation: Relation | None,
    comparison: Comparison,
    depth: int,
) -> bool:
    """At least one side is a relation. A value equals a relation that gives it a name, a set one that allows it."""
    gold_value = _named_value(gold_relation, lenient=True)
    answer_value = _named_value(answer_relation)
    if gold_relation and answer_relation:
        if gold_value and answer_value and _same_name(gold_value, answer_value):
            return _equal(gold_value[1], answer_value[1], comparison, depth + 1)
        return _both_relations_equal(gold_relation, answer_relation, comparison, depth)
    if gold_relation:
        if gold_value:
            return _equal(gold_value[1], answer, comparison, depth + 1)
        if gold_relation.signs == ("~",):
            return _equal(gold_relation.terms[0], answer, comparison, depth + 1)
        interval = interval_of(gold_relation)
        return bool(interval) and _sets_equal(interval[1], answer, comparison, depth)
    if answer_value:
        return _equal(gold, answer_value[1], comparison, depth + 1)
    if set(answer_relation.signs) <= {"=", "~"}:
        return _calculation_equal(gold, answer_relation, comparison, depth)
    interval = interval_of(answer_relation)
    return bool(interval) and _sets_equal(gold, interval[1], comparison, depth)


def _named_value(relation: Relation | None, *, lenient: bool = False) -> tuple[str, str] | None:
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


def _same_name(gold: tuple[str, str], answer: tuple[str, str]) -> bool:
    """The same name, a name of words, or the same function of another letter that its value does not hold."""
    names = [canonical_text(gold[0]), canonical_text(answer[0])]
    if names[0] == names[1] or any(len(name) > 2 and name.isalpha() and not name.isupper() for name in names):
        return True
    functions = [function_letter(gold[0]), function_letter(answer[0])]
    if all(functions):
        (one, x), (other, y) = functions
        return one == other and x not in gold[1] and y not in answer[1]
    return (
        "y" in names
        and functions[names.index("y") - 1] is not None
        and functions[names.index("y") - 1][1] == "x"
    )


def _calculation_equal(gold: str, answer: Relation, comparison: Comparison, depth: int) -> bool:
    """`6 \\cdot 7 = 42`, `\\frac{1}{3} \\approx 0.33`: a calculation that holds, and gives its value."""
    if answer.signs[0] == "=" and read_number(answer.terms[0]):
        return False  # `0 = 0` calculates nothing
    if comparison.require_value or not chain_is_consistent(answer.terms, answer.signs, closed=True):
        return False
    return _equal(gold, _before_approximation(answer.terms, answer.signs, 0), comparison, depth + 1)


def _both_relations_equal(gold: Relation, answer: Relation, comparison: Comparison, depth: int) -> bool:
    """The same equation or inequality, turned around or multiplied, or the same set of allowed values."""
    if len(gold.signs) == len(answer.signs) == 1 and relations_proportional(gold, answer):
        return True
    if gold.signs == ("in",) and answer.signs != ("in",):
        return False  # a set is asked for
    sets = interval_of(gold), interval_of(answer)
    if all(sets) and canonical_text(sets[0][0]) == canonical_text(sets[1][0]):
        return _sets_equal(sets[0][1], sets[1][1], comparison, depth)
    if gold.signs != answer.signs:
        return False
    return all(_equal(*pair, comparison, depth + 1) for pair in zip(gold.terms, answer.terms, strict=True))


def _sets_equal(gold: str, answer: str, comparison: Comparison, depth: int) -> bool:
    """Both must be written as sets: an interval with its brackets, a union, or the same text."""
    parts = read_parts(gold), read_parts(answer)
    if any(part is None or part.kind == "list" for part in parts):
        return canonical_text(gold) == canonical_text(answer)
    return _equal(gold, answer, comparison, depth + 1)


# Parts


def _lists_equal(
    gold: str,
    answer: str,
    gold_parts: Parts | None,
    answer_parts: Parts | None,
    comparison: Comparison,
    depth: int,
) -> bool:
    """At least one side is a list. A name before the first item alone is that of them all (`x = 1, 2`)."""
    gold_items, gold_name = _without_first_name(gold_parts, lenient=True)
    answer_items, answer_name = _without_first_name(answer_parts)
    if gold_parts is None or answer_parts is None:
        return False
    if _connective(gold) and _connective(answer) and _connective(gold) != _connective(answer):
        return False
    if gold_name and answer_name and not _same_name((gold_name, ""), (answer_name, "")):
        return False
    gold_names, answer_names = _names(gold_items, lenient=True), _names(answer_items)
    if bool(gold_names) != bool(answer_names) and len(set(gold_names or answer_names)) > 1:
        # Different names on one side alone: `a = 1, b = 2` is `1, 2` and not `2, 1`.
        return len(gold_items) == len(answer_items) and _ordered_equal(
            gold_items, answer_items, comparison, depth
        )
    if len(answer_items) > len(gold_items) and all(item.startswith("(") for item in answer_items):
        # A point that is listed twice is one point.
        answer_items = tuple(dict.fromkeys(item.replace(" ", "") for item in answer_items))
    gold_parts, answer_parts = (
        replace(gold_parts, items=gold_items),
        replace(answer_parts, items=answer_items),
    )
    return _parts_equal(gold_parts, answer_parts, gold, answer, comparison, depth)


def _connective(text: str) -> str:
    """`and` or `or` between inequalities, where they mean different sets; "" elsewhere."""
    words = tokens_of(text)
    if not any(sign in words for sign in ("<", ">", "\\le", "\\ge")):
        return ""
    return next((word for word in words if word in ("and", "or")), "")


def _without_first_name(parts: Parts | None, *, lenient: bool = False) -> tuple[tuple[str, ...], str]:
    """The items without the name of `x = 1, 2`, `n \\in 1, 2`, `(x, y) = (1, 2), (2, 1)`, and that name."""
    if not _is_list(parts):
        return (parts.items if parts else ()), ""
    first = read_relation(parts.items[0])
    if first is None or len(parts.items) < 2 or any(read_relation(item) for item in parts.items[1:]):
        return parts.items, ""
    if len(first.signs) > 1 or first.signs[0] not in ("=", "in"):
        return parts.items, ""
    name, value = first.terms
    if not (is_name(name, lenient=lenient) or is_name_tuple(name)):
        return parts.items, ""
    return (value, *parts.items[1:]), name


def _names(items: tuple[str, ...], *, lenient: bool = False) -> list[str]:
    """The names of items that all have one."""
    values = [_named_value(read_relation(item), lenient=lenient) for item in items]
    return [canonical_text(value[0]) for value in values] if values and all(values) else []


def _parts_equal(
    gold: Parts | None,
    answer: Parts | None,
    gold_text: str,
    answer_text: str,
    comparison: Comparison,
    depth: int,
) -> bool:
    """The verdict part by part; an answer with parts is never one without, but for a set of one."""
    if gold is None or answer is None:
        parts, text = (gold, answer_text) if gold else (answer, gold_text)
        if parts.kind == "set" and len(parts.items) == 1 and not comparison.inside:
            one, other = (parts.items[0], text) if gold else (text, parts.items[0])
            return _equal(one, other, comparison, depth + 1)
        if parts.kind == "matrix":
            return expressions_equal(gold_text, answer_text, comparison)
        return False
    if "union" in (gold.kind, answer.kind):
        return gold.kind == answer.kind and _unordered_equal(gold.items, answer.items, comparison, depth)
    if gold.kind == "matrix" or answer.kind == "matrix":
        return _matrix_equal(gold, answer, comparison, depth)
    if len(gold.items) != len(answer.items) or {gold.kind, answer.kind} == {"set", "tuple"}:
        return False
    if gold.ordered or answer.ordered:
        brackets = {gold.brackets, answer.brackets} - {""}
        is_point = brackets == {"()"} and not any("\\infty" in item for item in gold.items + answer.items)
        return (is_point or gold.brackets == answer.brackets) and _ordered_equal(
            gold.items, answer.items, comparison, depth
        )
    return _unordered_equal(gold.items, answer.items, comparison, depth)


def _matrix_equal(gold: Parts, answer: Parts, comparison: Comparison, depth: int) -> bool:
    """Cell by cell; a single row or column may also be written as a tuple."""
    shapes = {gold.columns, answer.columns} - {0}
    vector = shapes <= {1, len(gold.items)} and {gold.kind, answer.kind} == {"matrix", "tuple"}
    if len(gold.items) != len(answer.items) or not (vector or gold.columns == answer.columns):
        return False
    return _ordered_equal(gold.items, answer.items, comparison, depth)


def _ordered_equal(
    gold: tuple[str, ...], answer: tuple[str, ...], comparison: Comparison, depth: int
) -> bool:
    comparison = replace(comparison, inside=True)
    without_engine = replace(comparison, use_engine=False)
    unsure = [pair for pair in zip(gold, answer, strict=True) if not _equal(*pair, without_engine, depth + 1)]
    return not unsure or (
        comparison.use_engine and all(_equal(*pair, comparison, depth + 1) for pair in unsure)
    )


def _unordered_equal(
    gold: tuple[str, ...], answer: tuple[str, ...], comparison: Comparison, depth: int
) -> bool:
    """One partner each. First all that is equal without the engine, then the engine on what is left."""
    if len(gold) != len(answer):
        return False
    comparison = replace(comparison, inside=True)
    without_engine = replace(comparison, use_engine=False)
    left = list(answer)
    for way in (without_engine, comparison) if comparison.use_engine else (comparison,):
        unmatched = []
        for item in gold:
            partner = next((other for other in left if _equal(item, other, way, depth + 1)), None)
            if partner is None:
                unmatched.append(item)
            else:
                left.remove(partner)
        gold = tuple(unmatched)
        if not gold:
            return True
    return False
