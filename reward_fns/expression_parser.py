"""Expressions in LaTeX or plain text as trees, read whole or not at all.

A tree is a tuple: its kind, then its parts. `("number", Fraction)`, `("symbol", name)`, `("constant", "pi")`,
`("sum", trees)`, `("product", trees)`, `("inverse", a)`, `("quotient", a, b)`, `("power", a, b)`, `("root",
a, degree)`, `("call", name, a)`, `("log", base or None, a)`, `("factorial", a)`, `("binomial", n, k)`,
`("negative", a)`.
"""

from fractions import Fraction

from reward_fns.expression_atoms import ACCENTS, CALLS, GREEK, AtomReader, NotUnderstoodError
from reward_fns.latex_tokens import is_command, is_digits, is_word, tokens_of

MAX_EXPRESSION_CHARS = 600
MAX_DEPTH = 24
MAX_POSTFIXES = 4

_FUNCTIONS = frozenset(("symbol", letter) for letter in "fghFGH")
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


def parse_expression(clean: str) -> tuple:
    """The tree of a whole expression as `clean_answer` returns it.

    Raises:
        NotUnderstoodError: any part of it cannot be read.
    """
    if len(clean) > MAX_EXPRESSION_CHARS:
        raise NotUnderstoodError
    if "\\times" in clean and "\\vec" in clean:
        raise NotUnderstoodError  # a cross product
    reader = _Reader(tokens_of(clean.replace("$", "")))
    tree = reader.sum(0)
    if reader.peek() is not None:
        raise NotUnderstoodError
    return tree


class _Reader(AtomReader):
    """Recursive descent."""

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
        """Factors with `*`, `/`, or nothing between them; those behind `/` are inverse."""
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
            token[1:] in GREEK
            or token[1:] in CALLS
            or token in ("\\frac", "\\sqrt", "\\binom", "\\pi", "\\lfloor", "\\lceil")
            or token in ACCENTS
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
                if tree[1] in _FUNCTIONS and self.peek() == "(":
                    raise NotUnderstoodError  # the inverse function, or a power of it
        return tree

    def _exponent(self, depth: int) -> tuple:
        if self.peek() in ("{", "("):
            return self._group(depth)
        sign = self.take() if self.peek() in ("-", "+") else ""
        tree = self.atom(depth)
        if self.peek() == "^":
            raise NotUnderstoodError
        return ("negative", tree) if sign == "-" else tree

    def _group(self, depth: int) -> tuple:
        closing = _CLOSING[self.take()]
        bars, self.bars = self.bars, 0
        tree = self.sum(depth)
        if self.peek() == "\\choose":
            self.take()
            tree = ("binomial", tree, self.sum(depth))
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
        if token is not None and token[1:] in CALLS and token[0] == "\\":
            return self._call(depth)
        return self.atom(depth)

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
        """`\\sin x`, `\\sin^2 x`, `\\log_2 x`; without parentheses the argument is what is multiplied."""
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
        while self._starts_factor() and self.peek()[1:] not in CALLS and self.peek() not in ("(", "["):
            self._append_next(factors, depth + 1)
        if self.peek() in ("/", "(", "["):
            raise NotUnderstoodError  # `\sin x/2` and `\sin x(y)` may be either
        return factors[0] if len(factors) == 1 else ("product", tuple(factors))
