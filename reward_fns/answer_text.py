"""One spelling for the many ways to write the same answer: Unicode, LaTeX layout, delimiters, punctuation.

Only what cannot change the meaning is removed. A space between two digits stays (`1 2` is not 12), and
superscript digits become exponents (a superscript 2 behind a 5 is not 52). Digits of other alphabets stay
what they are, so they are no numbers here.
"""

import re
from functools import lru_cache

from reward_fns.unicode_math import unicode_to_latex

# Longer answers are compared as they stand and read no further.
MAX_ANSWER_CHARS = 2000

# LaTeX that only moves things about.
_LAYOUT = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|mathstrut|strut|hspace\*?\{[^{}]*\}"
    r"|phantom\{[^{}]*\})(?![A-Za-z])\.?"
)
_SPACING = re.compile(r"(?<!\\)\\[,;:! ]|\\(?:quad|qquad|enspace|thinspace|space)(?![A-Za-z])|~|(?<!\\)\\\n")
_SYNONYMS = [
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:geq|geqslant|geqq)(?![A-Za-z])"), r"\\ge"),
    (re.compile(r"\\(?:leq|leqslant|leqq)(?![A-Za-z])"), r"\\le"),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\(?:lbrace|rbrace)(?![A-Za-z])"), lambda m: "\\{" if m.group() == "\\lbrace" else "\\}"),
    (re.compile(r"\\(?:ast|star)(?![A-Za-z])"), "*"),
    (re.compile(r"\\(?:boldsymbol|bm|mathbf|mathit|mathcal)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])"), r"^{\\circ}"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([%$#&])"), r"\1"),
    # Two arguments without braces: \frac12, \frac1{2}, \frac{1}2; one: \sqrt3, \sqrt x.
    (re.compile(r"\\frac\s*([0-9])\s*([0-9])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*([0-9])\s*(\{)"), r"\\frac{\1}\2"),
    (re.compile(r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])"), r"\1{\2}"),
    (re.compile(r"\\sqrt\s*([0-9]+|[A-Za-z])(?![A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    # NumPy's names, as some gold answers have them.
    (re.compile(r"\bnp\.(?=[a-z])"), ""),
]
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textrm|textbf|textit|mathrm|mbox|operatorname|rm)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_FUNCTIONS = {
    "sin",
    "cos",
    "tan",
    "ln",
    "log",
    "exp",
    "max",
    "min",
    "arcsin",
    "arccos",
    "arctan",
    "gcd",
    "lcm",
}
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_TRAILING = " \n.,;:!"


def _unwrap_text(match: re.Match) -> str:
    """`\\text{ cm}` to ` cm `, `\\operatorname{sin}` to `\\sin `: words stay, apart from their neighbours."""
    words = match.group(1)
    name = words.strip()
    return f"\\{name} " if name in _FUNCTIONS else f" {words} "


def _strip_delimiters(text: str) -> str:
    """Remove what encloses the whole answer: dollars, bold, quotes, a final full stop."""
    while True:
        stripped = text.strip(" \n").rstrip(_TRAILING)
        for opening, closing in _DELIMITERS:
            inner = stripped[len(opening) : len(stripped) - len(closing)]
            if (
                len(stripped) > len(opening) + len(closing)
                and stripped.startswith(opening)
                and stripped.endswith(closing)
                and opening not in inner
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
    text = _strip_delimiters(unicode_to_latex(text))
    if "\\" in text or "~" in text or "{" in text or "np." in text:
        text = _SPACING.sub(" ", _LAYOUT.sub("", text))
        for pattern, replacement in _SYNONYMS:
            text = pattern.sub(replacement, text)
        text = _TEXT_COMMAND.sub(_unwrap_text, text)
        text = _strip_delimiters(text)
    return " ".join(text.split())


_BRACED_CHARACTER = re.compile(r"([\^_])\{([0-9A-Za-z])\}")
_NEEDLESS_SPACE = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])|(?<=[0-9]) (?=[A-Za-z])")
_BETWEEN_VARIABLES = re.compile(r"(?<![A-Za-z\\])([A-Za-z]) (?=[A-Za-z](?![A-Za-z]))")
_AFTER_COMMAND = re.compile(r"(\\[A-Za-z]+) (?=[0-9])")


@lru_cache(maxsize=4096)
def canonical_text(clean: str) -> str:
    """A key for equality of the text alone: no needless braces, spaces, dollars. Not meant for reading."""
    text = _BRACED_CHARACTER.sub(r"\1\2", clean.replace("$", ""))
    text = _BETWEEN_VARIABLES.sub(r"\1", _AFTER_COMMAND.sub(r"\1", text))
    return _NEEDLESS_SPACE.sub("", text)


_WORDS = re.compile(r"[A-Za-z][A-Za-z' .-]*")
_ARTICLES = re.compile(r"^(?:the|a|an) ")


def plain_words(clean: str) -> str | None:
    """The answer in lower case if it is words (`no solution`, `Tuesday`), None if it may be mathematics.

    Up to three letters without a space may be a product (`ab`, `RC`), so they are no words, except yes and
    no.
    """
    if not _WORDS.fullmatch(clean):
        return None
    folded = _ARTICLES.sub("", clean.lower().rstrip("."))
    longest = max(len(word) for word in re.split(r"[ '.-]", folded))
    return folded if longest > 3 or folded in ("yes", "no") else None
