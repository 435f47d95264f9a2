"""Multiple choice: the letter an answer names, and the options it may quote instead."""

import re2

from reward_fns.answer_text import clean_answer
from reward_fns.latex_tokens import is_word, tokens_of
from reward_fns.sentence import denies

LETTERS = "ABCDEFGHIJ"

_LETTER_GOLD = re2.compile(r"\(?([A-J])\)?\.?")
# The letter alone, or the letter and its option's text; `A or B` and `A) 5, B) 6` name none.
_ALONE = re2.compile(r"(?i)(?:the )?(?:option|choice|answer)? ?\(?([A-J])\)?[.:]?")
_WITH_TEXT = re2.compile(r"(?s)(?:the )?(?:option|choice)? ?\(?([A-J])(?:\)|\.|:| -) ?(.+)")
_LETTER_FIRST = re2.compile(r"(?s) ?\(?[A-J](?:[^A-Za-z0-9].*)?")
_SECOND_LETTER = re2.compile(
    r"(?:^|[^A-Za-z0-9])\(?[A-J](?:\)|\.(?:[^0-9]|$)|:)|(?:\bor|\band|[,;/&|]) ?\(?[A-J](?:[^A-Za-z0-9]|$)"
)
_OPTION_PREFIX = re2.compile(r"\s*\(?([A-J])\s*[).:]\s*")
# Before a letter without parentheses they say that it is an answer and no article.
_CHOOSING = frozenset(
    ["is", "choose", "pick", "select", "option", "choice", "answer", "be", "with", "s", "finalize", "letter"]
)


def gold_letter(ground_truth: str) -> str | None:
    """The letter, if the ground truth is one."""
    match = _LETTER_GOLD.fullmatch(ground_truth.strip())
    return match.group(1) if match else None


def named_letter(answer: str) -> str | None:
    """The one letter that an answer names, in upper case, or None."""
    clean = clean_answer(answer)
    if match := _ALONE.fullmatch(clean):
        return match.group(1).upper()
    match = _WITH_TEXT.fullmatch(clean)
    if match and not _LETTER_FIRST.fullmatch(match.group(2)) and not _SECOND_LETTER.search(match.group(2)):
        return match.group(1)
    return None


def letter_of_last_sentence(text: str) -> str | None:
    """The letter of a last line that is a letter, or the one that a last sentence chooses: `I think it's
    (D).`
    """
    lines = text[-600:].strip().splitlines()
    if not lines:
        return None
    line = lines[-1].strip(" *_")
    if len(line) <= 12 and (letter := named_letter(line)):
        before = [other for other in lines[:-1] if other.strip()][-1:]
        return None if before and denies(before[0]) and letter in words_in_capitals(before[0]) else letter
    sentences = [part for part in line.replace("!", ".").replace("?", "?.").split(".") if part.strip(" *_")]
    if not sentences or "?" in sentences[-1] or denies(sentences[-1]):
        return None
    tokens = [token for token in tokens_of(sentences[-1]) if token not in (" ", "*", "_", "$")]
    found = []
    for index, token in enumerate(tokens):
        if len(token) != 1 or token not in LETTERS:
            continue
        before, after = (
            tokens[index - 1] if index else "",
            tokens[index + 1] if index + 1 < len(tokens) else "",
        )
        if (
            (before == "(" and after == ")")
            or (before.lower() in _CHOOSING and (not after or not is_word(after)))
            or (
                after.lower() == "is" and tokens[index + 2 : index + 3] in (["correct"], ["right"], ["valid"])
            )
        ):
            found.append(token)
        elif token not in "AI":
            return None
    return found[0] if len(set(found)) == 1 else None


def options_of(extra_info: object) -> dict[str, str]:
    """Letter to text, from `extra_info["options"]`.

    A list in order, with or without prefixes such as `A)`, or a dict from letter to text. Empty if there is
    none.

    Raises:
        ValueError: `options` is something else.
    """
    options = extra_info.get("options") if isinstance(extra_info, dict) else None
    if options is None:
        return {}
    if hasattr(options, "tolist"):  # parquet lists arrive as arrays
        options = options.tolist()
    if isinstance(options, dict):
        return {str(letter).upper(): str(text) for letter, text in options.items() if text is not None}
    if not isinstance(options, list | tuple):
        raise ValueError(
            f"extra_info['options'] must be a list or a dict from letter to text, not {options!r:.80}"
        )
    return {
        letter: _without_prefix(letter, str(text)) for letter, text in zip(LETTERS, options, strict=False)
    }


def _without_prefix(letter: str, text: str) -> str:
    while (match := _OPTION_PREFIX.match(text)) and match.group(1) == letter:
        text = text[match.end() :]
    return text.strip()


def words_in_capitals(text: str) -> set[str]:
    """The single capital letters of a text."""
    return {token for token in tokens_of(text) if len(token) == 1 and token in LETTERS}
