"""The last formula or number of a text: all of it, with what belongs to it, or none if its sentence denies
it.
"""

from reward_fns.answer_text import clean_answer
from reward_fns.exact_number import read_number
from reward_fns.formula_pieces import LINE_END, Piece, one_line, pieces_of
from reward_fns.latex_tokens import is_command, is_digits, is_word, tokens_of
from reward_fns.sentence import (
    bounds_what_follows,
    changes_number,
    denies,
    is_taken_back,
    offers_alternatives,
)

# Where a formula is looked for: the end of the text.
MAX_CHARS = 2000
_RELATIONS = frozenset("=<>\u2264\u2265\u2260")
_LIGHT_SIGNS = "*_`\"' \t"


def last_formula(text: str) -> str | None:
    """The whole last formula or number, with a unit or scale behind it; None if there is none, or if it is
    denied.

    Formulas without a digit and without a relation (`$x$`) are names in a sentence and no answer.
    """
    joined = one_line(_without_annotations(text[-MAX_CHARS:]))
    pieces = pieces_of(joined)
    numbers = range(len(pieces) - 1, -1, -1)
    last = next((k for k in numbers if _counts(pieces[k]) and not _is_unit_power(pieces, k)), None)
    if last is None:
        return None
    first, last = _run(pieces, last)
    start, end = pieces[first].start, pieces[last].end
    before, after = _sentence(pieces, joined, first, last)
    # A result such as `24 - 17 = 7` stands for itself in a sentence that tells who did not play.
    calculated = "=" in joined[start:end]
    if denies(before, weak=not calculated) or denies(after, weak=not calculated, at_start=True):
        return None
    changing = not calculated and not joined[start:end].rstrip("$*").endswith("%")
    if bounds_what_follows(before, changing=changing) or (not calculated and offers_alternatives(before)):
        return None
    tail = joined[end:]
    if "?" in after[-1:] or denies(tail[len(after) :][:400]) or is_taken_back(tail):
        return None
    run = _without_fringe(joined[start:end])
    with_unit = _with_unit(run, after, calculated=calculated)
    if with_unit is None:
        return None
    quantity = None if calculated or pieces[first].kind == "operator" else _earlier_quantity(pieces, first)
    if quantity is not None:
        return joined[quantity:start] + with_unit
    return with_unit


def _without_annotations(text: str) -> str:
    """The text without a calculator's `<<9*2=18>>`, as GSM8K's solutions have them."""
    if "<<" not in text:
        return text
    first, *rest = text.split("<<")
    return first + "".join(part.partition(">>")[2] if ">>" in part else "<<" + part for part in rest)


def _counts(piece: Piece) -> bool:
    if piece.kind == "number":
        return True
    return piece.kind == "formula" and (
        any(char.isdigit() or char in _RELATIONS for char in piece.text)
        or any(sign in piece.text for sign in ("\\le", "\\ge", "\\ne", "\\infty", "\\pi", "^", "+", "\\in "))
    )


def _is_unit_power(pieces: list[Piece], index: int) -> bool:
    """Whether the number is the exponent of a unit: `60 cm^2`."""
    before = [piece for piece in pieces[max(index - 3, 0) : index] if piece.text != "{"][-2:]
    return (
        len(before) == 2
        and before[1].text == "^"
        and before[0].kind == "word"
        and (before[0].end == before[1].start)
    )


def _run(pieces: list[Piece], index: int) -> tuple[int, int]:
    """The first and last piece of the mathematics around a piece: operators, brackets, letters, lists."""
    first = last = index
    inside = ("number", "formula", "operator", "bracket", "currency", "letter")
    while last + 1 < len(pieces):
        following = pieces[last + 1]
        if (
            following.kind == "letter"
            and following.start > pieces[last].end
            and pieces[last].kind != "operator"
        ):
            break
        if following.kind not in inside:
            break
        last += 1
    while first > 0:
        before = pieces[first - 1]
        if before.kind in inside:
            first -= 1
        elif (
            before.kind == "comma"
            and first > 1
            and pieces[first - 2].kind in ("number", "formula", "bracket")
        ):
            first -= 2
        elif (
            before.kind == "word"
            and before.text in ("or", "and")
            and first > 1
            and pieces[first - 2 - (pieces[first - 2].kind == "comma")].kind
            in ("number", "formula", "bracket")
        ):
            first -= 1 if pieces[first - 2].kind == "comma" else 2
        else:
            break
    while first < index and pieces[first].kind in ("comma", "end"):
        first += 1
    return first, last


