"""Multiple choice: the letter an answer names, and the options it may quote instead."""

import re

from reward_fns.answer_text import clean_answer

LETTERS = "ABCDEFGHIJ"

_LETTER_GOLD = re.compile(r"\(?([A-J])\)?\.?")
# The letter alone, or the letter and its option's text; `A or B` and `A) 5, B) 6` name none.
_ALONE = re.compile(r"(?:the )?(?:option|choice|answer)? ?\(?([A-Ja-j])\)?[.:]?", re.IGNORECASE)
_WITH_TEXT = re.compile(
    r"(?:the )?(?:option|choice)? ?\(?([A-J])(?:\)|\.|:| -)(?! ?\(?[A-J](?![A-Za-z0-9])) ?(.+)", re.DOTALL
)
_SECOND_LETTER = re.compile(
    r"(?<![A-Za-z0-9])\(?[A-J](?:\)|\.(?![0-9])|:)|(?:\bor|\band|[,;/&|]) ?\(?[A-J](?![A-Za-z0-9])"
)
_OPTION_PREFIX = re.compile(r"\s*\(?([A-J])\s*[).:]\s*")


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
    if match and not _SECOND_LETTER.search(match.group(2)):
        return match.group(1)
    return None


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
