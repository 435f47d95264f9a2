"""The smallest parts of an expression: numbers, symbols with subscripts, constants."""

from fractions import Fraction

from reward_fns.latex_tokens import is_digits, is_word, word_set

MAX_DIGITS = 400
GREEK = word_set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega hbar "
    "ell"
)
CALLS = word_set("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh exp ln lg log")
_PLAIN_NAMES = CALLS | {"pi", "sqrt", "theta", "alpha", "beta", "gamma", "lambda", "phi", "mu", "omega"}
ACCENTS = frozenset(["\\vec", "\\hat", "\\bar", "\\tilde", "\\overline"])
# Letters that stand for a function when a parenthesis follows.
_FUNCTION_LETTERS = frozenset("fgF")


class NotUnderstoodError(Exception):
    """The text is no expression that we can read."""


class AtomReader:
    """The tokens of an expression, with a look-ahead of one; spaces matter between numbers alone."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens: list[str] = []
        self.after_space: list[bool] = []
        space = False
        for token in tokens:
            if token == " ":
                space = True
                continue
            known = token in _PLAIN_NAMES
            for part in [token] if known or not is_word(token) else _letters(token):
                self.tokens.append("\\" + part if known else part)
                self.after_space.append(space)
                space = False
        self.index = 0
        self.bars = 0

    def peek(self) -> str | None:
        return self.tokens[self.index] if self.index < len(self.tokens) else None

    def take(self) -> str:
        if self.index >= len(self.tokens):
            raise NotUnderstoodError
        self.index += 1
        return self.tokens[self.index - 1]

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise NotUnderstoodError

    def atom(self, depth: int) -> tuple:
        """A number, a symbol with its subscript and primes, or a constant."""
        token = self.take()
        if is_digits(token) or token == ".":
            return self._number(token)
        if token == "\\pi":
            return ("constant", "pi")
        if token in ACCENTS:
            self.expect("{")
            name = self.take()
            self.expect("}")
            if not is_word(name):
                raise NotUnderstoodError
            return ("symbol", f"{token}{name}{self._subscript()}")
        if is_word(token) or token[1:] in GREEK:
            subscript = self._subscript()
            primes = ""
            while self.peek() == "'":
                primes += self.take()
            name = token + subscript + primes
            if (primes or token in _FUNCTION_LETTERS) and self.peek() == "(":
                raise NotUnderstoodError
            if name in ("e", "i"):
                return ("constant", name)
            return ("symbol", name)
        raise NotUnderstoodError

    def _number(self, token: str) -> tuple:
        digits = "" if token == "." else token
        if token != ".":
            while self._is_group_of_thousands(digits):
                self.take()
                digits += self.take()
        if token == "." or (self.peek() == "." and not self.after_space[self.index]):
            if token != ".":
                self.take()
            fraction = ""
            if (
                (following := self.peek()) is not None
                and is_digits(following)
                and not self.after_space[self.index]
            ):
                fraction = self.take()
            if not digits and not fraction:
                raise NotUnderstoodError
            digits = f"{digits or 0}.{fraction or 0}"
        if len(digits) > MAX_DIGITS or self.peek() == "_":
            raise NotUnderstoodError
        return ("number", Fraction(digits))

    def _is_group_of_thousands(self, digits: str) -> bool:
        following = self.tokens[self.index : self.index + 2]
        return (
            len(following) == 2
            and following[0] == ","
            and is_digits(following[1])
            and len(following[1]) == 3
            and (len(digits) <= 3 or len(digits) % 3 == 0)
            and not self.after_space[self.index + 1]
        )

    def _subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.take()
        if self.peek() != "{":
            return "_" + self.take()
        self.take()
        parts = []
        while (token := self.take()) != "}":
            if token in ("{", "\\"):
                raise NotUnderstoodError
            parts.append(token)
        return "_" + "".join(parts)


def _letters(word: str) -> list[str]:
    """A product of letters; a longer word is no mathematics."""
    if len(word) > 4:
        raise NotUnderstoodError
    return list(word)