def _sentence(pieces: list[Piece], text: str, first: int, last: int) -> tuple[str, str]:
    """What stands before and behind a run in its sentence; the end sign is the last of what is behind."""
    begin = next((piece.end for piece in reversed(pieces[:first]) if piece.kind == "end"), 0)
    end = next((piece.end for piece in pieces[last + 1 :] if piece.kind == "end"), len(text))
    return text[begin : pieces[first].start], text[pieces[last].end : end]


def _without_fringe(run: str) -> str:
    """The run without dashes, equals signs and brackets that do not belong to it."""
    run = run.strip(_LIGHT_SIGNS + ",")
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$")):
        inner = run[len(opening) : -len(closing)]
        if run.startswith(opening) and run.endswith(closing) and inner and opening not in inner:
            run = inner.strip()
    while run[:1] in ("=", ":", "~", "&") or run.startswith("- "):
        run = run[1:].lstrip(_LIGHT_SIGNS)
    while run.endswith((" -", ":", " =", "&")):
        run = run[:-1].rstrip(_LIGHT_SIGNS)
    opened, closed = sum(map(run.count, "([")), sum(map(run.count, ")]"))
    if closed > opened and run.endswith((")", "]")):
        run = run[:-1]
    if opened > closed and run.startswith(("(", "[")):
        run = run[1:]
    return _value_of_calculation(run.strip())


def _value_of_calculation(run: str) -> str:
    """`9 * 2 = $18` to `$18`: a calculation with numbers alone; `x` between two numbers is times."""
    if run.count("=") == 0 or any(sign in run for sign in ("$ ", "<", ">", "\\le", "\\ge", "\\ne")):
        return run
    left, _, value = run.rpartition("=")
    if left[:1] in ("/", "*", "+"):
        return value.strip() or run  # the start of the calculation has units
    tokens = [token for token in tokens_of(left) if token != " "]
    for index, token in enumerate(tokens):
        if is_word(token):
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            times = token in ("x", "X") and index and following[:1] in frozenset("0123456789($.")
            if not times and not (index and is_digits(tokens[index - 1]) and len(token) > 1):
                return run
        elif is_command(token) and token not in ("\\times", "\\cdot", "\\div", "\\frac"):
            return run
    return value.strip() or run


def _with_unit(run: str, after: str, *, calculated: bool) -> str | None:
    """The run with the unit, percent or scale behind it; None if the words there change the number."""
    words = after.lstrip(_LIGHT_SIGNS.replace("'", "")).split(" ")
    for count in (4, 3, 2, 1):
        unit = " ".join(words[:count]).rstrip(".!,;:)*" + LINE_END)
        if (
            len(words) >= count
            and unit[:1].isalpha()
            and (number := read_number(clean_answer(f"{run} {unit}")))
        ) and (
            number.unit
            or number.percent
            or unit.split()[0].lower().endswith(("illion", "thousand", "hundred"))
        ):
            return f"{run} {unit}"
    return None if changes_number(after, conditions=not calculated) else run


def _earlier_quantity(pieces: list[Piece], first: int) -> int | None:
    """Where an earlier quantity begins to which the last one is added: `5 feet 3 inches`."""
    index, words = first - 1, 0
    while index >= 0 and pieces[index].kind == "word" and words < 4:
        index -= 1
        words += 1
    if index < 0 or not words or pieces[index].kind != "number":
        return None
    if index and pieces[index - 1].kind in ("operator", "letter"):
        return None
    joined = pieces[first - 1].text in ("and", "or")
    unit = words == 1 and read_number(f"1 {pieces[first - 1].text}") is not None
    return pieces[index].start if joined or unit else None
