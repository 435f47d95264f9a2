"""Whether two answers are the same: as text, numbers, words, relations, part by part, as expressions."""

from reward_fns.answer_relation import read_relation
from reward_fns.answer_structure import read_parts, without_outer_parentheses
from reward_fns.answer_text import canonical_text, clean_answer, plain_words
from reward_fns.comparison import Comparison
from reward_fns.exact_number import (
    numbers_equal,
    read_based,
    read_labelled_number,
    read_number,
    time_of_day,
    with_decimal_point,
)
from reward_fns.expression_equality import expressions_equal
from reward_fns.part_equality import is_list, lists_equal, parts_equal
from reward_fns.relation_equality import relations_equal

_MAX_NESTING = 6
_REAL_NUMBERS = frozenset(["\\mathbb{R}", "\\R", "(-\\infty,\\infty)", "(-\\infty,+\\infty)"])


def answers_equal(gold: str, answer: str, comparison: Comparison) -> bool:
    """Whether `answer` is the gold answer. Both are as they were written."""
    gold_text, answer_text = clean_answer(gold), clean_answer(answer)
    for phrase in ("The answer is ", "Answer: "):
        answer_text = answer_text.removeprefix(phrase)
    if not gold_text or not answer_text:
        return False
    return _equal(gold_text, answer_text, comparison, 0)


def _equal(gold: str, answer: str, comparison: Comparison, depth: int) -> bool:
    if canonical_text(gold) == canonical_text(answer):
        return True
    if {canonical_text(gold), canonical_text(answer)} <= _REAL_NUMBERS:
        return True
    if "_" in gold or "_" in answer:
        bases = read_based(gold), read_based(answer)
        if any(bases):
            if gold.isdecimal() and bases[1] and bases[1][1] == 10:
                return int(gold) == int(bases[1][0])
            return bases[0] == bases[1]
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

    def equal(one: str, other: str, way: Comparison) -> bool:
        return _equal(one, other, way, depth + 1)

    if is_list(gold_parts) or is_list(answer_parts):
        return lists_equal(gold, answer, gold_parts, answer_parts, comparison, equal)
    gold_relation, answer_relation = read_relation(gold), read_relation(answer)
    if gold_relation or answer_relation:
        return relations_equal(gold, answer, gold_relation, answer_relation, comparison, equal)
    if gold_parts or answer_parts:
        return parts_equal(gold_parts, answer_parts, gold, answer, comparison, equal)
    return expressions_equal(gold, answer, comparison)
