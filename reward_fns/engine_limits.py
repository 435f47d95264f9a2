"""Which texts may go to the symbolic engine: mathematics that it knows, of a size that it can do."""

from reward_fns.latex_tokens import is_balanced, is_command, is_digits, is_word, tokens_of, word_set

MAX_ENGINE_CHARS = 500
MAX_ENGINE_DEPTH = 24
# The largest number in an exponent, before a factorial, or as a bound of a sum or product.
MAX_SMALL = 200
MAX_DIGITS = 60

_COMMANDS = word_set(
    """frac sqrt binom cdot times div pi infty sum prod int iint oint lim to ln log lg exp sin cos tan cot
    sec csc arcsin arccos arctan sinh cosh tanh max min gcd lcm alpha beta gamma delta epsilon
    varepsilon zeta eta theta kappa lambda mu nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma
    Delta Theta Lambda Xi Sigma Phi Psi Omega hbar lfloor rfloor lceil rceil hat bar circ begin end"""
)
_WORDS = word_set(
    "sin cos tan ln log exp sqrt pi arcsin arccos arctan max min gcd lcm pmatrix bmatrix matrix array"
)
_OTHER = frozenset("+-*/^_(){}[]|!. &") | {"\\\\"}
_FUNCTIONS = frozenset("fghFGH")
_RANGES = frozenset(["\\sum", "\\prod", "\\int", "\\iint", "\\oint"])


def fits_engine(text: str) -> bool:
    """Whether a text is mathematics for the engine, small enough to be worth a second of it."""
    if len(text) > MAX_ENGINE_CHARS or not is_balanced(text):
        return False
    tokens = [token for token in tokens_of(text) if token != " "]
    depth = deepest = 0
    for token in tokens:
        depth += (token in "([{") - (token in ")]}")
        deepest = max(deepest, depth)
        if is_command(token):
            if token[1:] not in _COMMANDS:
                return False
        elif is_word(token):
            if len(token) > 3 and token not in _WORDS:
                return False
        elif is_digits(token):
            if len(token) > MAX_DIGITS:
                return False
        elif token not in _OTHER and token not in ("=",):
            return False
    return deepest <= MAX_ENGINE_DEPTH and bool(tokens) and _is_small(tokens)


def _is_small(tokens: list[str]) -> bool:
    """No power of a power, no large number in an exponent, before a factorial, or in a bound."""
    if tokens.count("^") > 24 or tokens.count("!") > 4:
        return False
    ranges = sum(token in _RANGES for token in tokens)
    if ranges > 3 or ("=" in tokens and not ranges):
        return False
    for index, token in enumerate(tokens):
        if token == "!":
            previous = tokens[index - 1] if index else ""
            if previous in (")", "!", "}") or (is_digits(previous) and int(previous[:9]) > MAX_SMALL):
                return False
        if token == "_" and index and is_digits(tokens[index - 1]):
            return False  # a number in another base, which the engine would read as its digits
        if token in ("^", "_"):
            inside = _script(tokens, index + 1)
            if token == "^" and index and tokens[index - 1] in _FUNCTIONS:
                return False  # `f^{-1}` is the inverse function, not a power
            if token == "^" and ("^" in inside or tokens[index + 2 : index + 3] == ["^"]):
                return False
            if any(is_digits(part) and (len(part) > 3 or int(part) > MAX_SMALL) for part in inside):
                return False
    return True


def _script(tokens: list[str], index: int) -> list[str]:
    """The tokens of an exponent or subscript that begins at `index`."""
    if index >= len(tokens) or tokens[index] not in ("{", "("):
        return tokens[index : index + 2] if tokens[index : index + 1] == ["-"] else tokens[index : index + 1]
    depth = 0
    for stop in range(index, len(tokens)):
        depth += (tokens[stop] in "({") - (tokens[stop] in ")}")
        if depth == 0:
            return tokens[index + 1 : stop]
    return tokens[index:]
