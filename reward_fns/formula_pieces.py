"""A text cut into formulas, numbers, words and signs, in one pass, to find where its mathematics stands."""

from bisect import bisect_left
from dataclasses import dataclass

from reward_fns.latex_tokens import closing_braces, is_command, is_digits, is_word, tokens_of
from reward_fns.unicode_math import unicode_to_latex

_MAX_FORMULA_TOKENS = 600
LINE_END = "\u2028"
_CLOSERS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_OPERATORS = frozenset("+-*/^_=<>|!%~&:") | {"\\cdot", "\\times", "\\div", "\\pm", "\\%", "\\pi", "\\circ"}
_OPERATORS |= {
    "\\le",
    "\\ge",
    "\\leq",
    "\\geq",
    "\\ne",
    "\\neq",
    "\\approx",
    "\\in",
    "\\infty",
    "\\cup",
    "\\equiv",
}
_BRACKETS = frozenset(["(", ")", "[", "]", "{", "}", "\\{", "\\}", "\\left", "\\right"])
_CURRENCIES = frozenset(["$", "\\$", "\u20ac", "\u00a3", "\u20b9"])
_FUNCTION_WORDS = frozenset(
    ["sqrt", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "begin", "pmatrix"]
)
_ARTICLES = frozenset(["a", "A", "I"])


@dataclass(frozen=True)
class Piece:
    """A part of a text: its kind and where it stands.

    `formula` (in dollars, an environment, a command with its arguments), `number`, `letter`, `operator`,
    `bracket`, `currency`, `word`, `comma`, `end` (of a sentence or line) or `mark` (of Markdown).
    """

    kind: str
    start: int
    end: int
    text: str


def one_line(text: str) -> str:
    """The text in which the pieces stand: spaces in a row are one, a new line is LINE_END."""
    return "".join(tokens_of(unicode_to_latex(text.replace("\t", " ")).replace("\n", LINE_END)))


def pieces_of(line: str) -> list[Piece]:
    """The pieces of a text as `one_line` gives it; spaces belong to none."""
    cutter = _Cutter(tokens_of(line))
    pieces: list[Piece] = []
    index = position = 0
    while index < len(cutter.tokens):
        kind, count = cutter.kind(index)
        part = "".join(cutter.tokens[index : index + count])
        if kind:
            pieces.append(Piece(kind, position, position + len(part), part))
        position += len(part)
        index += count
    return pieces


