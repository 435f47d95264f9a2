"""Whether two answers are the same part by part: lists, sets, tuples, intervals, unions, matrices."""

from dataclasses import replace

from reward_fns.answer_relation import interval_of, is_name, is_name_tuple, read_relation
from reward_fns.answer_structure import Parts, read_parts
from reward_fns.answer_text import canonical_text
from reward_fns.comparison import Comparison
from reward_fns.expression_equality import expressions_equal
from reward_fns.latex_tokens import tokens_of
from reward_fns.relation_equality import Equal, named_value, same_name


def is_list(parts: Parts | None) -> bool:
    return parts is not None and parts.kind == "list"


def lists_equal(
    gold: str,
    answer: str,
    gold_parts: Parts | None,
    answer_parts: Parts | None,
    comparison: Comparison,
    equal: Equal,
) -> bool:
    """At least one side is a list. A name before the first item alone is that of them all (`x = 1, 2`)."""
    if answer_parts is None and (relation := read_relation(answer)) and relation.signs == ("in",):
        answer_parts = read_parts(relation.terms[1]) if is_name(relation.terms[0]) else None
        return (
            answer_parts is not None
            and answer_parts.kind == "set"
            and _unordered_equal(gold_parts.items, answer_parts.items, comparison, equal)
        )
    if gold_parts is not None and gold_parts.kind == "union" and (union := _union_of(answer, answer_parts)):
        return equal(gold, union, comparison)
    gold_items, gold_name = _without_first_name(gold_parts, lenient=True)
    answer_items, answer_name = _without_first_name(answer_parts)
    if gold_parts is None or answer_parts is None:
        return False
    if _connective(gold) and _connective(answer) and _connective(gold) != _connective(answer):
        return False
    if gold_name and answer_name and not same_name((gold_name, ""), (answer_name, "")):
        return False
    gold_names, answer_names = _names(gold_items, lenient=True), _names(answer_items)
    if bool(gold_names) != bool(answer_names) and len(set(gold_names or answer_names)) > 1:
        # Different names on one side alone: `a = 1, b = 2` is `1, 2` and not `2, 1`.
        return len(gold_items) == len(answer_items) and _ordered_equal(
            gold_items, answer_items, comparison, equal
        )
    if len(answer_items) > len(gold_items) and all(item.startswith("(") for item in answer_items):
        # A point that is listed twice is one point.
        answer_items = tuple(dict.fromkeys(item.replace(" ", "") for item in answer_items))
    gold_parts, answer_parts = (
        replace(gold_parts, items=gold_items),
        replace(answer_parts, items=answer_items),
    )
    return parts_equal(gold_parts, answer_parts, gold, answer, comparison, equal)


def _union_of(text: str, parts: Parts | None) -> str | None:
    """`x < -1 or x > 1` as a union of intervals; None for anything else."""
    if parts is None or _connective(text) != "or":
        return None
    sets = [interval_of(relation) if (relation := read_relation(item)) else None for item in parts.items]
    if not all(sets) or len({canonical_text(name) for name, _ in sets}) != 1:
        return None
    return " \\cup ".join(allowed for _, allowed in sets)


def _connective(text: str) -> str:
    """`and` or `or` between statements, where they mean different things; "" elsewhere."""
    words = tokens_of(text)
    for name, signs in (("and", ("\\land", "\\wedge")), ("or", ("\\lor", "\\vee"))):
        if any(sign in words for sign in signs):
            return name
    if not any(sign in words for sign in ("<", ">", "\\le", "\\ge")):
        return ""
    return next((word for word in words if word in ("and", "or")), "")


def _without_first_name(parts: Parts | None, *, lenient: bool = False) -> tuple[tuple[str, ...], str]:
    """The items without the name of `x = 1, 2`, `n \\in 1, 2`, `(x, y) = (1, 2), (2, 1)`, and that name."""
    if not is_list(parts):
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
    values = [named_value(read_relation(item), lenient=lenient) for item in items]
    return [canonical_text(value[0]) for value in values] if values and all(values) else []


def parts_equal(
    gold: Parts | None,
    answer: Parts | None,
    gold_text: str,
    answer_text: str,
    comparison: Comparison,
    equal: Equal,
) -> bool:
    """The verdict part by part; an answer with parts is never one without, but for a set of one."""
    if gold is None or answer is None:
        parts, text = (gold, answer_text) if gold else (answer, gold_text)
        if parts.kind == "set" and len(parts.items) == 1 and not comparison.inside:
            one, other = (parts.items[0], text) if gold else (text, parts.items[0])
            return equal(one, other, comparison)
        if parts.kind == "matrix":
            return expressions_equal(gold_text, answer_text, comparison)
        return False
    if "union" in (gold.kind, answer.kind):
        return gold.kind == answer.kind and _unordered_equal(gold.items, answer.items, comparison, equal)
    if gold.kind == "matrix" or answer.kind == "matrix":
        return _matrix_equal(gold, answer, comparison, equal)
    if len(gold.items) != len(answer.items) or {gold.kind, answer.kind} == {"set", "tuple"}:
        return False
    if gold.ordered or answer.ordered:
        brackets = {gold.brackets, answer.brackets} - {""}
        is_point = brackets == {"()"} and not any("\\infty" in item for item in gold.items + answer.items)
        return (is_point or gold.brackets == answer.brackets) and _ordered_equal(
            gold.items, answer.items, comparison, equal
        )
    return _unordered_equal(gold.items, answer.items, comparison, equal)


def _matrix_equal(gold: Parts, answer: Parts, comparison: Comparison, equal: Equal) -> bool:
    """Cell by cell; a single row or column may also be written as a tuple."""
    shapes = {gold.columns, answer.columns} - {0}
    vector = shapes <= {1, len(gold.items)} and {gold.kind, answer.kind} == {"matrix", "tuple"}
    if len(gold.items) != len(answer.items) or not (vector or gold.columns == answer.columns):
        return False
    return _ordered_equal(gold.items, answer.items, comparison, equal)


def _ordered_equal(
    gold: tuple[str, ...], answer: tuple[str, ...], comparison: Comparison, equal: Equal
) -> bool:
    comparison = replace(comparison, inside=True)
    without_engine = replace(comparison, use_engine=False)
    unsure = [pair for pair in zip(gold, answer, strict=True) if not equal(*pair, without_engine)]
    return not unsure or (comparison.use_engine and all(equal(*pair, comparison) for pair in unsure))


def _unordered_equal(
    gold: tuple[str, ...], answer: tuple[str, ...], comparison: Comparison, equal: Equal
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
            partner = next((other for other in left if equal(item, other, way)), None)
            if partner is None:
                unmatched.append(item)
            else:
                left.remove(partner)
        gold = tuple(unmatched)
        if not gold:
            return True
    return False
