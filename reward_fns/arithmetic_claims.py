"""Arithmetic claims in a text, such as `3 * 4 = 12`, checked exactly and counted once however they are
spelled.

A tiny parser of our own reads numbers, `+ - * /` and parentheses; there are no powers, names or calls. Sizes
and counts are bounded, and Python never evaluates the text.
"""

from collections import Counter
from fractions import Fraction

import re2

MAX_CLAIMS = 50
MAX_CLAIM_CHARS = 100
MAX_TOKENS = 32
# As published: a claim holds within 1e-6 (arXiv 2601.03661, reference implementation).
TOLERANCE = Fraction(1, 10**6)

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_TOKEN = re2.compile(rf" *({_NUMBER}|[-+*/()])")
_RIGHT = re2.compile(rf"[ $]*(-?{_NUMBER})([^=\n]?)")
_GOES_ON = re2.compile(r"[ ]*%? *[-+*/^(]")
_SIGNS = str.maketrans(
    {"\u00d7": "*", "\u00b7": "*", "\u22c5": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "$": " "}
)
_ALLOWED = frozenset("-+*/().0123456789 ")
# A tree is a number, or an operator between two trees.
_Tree = Fraction | tuple


def true_claims(text: str) -> int:
    """How many different claims `expression = number` of the first MAX_CLAIMS of the text hold.

    `1+1=2`, `01+1=2.0` and `(1)+1=2` are one claim, `3+4` and `4+3` too. A claim in which nothing is
    calculated (`5+0=5`, `7*1=7`, `3-3=0`) counts for nothing.
    """
    text = _without_thousands(text)
    for command, sign in (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/")):
        text = text.replace(command, sign)
    text = text.translate(_SIGNS)
    seen = set()
    position = text.find("=")
    for _ in range(MAX_CLAIMS):
        if position < 0:
            break
        right = _right_side(text[position + 1 : position + 1 + MAX_CLAIM_CHARS])
        tokens = _last_expression(_left_side(text, position)) if right is not None else None
        tree = _tree(tokens) if tokens else None
        if tree is not None and abs(_value(tree) - right) < TOLERANCE:
            form = _normal(tree)
            if not isinstance(form, Fraction):
                seen.add(form)
        position = text.find("=", position + 1)
    return len(seen)


def _without_thousands(text: str) -> str:
    """`1,200` to `1200`."""
    if "," not in text:
        return text
    first, *rest = text.split(",")
    kept = [first]
    for part in rest:
        group = part[:3].isdecimal() and len(part[:3]) == 3 and not part[3:4].isdecimal()
        kept.append(part if group and kept[-1][-1:].isdecimal() else "," + part)
    return "".join(kept)


def _right_side(text: str) -> Fraction | None:
    """The number that begins a text, if it goes on neither as a number nor as an expression."""
    match = _RIGHT.match(text)
    if not match:
        return None
    rest = text[match.end(1) :]
    after = rest.lstrip(".")
    if rest[:1].isdecimal() or (rest[:1] == "." and after[:1].isdecimal()) or _GOES_ON.match(rest):
        return None
    return Fraction(match.group(1))


def _left_side(text: str, end: int) -> str:
    """What could be an expression and ends at `end`."""
    start = end
    while start > max(0, end - MAX_CLAIM_CHARS) and text[start - 1] in _ALLOWED:
        start -= 1
    return text[start:end]


def _last_expression(text: str) -> list[str] | None:
    """The tokens of the longest expression that ends the text and has an operator, or None.

    Read backwards, operand after operand, so that `2. 3 * 4` (a numbered line) is `3 * 4`.
    """
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match:
            tokens.append(match.group(1))
            position = match.end()
        else:
            tokens.append("")  # something else, such as a full stop: no expression goes across it
            position += 1
    expression, depth, want_operand = [], 0, True
    for token in reversed(tokens[-MAX_TOKENS:]):
        is_number = token[:1].isdigit()
        if (
            token == ""
            or (is_number and not want_operand)
            or (token in ("+", "-", "*", "/") and want_operand)
        ):
            break
        if token == ")":
            if not want_operand:
                break
            depth += 1
        elif token == "(":
            if want_operand or depth == 0:
                break
            depth -= 1
        elif is_number:
            want_operand = False
        else:
            want_operand = True
        expression.append(token)
    while expression and expression[-1] in ("+", "-", "*", "/"):
        expression.pop()
    expression.reverse()
    return expression if depth == 0 and any(token in "+-*/" for token in expression) else None


def _tree(tokens: list[str]) -> _Tree | None:
    """The tree of a well-formed expression, by precedence on a stack; None if a divisor is zero."""
    trees: list[_Tree] = []
    operators: list[str] = []
    precedence = {"+": 1, "-": 1, "*": 2, "/": 2}

    def apply() -> bool:
        operator, right, left = operators.pop(), trees.pop(), trees.pop()
        if operator == "/" and _value(right) == 0:
            return False
        trees.append((operator, left, right))
        return True

    for token in tokens:
        if token == "(":
            operators.append(token)
        elif token == ")":
            while operators[-1] != "(":
                if not apply():
                    return None
            operators.pop()
        elif token in precedence:
            while operators and operators[-1] != "(" and precedence[operators[-1]] >= precedence[token]:
                if not apply():
                    return None
            operators.append(token)
        else:
            trees.append(Fraction(token))
    while operators:
        if not apply():
            return None
    return trees[0]


def _value(tree: _Tree) -> Fraction:
    if isinstance(tree, Fraction):
        return tree
    operator, left, right = tree[0], _value(tree[1]), _value(tree[2])
    if operator in "+-":
        return left + right if operator == "+" else left - right
    return left * right if operator == "*" else left / right


def _normal(tree: _Tree) -> _Tree:
    """One form for all spellings: terms of a sum and factors of a product in order, without 0 and 1."""
    if isinstance(tree, Fraction):
        return tree
    is_sum = tree[0] in "+-"
    parts: Counter = Counter()
    _collect(tree, 1, "+-" if is_sum else "*/", parts)
    neutral = Fraction(0 if is_sum else 1)
    parts = Counter({part: count for part, count in parts.items() if count and part != neutral})
    if not is_sum and parts.get(Fraction(0)):
        return Fraction(0)
    if not parts:
        return neutral
    if len(parts) == 1 and next(iter(parts.values())) == 1:
        return next(iter(parts))
    return ("+" if is_sum else "*", *sorted(parts.items(), key=repr))


def _collect(tree: _Tree, count: int, operators: str, parts: Counter) -> None:
    """Add the terms of a sum with their signs, or the factors of a product with their exponents."""
    if isinstance(tree, Fraction) or tree[0] not in operators:
        part = _normal(tree)
        if isinstance(part, Fraction) or part[0] not in operators:
            parts[part] += count
        else:
            for inner, inner_count in part[1:]:
                parts[inner] += count * inner_count
        return
    _collect(tree[1], count, operators, parts)
    _collect(tree[2], count if tree[0] == operators[0] else -count, operators, parts)
