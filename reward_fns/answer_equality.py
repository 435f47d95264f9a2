"""Whether two answers are the same: as text, exact numbers, words, part by part, and last symbolically."""

import re
from dataclasses import dataclass

from reward_fns.answer_structure import Parts, read_parts, without_outer_parentheses
from reward_fns.answer_text import canonical_text, clean_answer, plain_words
from reward_fns.exact_number import numbers_equal, read_number
from reward_fns.symbolic_engine import ENGINE, EngineTime

# A longer or deeper answer is not worth a second of the engine.
MAX_ENGINE_CHARS = 500
MAX_ENGINE_DEPTH = 24
_MAX_NESTING = 4

_NAME = r"(?:\\?[A-Za-z]+(?:_\{?\\?[A-Za-z0-9]+(?: ?\}|(?![A-Za-z])))?'*)"
_ASSIGNMENT = re.compile(
    rf"(?P<name>(?:\\angle )?(?:{_NAME} ?){{1,4}}(?:\( ?[A-Za-z](?: ?, ?[A-Za-z])* ?\))?) ?"
    r"(?:=|:|\\in(?![A-Za-z])) ?"
    r"(?P<value>[^=<>].*)",
    re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z]{2,}")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])")
_MATHEMATICS = re.compile(r"[0-9\\^_+*/=<>|-]|(?<![A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])")
_PLAIN_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt ?\(([^()]*)\)")
_PLAIN_FUNCTION = re.compile(r"(?<![A-Za-z\\])(pi|sin|cos|tan|ln|log|exp|arcsin|arccos|arctan)(?![A-Za-z])")
# Physicists' names that the engine's parser does not know, and symbols that no answer uses.
_STAND_INS = {"E_": "\\Upsilon_", "\\hbar": "\\Xi "}
_UNKNOWN_NAME = re.compile(r"(?<![A-Za-z\\])E_|\\hbar(?![A-Za-z])")
_NUMBER_BEFORE_FRACTION = re.compile(r"(?<![_0-9.])([0-9]+) ?\((?=\\frac)")
_STATEMENT = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}(?: [A-Za-z]{2,}){2,}")


@dataclass(frozen=True)
class Comparison:
    """How answers are compared: the engine's clock and the relative tolerance between numbers (0: exact)."""

    engine_time: EngineTime
    rel_tol: float = 0.0
    use_engine: bool = True


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
        return numbers_equal(gold_number, answer_number, rel_tol=comparison.rel_tol)
    gold_words, answer_words = plain_words(gold), plain_words(answer)
    if gold_words or answer_words:
        return gold_words == answer_words
    gold_inner, answer_inner = without_outer_parentheses(gold), without_outer_parentheses(answer)
    if (gold_inner != gold and not read_parts(gold)) or (answer_inner != answer and not read_parts(answer)):
        gold = gold if read_parts(gold) else gold_inner
        answer = answer if read_parts(answer) else answer_inner
        return _equal(gold, answer, comparison, depth + 1)
    # The comma of `1,200` makes no list of a gold answer; in an answer it may (`100,200` for the gold `100,
    # 200`).
    gold_parts, answer_parts = None if gold_number else read_parts(gold), read_parts(answer)
    gold_value, answer_value = _values_of_assignments(gold, answer, gold_parts, answer_parts)
    if gold_value is None or answer_value is None:
        return False
    if (gold_value, answer_value) != (gold, answer):
        return _equal(gold_value, answer_value, comparison, depth + 1)
    if gold_parts or answer_parts:
        same = _parts_equal(gold_parts, answer_parts, gold, answer, comparison, depth)
        if same is not None:
            return same
    return _engine_equal(gold, answer, comparison)


