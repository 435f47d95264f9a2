"""Gold answers from where authors put them: a field, a `####` line, the last box of a solution.

Pure functions from text to text. A `ValueError` says what was expected; the caller adds the file and row.
"""

from __future__ import annotations

import math
import re
from typing import Any

# MATH writes \boxed{..}, now and then \fbox{..}, and \boxed 2 without braces.
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_INTEGER = re.compile(r"(-?)0*(\d+)(?:\^\{?\\circ\}?)?")
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?")


def number_text(value: Any) -> str:
    """A JSON number or string as text; integers stored as floats lose the `.0` (amc23 has 27.0)."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    raise ValueError(f"the answer is {value!r}, expected a number or text")


def integer_text(value: Any) -> str:
    """An integer without leading zeros or a degree sign: AIME prints 025 for 25."""
    text = number_text(value).strip("$ ")
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(f"the answer is {text!r}, expected an integer")
    return match[1] + match[2]


def hash_line_answer(solution: str) -> str:
    """The number after the last `####` of a GSM8K solution, thousands separators removed."""
    _, mark, tail = solution.rpartition("####")
    text = tail.strip().replace(",", "")
    if not mark or not _DECIMAL.fullmatch(text):
        found = f"{tail.strip()!r} after it" if mark else "no such line"
        raise ValueError(f"expected a last line '#### number' in the answer, found {found}")
    return text


def last_box(solution: str) -> str | None:
    r"""Content of the last \boxed or \fbox, braces balanced; None if there is none or it never closes.

    The last box is the convention of the authors' own evaluation (hendrycks/math). An empty box gives "".
    """
    boxes = list(_BOX.finditer(solution))
    if not boxes:
        return None
    start = boxes[-1].end()
    if not solution.startswith("{", start):
        return re.split(r"[\s$.,]", solution[start:], maxsplit=1)[0]
    depth, position = 0, start
    while position < len(solution):
        character = solution[position]
        if character == "\\":  # an escaped brace is content
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return solution[start + 1 : position].strip()
        position += 1
    return None
