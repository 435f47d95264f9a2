"""Which part of a response is its answer. One answer a response: the policy is in docs/rewards.md.

Everything up to the last `</think>` is thought, not answer, and an unclosed `<think>` hides what follows it.
Of the rest, the first of these that is there: the last `<answer>`, the last `\\boxed{}`, the last `####`, the
last "answer is", the last number. Where the model lists several things in that place, the whole list is its
answer.
"""

import re
from dataclasses import dataclass

from reward_fns.answer_text import clean_answer
from reward_fns.exact_number import read_number

# Where an answer is looked for: the end of what follows the thought.
MAX_TAIL_CHARS = 20_000
# A model that repeats itself for pages: the answer is near the end of these.
_MAX_PHRASE_CHARS = 400
_MAX_BOXES = 32
_MAX_BOX_CHARS = 4000

_HIDDEN_BLOCK = re.compile(r"<(analysis|confidence)>(?:(?!<\1>).)*?</\1>", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*")
_UNBRACED = re.compile(r"[0-9]+(?:\.[0-9]+)?|[A-Za-z]")
_BETWEEN = re.compile(r"[\s$,;.*]*(?:(?:or|and|\\text\s*\{\s*(?:or|and)\s*\})[\s$]*)?")
_HASHES = re.compile(r"####[ \t]*:?[ \t]*([^\n]*)")
_PHRASE = re.compile(
    r"(?:final[ \t]+|correct[ \t]+)?(?<![A-Za-z])(?:answer|option|choice)[*_]*"
    r"(?:[ \t]+(?:is|are)|[ \t]*[:=])(?:[ \t]+(?:option|choice))?[*_]*[ \t]*:?[ \t\n*]*",
    re.IGNORECASE,
)
_LINE_LABEL = re.compile(r"^[ \t*]*A[*]*:[ \t*]*(?=\S)", re.MULTILINE)
_OPTION_LABEL = re.compile(r"^[ \t*]*B[*]*:", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<!Rs)(?<!approx)[.!?](?=\s|$|\*)|\n|(?<=\$)[.!?]")
_MATH = re.compile(r"\$\$?([^$]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_LAST_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.\\])-?(?:\\?[$\u00a3\u20ac]\s?)?-?(?:[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})+(?![0-9])|[0-9]+)"
    r"(?:\.[0-9]+)?(?:/[0-9]+(?![0-9.]))?(?:\s?\\?%)?|(?<![0-9A-Za-z])-?\.[0-9]+"
)
# Two words before anything else: a sentence about the answer.
_STATEMENT = re.compile(r"(?:[A-Za-z']{2,}|I|A),? [A-Za-z']{2,}(?![A-Za-z])")
# A number's end in a sentence: nothing more, or words that are neither a variable nor a function.
_NUMBER_ENDS = re.compile(
    r"[ ,;:*]*$|[,;:*]*\s+\(?(?!(?:sqrt|pi|sin|cos|tan|log|ln|exp)(?![A-Za-z]))[A-Za-z]{2,}"
)
# `1 hour and 31 minutes`
_COMPOUND = re.compile(r"[0-9]+ [A-Za-z]+(?:,| and|, and)? [0-9]+ [A-Za-z]+")
_LIST_GAP = re.compile(r"\s*(?:,|;|/)?\s*(?:(?:or|and)\s*)?")


@dataclass(frozen=True)
class ExtractedAnswer:
    """The answer's text and where it stood: tag, boxed, hashes, phrase, number, letter, or none (empty)."""

    text: str
    source: str


NO_ANSWER = ExtractedAnswer("", "none")


def visible_part(response: str) -> str:
    """What the reader sees: the end of what follows the last `</think>`, without analysis and confidence."""
    response = (
        response[response.rfind("</think>") + len("</think>") :] if "</think>" in response else response
    )
    unclosed = response.find("<think>")
    if unclosed >= 0:
        response = response[:unclosed]
    response = response[-MAX_TAIL_CHARS:]
    if "<analysis>" in response or "<confidence>" in response:
        response = _HIDDEN_BLOCK.sub(" ", response)
    return response


def extract_answer(response: str, *, last_number: bool = True) -> ExtractedAnswer:
    """The one answer of a response. `last_number`: whether a bare number may count if nothing is marked."""
    text = visible_part(response)
    start = text.rfind("<answer>")
    if start >= 0:
        block, _, _ = text[start + len("<answer>") :].partition("</answer>")
        inner = _marked_answer(block)
        return ExtractedAnswer(inner.text if inner else _from_statement(block.strip()), "tag")
    if marked := _marked_answer(text):
        return marked
    if last_number and (number := _last_number(text)):
        return ExtractedAnswer(number, "number")
    return NO_ANSWER


def _marked_answer(text: str) -> ExtractedAnswer | None:
    if boxed := _last_boxed(text):
        return ExtractedAnswer(boxed, "boxed")
    if "####" in text:
        content = _HASHES.findall(text)[-1].strip()
        if content:
            return ExtractedAnswer(_from_statement(content), "hashes")
    if phrase := _last_phrase(text):
        return ExtractedAnswer(phrase, "phrase")
    return None


def _last_boxed(text: str) -> str | None:
    """The content of the last complete box; boxes with only commas or "and" between them are one list."""
    boxes = []
    for match in list(_BOX.finditer(text))[-_MAX_BOXES:]:
        if content := _braced(text, match.end()):
            boxes.append((match.start(), content[1], content[0]))
    if not boxes:
        return None
    run = [boxes[-1][2]]
    for (_, previous_end, content), (start, _, _) in zip(
        reversed(boxes[:-1]), reversed(boxes[1:]), strict=True
    ):
        gap = text[previous_end:start]
        if len(gap) > 40 or not _BETWEEN.fullmatch(gap) or "\n\n" in gap or not gap.strip(" \n$."):
            break
        run.append(content)
    return ", ".join(reversed(run))


def _braced(text: str, position: int) -> tuple[str, int] | None:
    """The balanced `{...}` at `position`, or the single token after `\\boxed `, with its end."""
    if text[position : position + 1] != "{":
        token = _UNBRACED.match(text, position)
        return (token.group(), token.end()) if token else None
    depth = 0
    for index in range(position, min(len(text), position + _MAX_BOX_CHARS)):
        char = text[index]
        if char == "{" and text[index - 1] != "\\":
            depth += 1
        elif char == "}" and text[index - 1] != "\\":
            depth -= 1
            if depth == 0:
                return text[position + 1 : index].strip(), index + 1
    return None


def _last_phrase(text: str) -> str | None:
    end = None
    for match in _PHRASE.finditer(text):
        end = match.end()
    if end is None:
        labels = list(_LINE_LABEL.finditer(text))
        if not labels or _OPTION_LABEL.search(text, labels[-1].end()):
            return None
        end = labels[-1].end()
    return _without_sentence(text[end : end + _MAX_PHRASE_CHARS]) or None


def _from_statement(text: str) -> str:
    """`She makes 18 dollars` to `18`; what is no statement of several words stays as it is."""
    return (_last_number(text) or text) if _STATEMENT.match(text) else text


def _without_sentence(text: str) -> str:
    """The answer at the start of the rest of a sentence: its mathematics, its numbers, or all of it."""
    math = _MATH.match(text.lstrip(" *"))
    stop = _SENTENCE_END.search(text, len(text) - len(text.lstrip(" *")) + math.end() if math else 0)
    sentence = text[: stop.start()] if stop else text
    pieces = list(_MATH.finditer(sentence))
    if pieces and not sentence[: pieces[0].start()].strip(" *(~"):
        run = [pieces[0]]
        for piece in pieces[1:]:
            if not _BETWEEN.fullmatch(sentence[run[-1].end() : piece.start()]):
                break
            run.append(piece)
        after = sentence[run[-1].end() :].strip(" *")
        content = ", ".join(next(filter(None, piece.groups())).strip() for piece in run)
        return content + after if after in ("%", "\\%") else content
    if _COMPOUND.fullmatch(sentence.strip(" *")) or read_number(clean_answer(sentence)):
        return sentence.strip(" *")
    numbers = list(_LAST_NUMBER.finditer(sentence))
    if numbers and not sentence[: numbers[0].start()].strip(" *"):
        run = _first_run(sentence, numbers)
        if _NUMBER_ENDS.match(sentence, run[-1].end()):
            return sentence[run[0].start() : run[-1].end()]
    return _from_statement(sentence.strip(" *_\t"))


def _first_run(text: str, numbers: list[re.Match]) -> list[re.Match]:
    run = [numbers[0]]
    for number in numbers[1:]:
        if not _LIST_GAP.fullmatch(text[run[-1].end() : number.start()]):
            break
        run.append(number)
    return run


def _last_number(text: str) -> str | None:
    """The last number; an enumeration of numbers that ends the text's numbers is one list."""
    numbers = list(_LAST_NUMBER.finditer(text, max(0, len(text) - 4000)))
    if not numbers:
        return None
    run = _first_run_backwards(text, numbers)
    return text[run[-1].start() : run[0].end()].strip()


def _first_run_backwards(text: str, numbers: list[re.Match]) -> list[re.Match]:
    run = [numbers[-1]]
    for number in reversed(numbers[:-1]):
        gap = text[number.end() : run[-1].start()]
        if "\n" in gap or not gap.strip() or not _LIST_GAP.fullmatch(gap):
            break
        run.append(number)
    return run