def _values_of_assignments(
    gold: str, answer: str, gold_parts: Parts | None, answer_parts: Parts | None
) -> tuple[str | None, str | None]:
    """What stands right of `x =`, `f(x) =`, `x \\in`; unchanged if nothing does; None for two names.

    A name of words (`Total = 5`) says nothing. `x = 1, 2` keeps its name for the first item alone, so it is
    removed here; in `x = 1, y = 2` each item has its own, which the items settle among themselves.
    """
    gold_match = None if gold_parts and gold.count("=") > 1 else _ASSIGNMENT.fullmatch(gold)
    answer_match = None if answer_parts and answer.count("=") > 1 else _ASSIGNMENT.fullmatch(answer)
    if gold_match and answer_match:
        names = [canonical_text(match["name"]) for match in (gold_match, answer_match)]
        if names[0] != names[1] and not any(_is_words(match["name"]) for match in (gold_match, answer_match)):
            return None, None
        return gold_match["value"].strip(), answer_match["value"].strip()
    if gold_match and not _is_equation(answer):
        return _last_value(gold_match["value"]), answer
    if answer_match and not _is_equation(gold):
        return gold, _last_value(answer_match["value"])
    return gold, answer


def _is_words(name: str) -> bool:
    return "\\" not in name and "(" not in name and bool(_WORD.search(name))


def _is_equation(text: str) -> bool:
    return "=" in text or bool(_RELATION.search(text))


def _last_value(value: str) -> str:
    """The end of a chain: `2 + 3 = 5` is 5. Lists keep their equations."""
    return value if "," in value else value.rpartition("=")[2].strip() or value


def _parts_equal(
    gold: Parts | None,
    answer: Parts | None,
    gold_text: str,
    answer_text: str,
    comparison: Comparison,
    depth: int,
) -> bool | None:
    """The verdict part by part; None where only the engine can tell (a union against another form)."""
    if gold is None or answer is None:
        parts, text = (gold, answer_text) if gold else (answer, gold_text)
        if parts.kind == "set" and len(parts.items) == 1:
            one, other = (parts.items[0], text) if gold else (text, parts.items[0])
            return _equal(one, other, comparison, depth + 1)
        relation = _RELATION.search(text) or text.startswith(("\\mathbb", "\\begin"))
        return None if relation or parts.kind == "union" else False
    if "union" in (gold.kind, answer.kind):
        same = gold.kind == answer.kind and _unordered_equal(gold.items, answer.items, comparison, depth)
        return True if same else None
    if gold.kind == "matrix" or answer.kind == "matrix":
        return _matrix_equal(gold, answer, comparison, depth)
    if len(gold.items) != len(answer.items) or {gold.kind, answer.kind} == {"set", "tuple"}:
        return False
    if gold.ordered or answer.ordered:
        brackets = {gold.brackets, answer.brackets} - {""}
        return (brackets == {"()"} or gold.brackets == answer.brackets) and _ordered_equal(
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
    without_engine = Comparison(comparison.engine_time, comparison.rel_tol, use_engine=False)
    unsure = [pair for pair in zip(gold, answer, strict=True) if not _equal(*pair, without_engine, depth + 1)]
    return all(_equal(*pair, comparison, depth + 1) for pair in unsure)


def _unordered_equal(
    gold: tuple[str, ...], answer: tuple[str, ...], comparison: Comparison, depth: int
) -> bool:
    """One partner each. First all that is equal without the engine, then the engine on what is left."""
    if len(gold) != len(answer):
        return False
    without_engine = Comparison(comparison.engine_time, comparison.rel_tol, use_engine=False)
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


def _engine_equal(gold: str, answer: str, comparison: Comparison) -> bool:
    """The last resort; text that cannot be mathematics, or is too long or too deep, is wrong without it."""
    if not comparison.use_engine:
        return False
    if not all(_fit_for_engine(text) for text in (gold, answer)):
        return False
    return ENGINE.equal(_engine_latex(gold), _engine_latex(answer), comparison.engine_time)


def _engine_latex(text: str) -> str:
    """Plain spellings that LaTeX reads as products of letters, and a product it reads as a mixed number."""
    text = _PLAIN_ROOT.sub(r"\\sqrt{\1}", text.replace("**", "^"))
    text = _PLAIN_FUNCTION.sub(r"\\\1", text)
    text = _UNKNOWN_NAME.sub(lambda match: _STAND_INS[match.group()], text)
    return _NUMBER_BEFORE_FRACTION.sub(r"\1 \\cdot (", text)


def _fit_for_engine(text: str) -> bool:
    if len(text) > MAX_ENGINE_CHARS or not _MATHEMATICS.search(text) or _STATEMENT.search(text):
        return False
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest <= MAX_ENGINE_DEPTH
