"""Expressions in LaTeX or plain text as trees, read whole or not at all.

A tree is a tuple: its kind, then its parts. `("number", Fraction)`, `("symbol", name)`, `("constant", "pi")`,
`("sum", trees)`, `("product", trees)`, `("inverse", a)`, `("quotient", a, b)`, `("power", a, b)`, `("root", a, degree)`,
`("call", name, a)`, `("log", base or None, a)`, `("factorial", a)`, `("binomial", n, k)`, `("negative", a)`.
"""

from fractions import Fraction

from reward_fns.latex_tokens import is_command, is_digits, is_word, tokens_of, word_set

MAX_EXPRESSION_CHARS = 600
MAX_DEPTH = 24
MAX_DIGITS = 400
MAX_POSTFIXES = 4

_GREEK = word_set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega hbar "
    "ell"
)
_CALLS = word_set("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh exp ln lg log")
_PLAIN_NAMES = _CALLS | {"pi", "sqrt", "theta", "alpha", "beta", "gamma", "lambda", "phi", "mu", "omega"}
_ACCENTS = frozenset(["\\vec", "\\hat", "\\bar", "\\tilde", "\\overline"])
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
# Letters that stand for a function when a parenthesis follows.
_FUNCTION_LETTERS = frozenset("fgF")


class NotUnderstoodError(Exception):
    """The text is no expression that we can read."""


def parse_expression(clean: str) -> tuple:
    """The tree of a whole expression as `clean_answer` returns it.

    Raises:
        NotUnderstoodError: any part of it cannot be read.
    """
    if len(clean) > MAX_EXPRESSION_CHARS:
        raise NotUnderstoodError
    reader = _Reader(tokens_of(clean.replace("$", "")))
    tree = reader.sum(0)
    if reader.peek() is not None:
        raise NotUnderstoodError
    return tree