class _Cutter:
    """The tokens of a text, and where the next token of each closing kind stands."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.closing = closing_braces(tokens)
        self.places: dict[str, list[int]] = {token: [] for token in ("$", "\\)", "\\]", "\\end", "]")}
        for index, token in enumerate(tokens):
            if token in self.places:
                self.places[token].append(index)

    def at(self, index: int) -> str:
        return self.tokens[index] if 0 <= index < len(self.tokens) else ""

    def next_place(self, token: str, index: int, limit: int = _MAX_FORMULA_TOKENS) -> int:
        """The place of the next such token, or -1 if there is none near."""
        places = self.places[token]
        k = bisect_left(places, index)
        return places[k] if k < len(places) and places[k] - index <= limit else -1

    def kind(self, index: int) -> tuple[str, int]:
        """The kind of the piece that begins here ("" for a space), and its length in tokens."""
        token, before, following = self.tokens[index], self.at(index - 1), self.at(index + 1)
        if token == " ":
            return "", 1
        if token in (LINE_END, "?"):
            return "end", 1
        if count := self._formula(index):
            return "formula", count
        if is_digits(token):
            return "number", _number_length(self.tokens, index)
        if token == "." and is_digits(following or "x") and not is_digits(before or "x"):
            return "number", 2
        if token in _CURRENCIES:
            return "currency", 1
        if token in (".", "!") and (following in ("", " ", LINE_END, "*", "$", '"', ")")):
            attached = is_digits(before or "x") or before in (")", "}", "!")
            return ("operator" if token == "!" and attached else "end"), 1
        if token in (",", ";"):
            return "comma", 1
        if token == "*":
            return ("mark" if self._is_bold(index) else "operator"), 1
        if token == "'" and is_digits(before) and is_digits(following):
            return "operator", 1
        if token in ("`", '"', "#"):
            return "mark", 1
        if token in _OPERATORS:
            return "operator", 1
        if token in _BRACKETS:
            return "bracket", 1
        if is_word(token):
            attached = is_digits(before or "x") or before in (")", "}")
            single = (
                len(token) == 1 and (token not in _ARTICLES or attached) and "'" not in (before, following)
            )
            return ("letter" if single or (attached and len(token) <= 3) else "word"), 1
        return "mark", 1

    def _is_bold(self, index: int) -> bool:
        """Whether the star is Markdown: doubled but not between numbers, or at the start of a line."""
        before, following = self.at(index - 1), self.at(index + 1)
        if "*" in (before, following):
            outer = self.at(index - 2) if before == "*" else before
            return not (is_digits(outer or "x") or outer == ")") or following in ("", " ", LINE_END, ".", "*")
        return following == " " and before in ("", LINE_END)

    def _formula(self, index: int) -> int:
        """The length of a formula that begins here; 0 if none does."""
        token = self.tokens[index]
        if token == "$":
            if self.at(index + 1) == "$":
                stop = self.next_place("$", index + 2)
                return stop + 2 - index if stop > index + 2 and self.at(stop + 1) == "$" else 0
            return self._dollars(index)
        if token in _CLOSERS:
            stop = self.next_place(_CLOSERS[token], index + 1)
            return stop + 1 - index if stop > index + 1 else 0
        if not is_command(token) or token in _OPERATORS or token in _BRACKETS:
            return 0
        if token == "\\begin":
            stop = self.next_place("\\end", index + 4)
            return stop + 4 - index if stop >= 0 and self._same_environment(index, stop) else 1
        return 1 + self._arguments_length(index + 1)

    def _same_environment(self, begin: int, end: int) -> bool:
        return self.tokens[begin + 1 : begin + 4] == self.tokens[end + 1 : end + 4]

    def _dollars(self, index: int) -> int:
        """The length of `$...$` if it is a formula; 0 where the dollar is a currency.

        The closing dollar has no digit behind it and, unless the opening one has, no space before it; a
        formula has no words and does not go over a line.
        """
        stop = self.next_place("$", index + 1)
        spaced = self.at(index + 1) == " "
        if (
            stop < index + 2
            or is_digits(self.at(stop + 1) or " ")
            or (self.at(stop - 1) == " " and not spaced)
        ):
            return 0
        for inner in range(index + 1, stop):
            token = self.tokens[inner]
            if token == LINE_END or (
                is_word(token)
                and len(token) > 3
                and token not in _FUNCTION_WORDS
                and not self._in_text(inner)
            ):
                return 0
        return stop + 1 - index

    def _in_text(self, index: int) -> bool:
        """Whether the word stands in the braces of a command such as `\\text{...}`."""
        for back in range(index - 1, max(index - 24, 0), -1):
            if self.tokens[back] == "{":
                return is_command(self.tokens[back - 1])
            if not (is_word(self.tokens[back]) or self.tokens[back] in (" ", ".", ",")):
                return False
        return False

    def _arguments_length(self, index: int) -> int:
        """The length of the groups `{...}`, `[...]` directly behind a command."""
        start = index
        while self.at(index) in ("{", "["):
            stop = self.closing.get(index, -1) if self.at(index) == "{" else self.next_place("]", index, 40)
            if stop < 0 or stop - index > _MAX_FORMULA_TOKENS:
                break
            index = stop + 1
        return index - start


def _number_length(tokens: list[str], index: int) -> int:
    """Digits, groups of thousands and a decimal part."""
    count = 1
    while (
        tokens[index + count : index + count + 1] == [","]
        and len(group := (tokens[index + count + 1 : index + count + 2] or [""])[0]) == 3
        and is_digits(group)
    ):
        count += 2
    if tokens[index + count : index + count + 1] == ["."] and is_digits(
        (tokens[index + count + 1 : index + count + 2] or ["x"])[0]
    ):
        count += 2
    return count
