"""What follows the last "the answer is" of a text, to the end of its sentence."""

import re2

from reward_fns.answer_text import clean_answer
from reward_fns.exact_number import read_number
from reward_fns.formula_pieces import LINE_END, Piece, one_line, pieces_of
from reward_fns.sentence import bounds_what_follows, changes_number, denies, is_condition, is_taken_back

# A model that repeats itself for pages: the answer is near the end of these.
_MAX_PHRASE_CHARS = 400
_MAX_SENTENCE_CHARS = 300
_PHRASE = re2.compile(
    r"(?i)(?:^|[^a-z])(?:answer|option|choice)[*_]*"
    r"(?:[ \t]+(?:is|are)|[ \t]*[:=])(?:[ \t]+(?:option|choice))?[*_]*[ \t]*:?[ \t\n*]*"
)
_LINE_LABEL = re2.compile(r"(?m)^[ \t*]*A[*]*:[ \t*]*")
_OPTION_LABEL = re2.compile(r"(?m)^[ \t*]*B[*]*:")
_CLAUSE = re2.compile(r" (?:because|since|as) ")
_KEYS = ("answer", "option", "choice")
_LIGHT = " *_~\t"


def last_phrase(text: str) -> str | None:
    """The answer behind the last phrase, "" if its sentence denies it or asks; None if there is no phrase."""
    lower = text.lower()
    match = None
    if any(key in lower for key in _KEYS):
        for match in _PHRASE.finditer(text):
            pass
    if match:
        start, end = match.start(), match.end()
        begin = max(text.rfind(sign, 0, start) for sign in (". ", "! ", "? ", "\n"))
        before = text[max(begin, start - _MAX_SENTENCE_CHARS, 0) : start]
        if denies(before) or is_condition(before) or text[end : end + 1] == "?":
            return ""
    elif "A" in text and (labels := list(_LINE_LABEL.finditer(text))):
        end = labels[-1].end()
        if _OPTION_LABEL.search(text[end:]) or text[end : end + 1].isspace():
            return None
    else:
        return None
    return _start_of_sentence(text[end : end + _MAX_PHRASE_CHARS])


def _start_of_sentence(text: str) -> str | None:
    """The answer at the start of the rest of a sentence: its formulas, its number with its unit, or all of it."""
    line = one_line(text.lstrip(_LIGHT + "\n"))
    pieces = pieces_of(line)
    stop = next((piece for piece in pieces if piece.kind == "end"), None)
    sentence = line[: stop.start] if stop else line
    if stop and stop.text == "?":
        return ""
    sentence = sentence.strip(_LIGHT)
    if not sentence:
        return None
    if bounds_what_follows(_words_before_number(pieces, line)):
        return ""
    if stop and is_taken_back(line[stop.end :].lstrip(_LIGHT + LINE_END)):
        return ""
    if not any(piece.kind in ("number", "formula") for piece in pieces):
        return sentence
    if denies(_CLAUSE.split(sentence, maxsplit=1)[0]):
        return ""
    run = []
    for piece in pieces:
        if piece.kind == "end" or (
            piece.kind in ("word", "mark") and not (run and piece.text in ("or", "and"))
        ):
            if piece.kind == "mark" and not run:
                continue
            break
        if (
            piece.kind == "letter"
            and run
            and run[-1].kind in ("number", "formula")
            and piece.start > run[-1].end
        ):
            break
        run.append(piece)
    while run and run[-1].text in ("or", "and", ",", ":", "-", "&"):
        run.pop()
    if (
        not run
        or read_number(clean_answer(sentence))
        or not any(piece.kind in ("number", "formula") for piece in run)
    ):
        return sentence
    after = line[run[-1].end : stop.start if stop else len(line)]
    if changes_number(after) or _adds_quantity(after) or is_taken_back(_CLAUSE.split(after, maxsplit=1)[0]):
        return sentence
    content = line[run[0].start : run[-1].end].rstrip(_LIGHT)
    words = after.lstrip(" *")
    for count in (4, 3, 2, 1):
        unit = " ".join(words.split(" ")[:count]).rstrip(".,;:*)" + LINE_END)
        number = read_number(clean_answer(f"{content} {unit}")) if unit[:1].isalpha() else None
        if number and (number.unit or number.percent):
            return f"{content} {unit}"
    return content


def _adds_quantity(after: str) -> bool:
    """Whether another number follows behind `and`, `or` or a comma: `3 boys and 5 girls`."""
    pieces = pieces_of(after)[:5]
    for index, piece in enumerate(pieces[:-1]):
        joins = piece.kind == "comma" or piece.text.lower() in ("and", "or", "plus", "minus")
        if joins and pieces[index + 1].kind in ("number", "formula", "currency"):
            return True
        if piece.kind == "word" and piece.text.lower() in ("because", "since", "as"):
            return False
    return False


def _words_before_number(pieces: list[Piece], line: str) -> str:
    """What stands before the first number or formula."""
    first = next((piece for piece in pieces if piece.kind in ("number", "formula", "end")), None)
    return line[: first.start] if first else ""
