"""One spelling for the many ways to write the same answer: Unicode, LaTeX layout, delimiters, punctuation.

Only what cannot change the meaning is removed. A space between two digits stays (`1 2` is not 12), an
exclamation mark is a factorial, and superscript digits become exponents (a superscript 2 behind a 5 is not
52). Digits of other alphabets stay what they are, so they are no numbers here.
"""

from functools import lru_cache

from reward_fns.latex_spelling import escaped_once, one_spelling
from reward_fns.latex_tokens import is_command, is_digits, is_word, tokens_of
from reward_fns.unicode_math import unicode_to_latex

# Longer answers are compared as they stand and read no further.
MAX_ANSWER_CHARS = 2000

_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_TRAILING = " \n,;:"
_PLAIN = frozenset("0123456789.,-+/ ")


def _strip_delimiters(text: str) -> str:
    """Remove what encloses the whole answer: dollars, bold, quotes, one final full stop."""
    while True:
        stripped = text.strip(" \n").rstrip(_TRAILING)
        if stripped.endswith(".") and not stripped.endswith(".."):
            stripped = stripped[:-1].rstrip(_TRAILING)
        if stripped.endswith("\\") and not stripped.endswith("\\\\"):
            stripped = stripped[:-1]
        for opening, closing in _DELIMITERS:
            inner = stripped[len(opening) : len(stripped) - len(closing)]
            if (
                len(stripped) > len(opening) + len(closing)
                and stripped.startswith(opening)
                and stripped.endswith(closing)
                and opening not in inner
                and not (closing == "$" and inner.endswith("\\"))
            ):
                stripped = inner
                break
        if stripped == text:
            return text
        text = stripped


@lru_cache(maxsize=4096)
def clean_answer(text: str) -> str:
    """The answer in one spelling, still readable as LaTeX. Longer than MAX_ANSWER_CHARS: only stripped."""
    if len(text) > MAX_ANSWER_CHARS:
        return text.strip()
    if _PLAIN.issuperset(text):
        return " ".join(_strip_delimiters(text).split())
    text = _strip_delimiters(unicode_to_latex(text))
    if any(mark in text for mark in ("\\", "~", "{", "np.", "*", "^")):
        text = text.replace("np.", "").replace("**", "^")
        if "\\\\" in text:
            text = escaped_once(text)
        text = _strip_delimiters("".join(one_spelling(tokens_of(text))))
    return " ".join(text.split())


@lru_cache(maxsize=4096)
def canonical_text(clean: str) -> str:
    """A key for equality of the text alone: no needless braces, spaces, dollars. Not meant for reading."""
    if clean.isalnum():
        return clean
    tokens = [token for token in tokens_of(clean) if token != "$"]
    out: list[str] = []
    for index, token in enumerate(tokens):
        previous = out[-1] if out else ""
        if token == " ":
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            if _space_matters(previous, following):
                out.append(" ")
        elif (
            token == "}" and len(out) >= 3 and out[-2] == "{" and out[-3] in ("^", "_") and _is_one(previous)
        ):
            del out[-2]
        else:
            out.append(token)
    return "".join(out)


def _is_one(token: str) -> bool:
    return len(token) == 1 and (is_digits(token) or is_word(token))


def _space_matters(previous: str, following: str) -> bool:
    """Whether the two would read otherwise without the space: digits, words, or a command and a letter."""
    if not previous or not following or previous == " ":
        return False
    if is_digits(following):
        return is_digits(previous) or is_word(previous)
    if not is_word(following):
        return False
    single = is_word(previous) and len(previous) == 1 and len(following) == 1
    return (is_word(previous) and not single) or is_command(previous)


@lru_cache(maxsize=4096)
def plain_words(clean: str) -> str | None:
    """The answer in lower case if it is words (`no solution`, `Tuesday`), None if it may be mathematics.

    Up to three letters without a space may be a product (`ab`, `RC`), so they are no words, except yes and
    no.
    """
    if not clean[:1].isalpha() or not all(
        char.isascii() and (char.isalpha() or char in "' .-") for char in clean
    ):
        return None
    folded = clean.lower().rstrip(".")
    for article in ("the ", "a ", "an "):
        if folded.startswith(article):
            folded = folded[len(article) :]
            break
    longest = max(map(len, folded.replace("'", " ").replace(".", " ").replace("-", " ").split() or [""]))
    return folded if longest > 3 or folded in ("yes", "no") else None
