"""Answers with parts: lists, tuples, intervals, sets, unions and matrices, split at their outer commas.

The parts are compared one by one, so that numbers inside never reach the symbolic engine, a list of another
length is wrong at once, and `(1, 2]` is not `[1, 2)`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_PARTS = 64

_OPENING = {"(": ")", "[": "]", "{": "}"}
_SEPARATOR = re.compile(
    r",|;|(?<![A-Za-z\\])(?:,? ?(?:or|and))(?![A-Za-z])|\\(?:lor|land|vee|wedge)(?![A-Za-z])"
)
_UNION = re.compile(r"\\cup(?![A-Za-z])|(?<![A-Za-z\\])(?:cup|U)(?![A-Za-z])")
_MATRIX = re.compile(
    r"\\begin ?\{(?P<kind>[pb]matrix|array|matrix)\}(?:\{[lcr| ]*\})?(?P<body>.*)\\end ?\{(?P=kind)\}",
    re.DOTALL,
)
_EMPTY_SET = re.compile(r"\\(?:emptyset|varnothing|phi)|\\\{ ?\\\}")


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


def split_outside(text: str, separator: re.Pattern) -> list[str]:
    """Cut at the separators that are inside no bracket; unbalanced brackets: no cut."""
    cuts, depth = [], 0
    matches = {match.start(): match.end() for match in separator.finditer(text)}
    if not matches:
        return [text]
    for index, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and index in matches:
            cuts.append((index, matches[index]))
    if depth != 0:
        return [text]
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    pieces = [text[start:end].strip(" $") for start, end in zip(starts, ends, strict=True)]
    return [piece for piece in pieces if piece]


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
    if _EMPTY_SET.fullmatch(clean):
        return Parts("set", ())
    if matrix := _MATRIX.fullmatch(clean):
        rows = [row for row in re.split(r"\\\\(?: ?\[[^\]]*\])?", matrix["body"]) if row.strip()]
        cells = [[cell.strip() for cell in row.replace("\\hline", "").split("&")] for row in rows]
        widths = {len(row) for row in cells}
        if len(widths) == 1 and len(cells) * len(cells[0]) <= MAX_PARTS:
            return Parts("matrix", tuple(cell for row in cells for cell in row), columns=widths.pop())
        return None
    union = split_outside(clean, _UNION)
    if len(union) > 1 and "=" not in clean:
        return Parts("union", tuple(union)) if len(union) <= MAX_PARTS else None
    items = split_outside(clean, _SEPARATOR)
    if len(items) > 1 or (clean.count("\\pm") == 1 and not clean.startswith(("(", "[", "\\{"))):
        items = _expand_plus_minus(items)
        return Parts("list", items) if len(items) <= MAX_PARTS else None
    return _read_enclosed(clean)


def _read_enclosed(clean: str) -> Parts | None:
    """What one pair of brackets encloses."""
    is_set = clean.startswith("\\{") and clean.endswith("\\}")
    body = clean[1:-2] + "}" if is_set else clean
    if len(body) < 3 or body[0] not in _OPENING or _closing_at(body) != len(body) - 1:
        return None
    items = split_outside(body[1:-1].strip(), _SEPARATOR)
    if len(items) > MAX_PARTS or not items:
        return None
    if is_set or body[0] == "{":
        return Parts("set", _expand_plus_minus(items))
    if len(items) == 1:
        return None
    return Parts("tuple", tuple(items), brackets=body[0] + body[-1])


def without_outer_parentheses(clean: str) -> str:
    """`(5)` and `((5))` to `5`."""
    while clean[:1] == "(" and clean[-1:] == ")" and len(clean) > 2 and _closing_at(clean) == len(clean) - 1:
        clean = clean[1:-1].strip()
    return clean
