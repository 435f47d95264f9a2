"""Answers with a relation: `x = 5`, `f(x) = 2x`, `-2 \\le x < 7`, `x \\in S`, as terms and signs."""

from dataclasses import dataclass
from functools import lru_cache

from reward_fns.latex_tokens import is_command, is_digits, is_word, tokens_of
from reward_fns.sentence import CHANGING_WORDS, DENYING_WORDS, names_another

_OPENING = frozenset(["(", "[", "{", "\\{"])
_CLOSING = frozenset([")", "]", "}", "\\}"])
_SIGNS = {"=": "=", "<": "<", ">": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\in": "in"}
_SIGNS |= {"\\approx": "~", "\\simeq": "~", "\\equiv": "==", "\\sim": "~"}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_FUNCTION_ARGUMENTS = frozenset(["\\cap", "\\cup", "|", ",", " ", "\\mid"])
_NUMERIC_FUNCTIONS = frozenset("fghFGHPQpqTSNV")
_NAME_WORDS = 6
_ANGLES = frozenset(
    ["\\angle", "\\triangle", "\\overline", "\\vec", "\\hat", "\\bar", "\\tilde", "\\widehat"]
)
_GEOMETRY = frozenset(["\\frac", "{", "}", "/", ":", "|", "_", "(", ")", " ", "^", "\\overline", "\\angle"])
_SHORT_NAMES = frozenset(["sum", "ans", "max", "min", "lcm", "gcd", "day", "age", "row", "the"])
_NO_NAMES = (
    DENYING_WORDS
    | {"bound", "bounds", "lower", "upper", "least", "most", "than", "limit", "guess"}
    | CHANGING_WORDS
)
_GREEK_END = frozenset(["\\pi"])


@dataclass(frozen=True)
class Relation:
    """Terms with a sign between each two: `=`, `<`, `<=`, `>`, `>=`, `!=`, `in`, `~` (about), `==`."""

    terms: tuple[str, ...]
    signs: tuple[str, ...]


@lru_cache(maxsize=4096)
def read_relation(clean: str) -> Relation | None:
    """The relation that the whole text is; None without a sign outside brackets, or with an empty term."""
    terms: list[list[str]] = [[]]
    signs: list[str] = []
    depth = 0
    tokens = tokens_of(clean)
    for index, token in enumerate(tokens):
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
        elif depth == 0 and token in _SIGNS:
            previous = tokens[index - 1] if index else ""
            if token == "=" and signs and previous in ("<", ">") and not terms[-1]:
                signs[-1] += "="
                continue
            if token == "=" and terms[-1][-1:] in (["!"], [":"]):
                signs.append("!=" if terms[-1].pop() == "!" else "=")
            else:
                signs.append(_SIGNS[token])
            terms.append([])
            continue
        terms[-1].append(token)
    texts = ["".join(term).strip() for term in terms]
    if not signs or depth != 0 or not all(texts):
        return None
    return Relation(tuple(texts), tuple(signs))


def is_name(text: str, *, lenient: bool = False) -> bool:
    """Whether a text names one thing: `x`, `a_{n+1}`, `f(x)`, `AB`, `\\angle ABC`, `Total cost`.

    `xy`, `2x` and `x + y` name nothing. `lenient` adds what a gold answer may have: `|AB|`, `\\frac{NO}{BO}`,
    `A:B`.
    """
    tokens = tokens_of(text)
    if not tokens:
        return False
    if len(tokens) == 3 and tokens[0] == tokens[2] == "|" and tokens[1].isupper() and len(tokens[1]) == 2:
        return True
    if lenient and all(
        token in _GEOMETRY or is_digits(token) or (is_word(token) and token.isupper()) for token in tokens
    ):
        return any(map(is_word, tokens))
    if tokens[0] == "m" and tokens[1:2] in (["\\angle"], [" "]) and "\\angle" in tokens[:3]:
        tokens = tokens[tokens.index("\\angle") :]
    while tokens and tokens[0] in _ANGLES:
        tokens = [token for token in tokens[1:] if token not in "{}"]
        while tokens[:1] == [" "]:
            tokens = tokens[1:]
    if not tokens:
        return False
    words = [token for token in tokens if token != " "]
    if all(is_word(token) or token in (".", "'", "-") for token in words):
        if len(words) == 1 and (len(words[0]) == 1 or (words[0].isupper() and len(words[0]) <= 5)):
            return True
        long_word = any(len(word) >= 4 or word.lower() in _SHORT_NAMES for word in words)
        return (
            long_word
            and len(words) <= _NAME_WORDS
            and _NO_NAMES.isdisjoint(map(str.lower, words))
            and not names_another([word.lower() for word in words])
        )
    return _is_symbol(tokens)


def _is_symbol(tokens: list[str]) -> bool:
    """A letter or Greek letter, with subscript, primes and the arguments of a function."""
    head = tokens[0]
    if not (
        (is_word(head) and (len(head) == 1 or head.isupper())) or (is_command(head) and head[1:].islower())
    ):
        return False
    if is_command(head) and (
        head in _GREEK_END or head[1:] in ("frac", "sqrt", "sin", "cos", "tan", "log", "ln")
    ):
        return False
    rest = tokens[1:]
    while rest[:1] == [" "]:
        rest = rest[1:]
    if rest[:1] == ["_"]:
        rest = rest[rest.index("}") + 1 :] if rest[1:2] == ["{"] and "}" in rest else rest[2:]
    while rest[:1] in (["'"], [" "]):
        rest = rest[1:]
    if not rest:
        return True
    if rest[0] not in ("(", "[") or rest[-1] not in (")", "]"):
        return False
    arguments = [token for token in rest[1:-1] if token not in _FUNCTION_ARGUMENTS]
    if any(is_digits(token) for token in arguments):
        return head in _NUMERIC_FUNCTIONS and all(is_digits(token) or token == "-" for token in arguments)
    return bool(arguments) and all(
        (is_word(token) and (len(token) == 1 or token.isupper())) and token != head for token in arguments
    )


def is_name_tuple(text: str) -> bool:
    """Whether the text is `(x, y)`, a tuple of names."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    names = text[1:-1].split(",")
    return len(names) > 1 and all(is_name(name.strip()) for name in names)


def function_letter(name: str) -> tuple[str, str] | None:
    """The letter and the argument of `f(x)`, or None."""
    tokens = [token for token in tokens_of(name) if token != " "]
    if len(tokens) == 4 and tokens[1] == "(" and tokens[3] == ")" and is_word(tokens[0]):
        return tokens[0], tokens[2]
    return None


def mirrored(relation: Relation) -> Relation | None:
    """The relation read from right to left; None if it has a sign that cannot be."""
    if any(sign not in _MIRRORED for sign in relation.signs):
        return None
    return Relation(relation.terms[::-1], tuple(_MIRRORED[sign] for sign in relation.signs[::-1]))


def interval_of(relation: Relation) -> tuple[str, str] | None:
    """The name and the set that a relation allows it: `-2 \\le x < 7` is `x` and `[-2,7)`; else None."""
    terms, signs = relation.terms, relation.signs
    if len(signs) == 1 and signs[0] == "in":
        return (terms[0], terms[1]) if is_name(terms[0]) else None
    if not is_name(terms[0 if len(terms) == 2 else 1]) and len(terms) == 2:
        turned = mirrored(relation)
        return None if turned is None or not is_name(turned.terms[0]) else interval_of(turned)
    if len(terms) == 2:
        name, end = terms
        infinite = {"<": f"(-\\infty,{end})", "<=": f"(-\\infty,{end}]", ">": f"({end},\\infty)"}
        infinite |= {">=": f"[{end},\\infty)", "!=": f"(-\\infty,{end}) \\cup ({end},\\infty)"}
        return (name, infinite[signs[0]]) if signs[0] in infinite else None
    if len(terms) == 3 and is_name(terms[1]):
        if set(signs) <= {">", ">="}:
            turned = mirrored(relation)
            return interval_of(turned) if turned else None
        if set(signs) <= {"<", "<="}:
            left, right = "(" if signs[0] == "<" else "[", ")" if signs[1] == "<" else "]"
            return terms[1], f"{left}{terms[0]},{terms[2]}{right}"
    return None
