"""Which part of a response is its answer. One answer a response: the policy is in docs/rewards.md.

Everything up to the last `</think>` is thought, not answer, and an unclosed `<think>` hides what follows it.
Of the rest, the first of these that is there: the last `<answer>`, the last `\\boxed{}`, the last `####`, the
last "answer is", the last formula or number. Where the model lists several things in that place, the whole
list is its answer; where it denies the answer, there is none.
"""

from dataclasses import dataclass

from reward_fns.answer_phrase import gives_reason, last_phrase, start_of_sentence
from reward_fns.boxes import last_boxed
from reward_fns.last_formula import last_formula

# Where an answer is looked for: the end of what follows the thought.
MAX_TAIL_CHARS = 20_000


@dataclass(frozen=True)
class ExtractedAnswer:
    """The answer's text and where it stood: tag, boxed, hashes, phrase, number, letter, or none (empty)."""

    text: str
    source: str


NO_ANSWER = ExtractedAnswer("", "none")


def visible_part(response: str) -> str:
    """What the reader sees: the end of what follows the last `</think>`, without analysis and confidence."""
    thought = response.rfind("</think>")
    response = response[thought + len("</think>") :] if thought >= 0 else response
    unclosed = response.find("<think>")
    if unclosed >= 0:
        response = response[:unclosed]
    response = response[-MAX_TAIL_CHARS:]
    if not response.isascii():
        response = response.encode("utf-8", "replace").decode()
    for tag in ("analysis", "confidence"):
        if f"</{tag}>" in response:
            response = _without_blocks(response, tag)
        unclosed = response.find(f"<{tag}>")
        if unclosed >= 0:
            response = response[:unclosed]
    return response


def _without_blocks(text: str, tag: str) -> str:
    """The text with a space for each block of the tag, from its last opening mark to its closing one."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    kept, position = [], 0
    while (end := text.find(closing, position)) >= 0:
        start = text.rfind(opening, position, end)
        kept.append(text[position:start] + " " if start >= 0 else text[position : end + len(closing)])
        position = end + len(closing)
    return "".join(kept) + text[position:]


def extract_answer(response: str, *, last_number: bool = True) -> ExtractedAnswer:
    """The one answer of a response. `last_number`: whether a bare number may count if nothing is marked."""
    text = visible_part(response)
    start = text.rfind("<answer>")
    if start >= 0:
        block, _, _ = text[start + len("<answer>") :].partition("</answer>")
        inner = _marked_answer(block)
        found = ExtractedAnswer(inner.text if inner else from_statement(block.strip()), "tag")
        return found if found.text else NO_ANSWER
    if marked := _marked_answer(text):
        return marked if marked.text else NO_ANSWER
    if last_number and (formula := last_formula(text)):
        return ExtractedAnswer(formula, "number")
    return NO_ANSWER


def _marked_answer(text: str) -> ExtractedAnswer | None:
    """The marked answer; its text is empty if it is denied where it stands. None if nothing is marked."""
    boxed = last_boxed(text)
    if boxed is not None:
        return ExtractedAnswer(boxed, "boxed")
    for line in reversed(text.split("####")[1:]):
        content = line.partition("\n")[0].lstrip(" \t:#").strip()
        if content:
            return ExtractedAnswer(from_statement(content), "hashes")
    phrase = last_phrase(text)
    if phrase is not None:
        return ExtractedAnswer(from_statement(phrase) if phrase else "", "phrase")
    return None


def from_statement(text: str) -> str:
    """`She makes 18 dollars` to its last number, if nothing denies it; what is no statement stays as it is.

    A statement begins with two words, and has a number.
    """
    head = text.lstrip(" *_(\"'")
    first = head.split(" ", 2)[:2]
    words = [word.strip(".,'") for word in first]
    is_statement = len(words) == 2 and all(
        word.isalpha() and (len(word) > 1 or word in "IA") for word in words
    )
    if not is_statement or not any(char.isdigit() for char in text):
        return (start_of_sentence(text) or "") if gives_reason(text) else text
    return last_formula(text) or ""
