"""Answers with parts: lists, tuples, intervals, sets, unions and matrices, split at their outer commas.

The parts are compared one by one, so that numbers inside never reach the symbolic engine, a list of another
length is wrong at once, and `(1, 2]` is not `[1, 2)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from reward_fns.latex_tokens import tokens_of

MAX_PARTS = 64

_OPENING = frozenset(["(", "[", "{", "\\{"])
_CLOSING = frozenset([")", "]", "}", "\\}"])
_SEPARATORS = frozenset([",", ";", "or", "and", "\\lor", "\\land", "\\vee", "\\wedge"])
_UNIONS = frozenset(["\\cup", "cup", "U"])
_MATRICES = frozenset(["pmatrix", "bmatrix", "matrix", "array", "smallmatrix", "Bmatrix"])


@dataclass(frozen=True)
class Parts:
    """An answer with parts.

    `kind` is `list` (bare commas, any order), `set`, `tuple`, `union` or `matrix`; `brackets` is what
    encloses a tuple or an interval, as `(]`; a matrix holds its cells row by row and `columns`.
    """

    kind: str
    items: tuple[str, ...]
    brackets: str = ""
    columns: int = 0

    @property
    def ordered(self) -> bool:
        return self.kind in ("tuple", "matrix")


def _closing_at(text: str) -> int:
    """The index of the bracket that closes the first one, or -1. Round and square ones close each other."""
    depth = 0
    for index, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def split_outside(text: str, is_separator: Callable[[str], bool]) -> list[str]:
    """Cut at the tokens that are separators and inside no bracket; unbalanced brackets: no cut."""
    pieces: list[list[str]] = [[]]
    depth = 0
    for token in tokens_of(text):
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
        elif depth == 0 and is_separator(token):
            pieces.append([])
            continue
        pieces[-1].append(token)
    if depth != 0:
        return [text]
    return [piece for piece in ("".join(tokens).strip(" $") for tokens in pieces) if piece]


def _expand_plus_minus(items: list[str]) -> tuple[str, ...]:
    """`2 \\pm x` is two answers: `2 + x` and `2 - x`."""
    expanded = []
    for item in items:
        if item.count("\\pm") == 1:
            minus = item.replace("\\pm", "-").strip()
            plus = item.replace("\\pm", "+").strip().removeprefix("+").strip()
            expanded += [plus, minus]
        else:
            expanded.append(item)
    return tuple(expanded)


@lru_cache(maxsize=4096)
def read_parts(clean: str) -> Parts | None:
    """The parts of an answer, or None if it is one piece (or has more than MAX_PARTS)."""
    if clean == "\\emptyset" or clean.replace(" ", "") == "\\{\\}":
        return Parts("set", ())
    if clean.startswith("\\begin"):
        return _read_environment(clean)
    if "\\cup" in clean or "U" in clean or "cup" in clean:
        union = split_outside(clean, _UNIONS.__contains__)
        if len(union) > 1 and "=" not in clean:
            return Parts("union", tuple(union)) if len(union) <= MAX_PARTS else None
    if ";" in clean and (groups := _groups(clean)):
        return Parts("list", groups)
    items = split_outside(_with_parted_or(clean), _SEPARATORS.__contains__)
    if len(items) > 1 or (clean.count("\\pm") == 1 and not clean.startswith(("(", "[", "\\{"))):
        items = _expand_plus_minus(items)
        return Parts("list", items) if len(items) <= MAX_PARTS else None
    return _read_enclosed(clean)


def _groups(clean: str) -> tuple[str, ...]:
    """`p=5,q=2;p=7,q=2` as two tuples; empty if it is no list of groups of the same length."""
    groups = split_outside(clean, ";".__eq__)
    sizes = {len(split_outside(group, ",".__eq__)) for group in groups}
    if len(groups) < 2 or len(groups) > MAX_PARTS or len(sizes) != 1 or sizes == {1}:
        return ()
    return tuple(f"({group})" for group in groups)


def _with_parted_or(clean: str) -> str:
    """`1orW(x)` to `1 or W(x)`."""
    if "or" not in clean:
        return clean
    return "".join(
        f" or {token[2:]}" if token.startswith("or") and len(token) == 3 and token[2].isupper() else token
        for token in tokens_of(clean)
    )


def _read_enclosed(clean: str) -> Parts | None:
    """What one pair of brackets encloses."""
    is_set = clean.startswith("\\{") and clean.endswith("\\}")
    body = clean[1:-2] + "}" if is_set else clean
    if len(body) < 3 or body[0] not in "([{" or _closing_at(body) != len(body) - 1:
        return None
    items = split_outside(body[1:-1].strip(), _SEPARATORS.__contains__)
    if len(items) > MAX_PARTS or not items:
        return None
    if is_set or body[0] == "{":
        return Parts("set", _expand_plus_minus(items))
    if len(items) == 1:
        return None
    return Parts("tuple", tuple(items), brackets=body[0] + body[-1])


def _read_environment(clean: str) -> Parts | None:
    """A matrix cell by cell, or the rows of `cases` as a list."""
    tokens = [token for token in tokens_of(clean) if token != "$"]
    opening, tokens = _environment_name(tokens, "\\begin")
    closing, rest = _environment_name(tokens[-4:], "\\end")
    if opening != closing or rest or "\\begin" in tokens:
        return None
    body = tokens[:-4]
    if opening == "array" and body[:1] == ["{"]:
        body = body[body.index("}") + 1 :] if "}" in body else []
    rows: list[list[str]] = [[""]]
    for token in body:
        if token == "\\\\":
            rows.append([""])
        elif token == "&" and opening != "cases":
            rows[-1].append("")
        elif token != "\\hline":
            rows[-1][-1] += " " if token == "&" else token
    cells = [[cell.strip() for cell in row] for row in rows if "".join(row).strip()]
    if opening == "cases" and 0 < len(cells) <= MAX_PARTS:
        return Parts("list", tuple(row[0] for row in cells))
    widths = {len(row) for row in cells}
    if opening not in _MATRICES or len(widths) != 1 or len(cells) * len(cells[0]) > MAX_PARTS:
        return None
    return Parts("matrix", tuple(cell for row in cells for cell in row), columns=widths.pop())


def _environment_name(tokens: list[str], command: str) -> tuple[str, list[str]]:
    """The name in `\\begin{name}` or `\\end{name}` at the start, and what follows."""
    tokens = [token for index, token in enumerate(tokens) if token != " " or index > 3]
    if len(tokens) < 4 or tokens[0] != command or tokens[1] != "{" or tokens[3] != "}":
        return "", tokens
    return tokens[2], tokens[4:]


def without_outer_parentheses(clean: str) -> str:
    """`(5)` and `((5))` to `5`, and the brackets of a bracketed array."""
    while (len(clean) > 2 and (clean[0] == "(" and clean[-1] == ")")) or (
        clean[:1] == "[" and clean[-1:] == "]" and clean[1:].lstrip().startswith("\\begin")
    ):
        if _closing_at(clean) != len(clean) - 1:
            break
        clean = clean[1:-1].strip()
    return clean