class _Reader:
    """Recursive descent with one token of look-ahead; spaces matter between numbers alone."""

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

    def sum(self, depth: int) -> tuple:
        if depth > MAX_DEPTH:
            raise NotUnderstoodError
        terms = []
        sign = self._sign()
        while True:
            term = self.product(depth)
            terms.append(("negative", term) if sign < 0 else term)
            if self.peek() not in ("+", "-"):
                break
            sign = self._sign()
        return terms[0] if len(terms) == 1 else ("sum", tuple(terms))

    def _sign(self) -> int:
        sign, count = 1, 0
        while self.peek() in ("+", "-"):
            sign *= -1 if self.take() == "-" else 1
            count += 1
            if count > 2:
                raise NotUnderstoodError
        return sign

    def product(self, depth: int) -> tuple:
        """Factors with `*`, `/`, or nothing between them, from left to right; those behind `/` are inverse."""
        factors = [self.factor(depth)]
        while True:
            token = self.peek()
            if token in ("*", "\\cdot", "\\times"):
                self.take()
                factors.append(self._signed_factor(depth))
            elif token in ("/", "\\div"):
                self.take()
                factors.append(("inverse", self._signed_factor(depth)))
            elif self._starts_factor():
                self._append_next(factors, depth)
            else:
                return factors[0] if len(factors) == 1 else ("product", tuple(factors))

    def _signed_factor(self, depth: int) -> tuple:
        if self.peek() == "-":
            self.take()
            return ("negative", self.factor(depth))
        return self.factor(depth)

    def _append_next(self, factors: list[tuple], depth: int) -> None:
        """A factor with no sign before it: one more, or the fraction of a mixed number."""
        last = factors[-1]
        if is_digits(self.peek()) and (last[0] != "power" or not self.after_space[self.index]):
            # `2^6 3^5` is a product; `x2`, `2 3` and `(x+1)2` may be anything.
            raise NotUnderstoodError
        factor = self.factor(depth)
        if last[0] == "number" and factor[0] == "quotient" and factor[1][0] == factor[2][0] == "number":
            if last[1].denominator != 1 or factor[1][1] >= factor[2][1]:
                raise NotUnderstoodError
            factors[-1] = ("sum", (last, factor))
        else:
            factors.append(factor)

    def _starts_factor(self) -> bool:
        token = self.peek()
        if token is None or token in ("|", "\\|"):
            return token == "|" and self.bars == 0
        if token in ("(", "[", "{") or is_word(token) or is_digits(token):
            return True
        return is_command(token) and (
            token[1:] in _GREEK
            or token[1:] in _CALLS
            or token in ("\\frac", "\\sqrt", "\\binom", "\\pi", "\\lfloor", "\\lceil")
            or token in _ACCENTS
        )

    def factor(self, depth: int) -> tuple:
        """A base with what is written behind it: subscripts, primes, exponents, factorials."""
        if depth > MAX_DEPTH:
            raise NotUnderstoodError
        tree = self.base(depth + 1)
        count = 0
        while (token := self.peek()) in ("^", "!"):
            self.take()
            count += 1
            if count > MAX_POSTFIXES:
                raise NotUnderstoodError
            if token == "!":
                if self.peek() == "!":
                    raise NotUnderstoodError
                tree = ("factorial", tree)
            elif self.tokens[self.index : self.index + 3] == ["{", "\\circ", "}"]:
                self.index += 3
                tree = ("product", (tree, ("constant", "degree")))
            else:
                tree = ("power", tree, self._exponent(depth + 1))
        return tree

    def _exponent(self, depth: int) -> tuple:
        if self.peek() in ("{", "("):
            return self._group(depth)
        sign = self.take() if self.peek() in ("-", "+") else ""
        tree = self._atom(depth)
        if self.peek() == "^":
            raise NotUnderstoodError
        return ("negative", tree) if sign == "-" else tree

    def _group(self, depth: int) -> tuple:
        closing = _CLOSING[self.take()]
        bars, self.bars = self.bars, 0
        tree = self.sum(depth)
        self.expect(closing)
        self.bars = bars
        return tree

    def base(self, depth: int) -> tuple:
        token = self.peek()
        if token in ("(", "[", "{"):
            return self._group(depth)
        if token == "|":
            self.take()
            self.bars += 1
            tree = self.sum(depth)
            self.bars -= 1
            self.expect("|")
            return ("call", "abs", tree)
        if token in ("\\lfloor", "\\lceil"):
            self.take()
            tree = self.sum(depth)
            self.expect("\\rfloor" if token == "\\lfloor" else "\\rceil")
            return ("call", "floor" if token == "\\lfloor" else "ceil", tree)
        if token in ("\\frac", "\\binom"):
            self.take()
            first = self._braced(depth)
            second = self._braced(depth)
            return ("quotient" if token == "\\frac" else "binomial", first, second)
        if token == "\\sqrt":
            return self._root(depth)
        if token is not None and token[1:] in _CALLS and token[0] == "\\":
            return self._call(depth)
        return self._atom(depth)

    def _braced(self, depth: int) -> tuple:
        if self.peek() != "{":
            raise NotUnderstoodError
        return self._group(depth)

    def _root(self, depth: int) -> tuple:
        self.take()
        degree: tuple = ("number", Fraction(2))
        if self.peek() == "[":
            degree = self._group(depth)
        if self.peek() not in ("{", "("):
            raise NotUnderstoodError
        return ("root", self._group(depth), degree)

    def _call(self, depth: int) -> tuple:
        """`\\sin x`, `\\sin^2 x`, `\\log_2 x`; without parentheses what is multiplied next is the argument."""
        name = self.take()[1:]
        base = power = None
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                if base or name not in ("log", "ln"):
                    raise NotUnderstoodError
                base = self._exponent(depth)
            else:
                if power:
                    raise NotUnderstoodError
                power = self._exponent(depth)
        if self.peek() in ("(", "{", "["):
            argument = self._group(depth)
            if self.peek() == "^":
                self.take()
                argument, power_after = argument, self._exponent(depth)
                if power:
                    raise NotUnderstoodError
                power = power_after
        else:
            argument = self._bare_argument(depth)
        if power == ("negative", ("number", Fraction(1))):
            if name not in ("sin", "cos", "tan"):
                raise NotUnderstoodError
            return ("call", "arc" + name, argument)
        tree = ("log", base, argument) if name == "log" else ("call", name, argument)
        if base and name == "ln":
            raise NotUnderstoodError
        return ("power", tree, power) if power else tree

    def _bare_argument(self, depth: int) -> tuple:
        factors = [self.factor(depth + 1)]
        while self._starts_factor() and self.peek()[1:] not in _CALLS and self.peek() not in ("(", "["):
            self._append_next(factors, depth + 1)
        if self.peek() in ("/", "(", "["):
            raise NotUnderstoodError  # `\sin x/2` and `\sin x(y)` may be either
        return factors[0] if len(factors) == 1 else ("product", tuple(factors))

    def _atom(self, depth: int) -> tuple:
        """A number, a symbol with its subscript and primes, or a constant."""
        token = self.take()
        if is_digits(token) or token == ".":
            return self._number(token)
        if token == "\\pi":
            return ("constant", "pi")
        if token in _ACCENTS:
            self.expect("{")
            name = self.take()
            self.expect("}")
            if not is_word(name):
                raise NotUnderstoodError
            return ("symbol", f"{token}{name}{self._subscript()}")
        if is_word(token) or token[1:] in _GREEK:
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
