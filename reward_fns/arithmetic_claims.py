"""Arithmetic claims in a text, such as `3 * 4 = 12`, checked exactly.

A tiny parser of our own reads numbers, `+ - * /` and parentheses; there are no powers, names or calls. Sizes
and counts are bounded, and Python never evaluates the text.
"""

import re
from fractions import Fraction

MAX_CLAIMS = 50
MAX_CLAIM_CHARS = 100
MAX_TOKENS = 32
# As published: a claim holds within 1e-6 (arXiv 2601.03661, reference implementation).
TOLERANCE = Fraction(1, 10**6)

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_TOKEN = re.compile(rf" *({_NUMBER}|[-+*/()])")
_RIGHT = re.compile(rf"[ $]*(-?{_NUMBER})(?![0-9.]*[0-9])(?!%? *[-+*/^(])")
_SIGNS = str.maketrans(
    {"\u00d7": "*", "\u00b7": "*", "\u22c5": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "$": " "}
)
_LATEX_SIGNS = re.compile(r"\\(times|cdot|div)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_ALLOWED_FROM = re.compile(r"[-+*/().0-9 ]*$")


def true_claims(text: str) -> int:
    """How many different claims `expression = number` of the first MAX_CLAIMS of the text hold."""
    text = _THOUSANDS.sub("", text)
    if "\\" in text:
        text = _LATEX_SIGNS.sub(lambda match: "/" if match.group(1) == "div" else "*", text)
    text = text.translate(_SIGNS)
    holds, seen = 0, set()
    position = text.find("=")
    for _ in range(MAX_CLAIMS):
        if position < 0:
            break
        right = _RIGHT.match(text, position + 1)
        left = _ALLOWED_FROM.search(text[max(0, position - MAX_CLAIM_CHARS) : position]).group()
        tokens = _last_expression(left) if right else None
        if tokens and (*tokens, right.group(1)) not in seen:
            seen.add((*tokens, right.group(1)))
            value = _evaluate(tokens)
            holds += value is not None and abs(value - Fraction(right.group(1))) < TOLERANCE
        position = text.find("=", position + 1)
    return holds


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


def _evaluate(tokens: list[str]) -> Fraction | None:
    """The value of a well-formed expression by precedence climbing on a stack; None if a divisor is zero."""
    values: list[Fraction] = []
    operators: list[str] = []
    precedence = {"+": 1, "-": 1, "*": 2, "/": 2}

    def apply() -> bool:
        operator, right, left = operators.pop(), values.pop(), values.pop()
        if operator == "/" and right == 0:
            return False
        values.append(
            left + right
            if operator == "+"
            else left - right
            if operator == "-"
            else left * right
            if operator == "*"
            else left / right
        )
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
            values.append(Fraction(token))
    while operators:
        if not apply():
            return None
    return values[0]
