"""What follows the last "the answer is" of a text, to the end of its sentence."""

import re2

from reward_fns.answer_text import clean_answer
from reward_fns.exact_number import read_number
from reward_fns.formula_pieces import LINE_END, Piece, one_line, pieces_of
from reward_fns.sentence import (
    bounds_what_follows,
    changes_number,
    denies,
    is_condition,
    is_taken_back,
    words_of,
)

# A model that repeats itself for pages: the answer is near the end of these.
_MAX_PHRASE_CHARS = 400
_MAX_SENTENCE_CHARS = 300
_PHRASE = re2.compile(
    r"(?i)(?:^|[^a-z])(?:answer|option|choice)[*_]*"
    r"(?:[ \t]+(?:is|are)|[ \t]*[:=])(?:[ \t]+(?:option|choice))?[*_]*[ \t]*:?[ \t\n*]*"
)
_LINE_LABEL = re2.compile(r"(?m)^[ \t*]*A[*]*:[ \t*]*")
_OPTION_LABEL = re2.compile(r"(?m)^[ \t*]*B[*]*:")
# What may follow an answer and say why, or what it is not.
_CLAUSE = re2.compile(
    r",? \(?(?:because|since|as|which|where) |,? \((?:[a-z]|not )|, (?:and )?not [0-9$\\]|, rather than "
)
# In a remark they offer another answer: `B (but C also works)`.
_OTHER_ANSWERS = frozenset(["or", "but", "otherwise", "also", "else"])
_KEYS = ("answer", "option", "choice")
_LIGHT = " *_~\t"


def last_phrase(text: str) -> str | None:
    """The answer behind the last phrase, "" if its sentence denies it or asks; None if there is no phrase."""
    lower = text.lower()
    match = None
    if any(key in lower for key in _KEYS):
        match = next(iter(list(_PHRASE.finditer(text))[-1:]), None)
    if match:
        start, end = match.start(), match.end()
        begin = max(text.rfind(sign, 0, start + 1) for sign in (". ", "! ", "? ", "\n"))
        before = text[max(begin, start - _MAX_SENTENCE_CHARS, 0) : start]
        clause = before[max(map(before.rfind, ",;:")) + 1 :]
        if denies(clause) or is_condition(before) or text[end : end + 1] == "?":
            return ""
    elif "A" in text and (labels := list(_LINE_LABEL.finditer(text))):
        end = labels[-1].end()
        if _OPTION_LABEL.search(text[end:]) or text[end : end + 1].isspace():
            return None
    else:
        return None
    return start_of_sentence(text[end : end + _MAX_PHRASE_CHARS])


def sentence_of_phrase(text: str) -> str:
    """All of the line behind the last phrase, as an answer quotes an option; "" if there is no phrase."""
    ends = [match.end() for match in _PHRASE.finditer(text[-2 * _MAX_PHRASE_CHARS :])]
    return text[-2 * _MAX_PHRASE_CHARS :][ends[-1] :].partition("\n")[0].strip(_LIGHT) if ends else ""


def start_of_sentence(text: str) -> str | None:
    """The answer at the start of the rest of a sentence: its formulas, its number with its unit, or all of
    it.
    """
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
    paragraph = line[stop.end :].partition(LINE_END + LINE_END)[0] if stop else ""
    if is_taken_back(paragraph.lstrip(_LIGHT + LINE_END)):
        return ""
    reason = sentence[len(_CLAUSE.split(sentence, maxsplit=1)[0]) :].lstrip(" ,")
    if reason.startswith("(") and not _OTHER_ANSWERS.isdisjoint(words_of(reason)):
        return ""
    if not any(piece.kind in ("number", "formula") for piece in pieces):
        return _CLAUSE.split(sentence, maxsplit=1)[0]
    if denies(_CLAUSE.split(sentence, maxsplit=1)[0]):
        return ""
    run: list[Piece] = []
    for piece in pieces:
        if piece.kind == "end" or (
            piece.kind in ("word", "mark") and not (run and piece.text in ("or", "and"))
        ):
            if piece.kind == "mark" and not run:
                continue
            break
        if run and piece.start > run[-1].end and _opens_words(pieces, piece):
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
    after = _CLAUSE.split(line[run[-1].end : stop.start if stop else len(line)], maxsplit=1)[0]
    if changes_number(after) or _adds_quantity(after) or is_taken_back(after):
        return sentence
    content = line[run[0].start : run[-1].end].rstrip(_LIGHT)
    words = after.lstrip(" *")
    for count in (4, 3, 2, 1):
        unit = " ".join(words.split(" ")[:count]).rstrip(".,;:*)" + LINE_END)
        number = read_number(clean_answer(f"{content} {unit}")) if unit[:1].isalpha() else None
        if number and (number.unit or number.percent):
            return f"{content} {unit}"
    return content


def _opens_words(pieces: list[Piece], bracket: Piece) -> bool:
    """Whether a bracket holds a remark: `5 (five)`."""
    following = pieces[pieces.index(bracket) + 1 :][:1]
    return bracket.text == "(" and bool(following) and following[0].kind == "word"


def _adds_quantity(after: str) -> bool:
    """Whether another number follows near: `3 boys and 5 girls`, `3 to 5`, `3 for every 5`, `3 weeks 2
    days`.
    """
    pieces = pieces_of(after)[:5]
    if (
        pieces
        and pieces[0].kind == "word"
        and pieces[0].text.lower() in ("because", "since", "as", "so", "which")
    ):
        return False
    return any(piece.kind in ("number", "formula") for piece in pieces)


def _words_before_number(pieces: list[Piece], line: str) -> str:
    """What stands before the first number or formula."""
    first = next((piece for piece in pieces if piece.kind in ("number", "formula", "end")), None)
    return line[: first.start] if first else ""


def gives_reason(text: str) -> bool:
    """Whether an answer in a tag or line is followed by its reason: `7, since 6 is not prime`."""
    return any(word in text for word in (" because ", " since "))
