"""LaTeX in one spelling: no layout, each command under one name and with its arguments in braces."""

from reward_fns.latex_tokens import closing_braces, is_command, is_digits, is_word, tokens_of, word_set

# LaTeX that only moves things about.
_SIZES = [f"\\{big}{side}" for big in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")]
_LAYOUT = frozenset(
    [
        "\\displaystyle",
        "\\textstyle",
        "\\scriptstyle",
        "\\large",
        "\\Large",
        "\\huge",
        "\\limits",
        "\\nolimits",
        "\\mathstrut",
        "\\strut",
        *_SIZES,
    ]
)
_LAYOUT_WITH_ARGUMENT = frozenset(
    ["\\color", "\\hspace", "\\phantom", "\\hphantom", "\\vphantom", "\\vspace"]
)
_SPACE = frozenset(
    ["\\,", "\\;", "\\:", "\\ ", "~", "\\quad", "\\qquad", "\\enspace", "\\thinspace", "\\space", "\\\n"]
)
_SYNONYMS = {
    **dict.fromkeys(["\\dfrac", "\\tfrac", "\\cfrac"], "\\frac"),
    **dict.fromkeys(["\\dbinom", "\\tbinom"], "\\binom"),
    **dict.fromkeys(["\\geq", "\\geqslant", "\\geqq"], "\\ge"),
    **dict.fromkeys(["\\leq", "\\leqslant", "\\leqq"], "\\le"),
    "\\neq": "\\ne",
    "\\gt": ">",
    "\\lt": "<",
    "\\lbrace": "\\{",
    "\\rbrace": "\\}",
    "\\lbrack": "[",
    "\\rbrack": "]",
    **dict.fromkeys(["\\ast", "\\star"], "*"),
    **dict.fromkeys(["\\lvert", "\\rvert", "\\mid", "\\vert"], "|"),
    "\\infin": "\\infty",
    "\\varepsilon": "\\epsilon",
    "\\varphi": "\\phi",
    "\\langle": "(",
    "\\rangle": ")",
    "\\varnothing": "\\emptyset",
    "\\tg": "\\tan",
    "\\ctg": "\\cot",
    "\\%": "%",
    "\\$": "$",
    "\\#": "#",
    "\\&": "&",
    "\\degree": "^{\\circ}",
}
_TWO_ARGUMENTS = frozenset(["\\frac", "\\dfrac", "\\tfrac", "\\cfrac", "\\binom", "\\dbinom", "\\tbinom"])
_FONTS = frozenset(["\\boldsymbol", "\\bm", "\\mathbf", "\\mathit", "\\mathcal", "\\mathsf", "\\emph"])
_TEXT = frozenset(
    [
        "\\text",
        "\\textrm",
        "\\textbf",
        "\\textit",
        "\\textnormal",
        "\\mathrm",
        "\\mbox",
        "\\operatorname",
        "\\rm",
        "\\textsf",
        "\\texttt",
    ]
)
_FUNCTIONS = word_set("sin cos tan cot sec csc ln log exp max min arcsin arccos arctan gcd lcm")
# In `\text{m}` behind a number the letter is a unit, in `5 m` it may be a variable.
_UNIT_LETTERS = {"m": "meter", "s": "second", "g": "gram", "h": "hour", "L": "liter", "l": "liter"}
_UNIT_LETTERS |= {"N": "newton", "J": "joule", "W": "watt", "V": "volt", "K": "kelvin", "A": "ampere"}


def escaped_once(text: str) -> str:
    """`\\\\frac` to `\\frac` where every backslash was doubled, as data sets in JSON have it; rows of a
    matrix stay.
    """
    if "\\\\begin" in text:
        return text.replace("\\\\", "\\")
    if "\\begin" in text:
        return text
    return "".join(
        token if token != "\\\\" or not is_word((tokens[index + 1 : index + 2] or ["."])[0]) else "\\"
        for tokens in [tokens_of(text)]
        for index, token in enumerate(tokens)
    )


def one_spelling(tokens: list[str]) -> list[str]:
    """The tokens without layout, each command under one name and with its arguments in braces."""
    tokens = _with_fraction_braces(tokens)
    closing = closing_braces(tokens)
    out: list[str] = []
    dropped: set[int] = set()  # braces of a font or text command that has been unwrapped
    closes: dict[int, str] = {}  # what to put where an argument ends
    index, end = 0, len(tokens)
    while index < end:
        token = tokens[index]
        if index in closes:
            out.append(closes[index])
        elif index in dropped or token in _LAYOUT:
            pass
        elif token in ("\\left", "\\right"):
            if tokens[index + 1 : index + 2] == ["."]:
                index += 1
        elif token == "\\!":
            if tokens[index + 1 : index + 2] == [" "]:
                index += 1
        elif token in _SPACE:
            out.append(" ")
        elif token in _LAYOUT_WITH_ARGUMENT:
            start = index + 2 if tokens[index + 1 : index + 2] == ["*"] else index + 1
            index = closing.get(start, index)
        elif token in _TEXT or token in _FONTS:
            start = _skip_space(tokens, index + 1)
            if start in closing:
                stop = closing[start]
                words = "".join(tokens[start + 1 : stop]).strip()
                if words in _FUNCTIONS and (words not in ("min", "max") or token == "\\operatorname"):
                    out.append(f"\\{words} ")
                    index = stop
                elif token in _TEXT:
                    unit = _UNIT_LETTERS.get(words)
                    if unit and out and "".join(out[-3:]).rstrip(" ")[-1:] in set("0123456789}"):
                        out.append(f" {unit} ")
                        index = stop
                    else:
                        out.append(" ")
                        closes[stop] = " "
                        index = start
                else:
                    dropped.add(stop)
                    index = start
        elif token == "{" and "".join(tokens[index + 1 : index + 4]).replace(" ", "").startswith(",}"):
            while out and out[-1] == " ":
                out.pop()
            out.append(",")
            index = closing.get(index, index)
        elif token == "^":
            index = _degree(tokens, index, closing, out)
        elif token == "\\sqrt":
            index = _brace_root(tokens, index, closes, out)
        else:
            out.append(_SYNONYMS.get(token, token))
        index += 1
    return out


def _skip_space(tokens: list[str], index: int) -> int:
    return index + 1 if tokens[index : index + 1] == [" "] else index


def _degree(tokens: list[str], index: int, closing: dict[int, int], out: list[str]) -> int:
    """`^\\circ` and `^{ \\circ }` to `^{\\circ}`; any other exponent as it is."""
    start = _skip_space(tokens, index + 1)
    if tokens[start : start + 1] == ["\\circ"]:
        out.append("^{\\circ}")
        return start
    stop = closing.get(start)
    if stop is not None and "".join(tokens[start + 1 : stop]).strip() == "\\circ":
        out.append("^{\\circ}")
        return stop
    out.append("^")
    return index


def _with_fraction_braces(tokens: list[str]) -> list[str]:
    """Braces for the arguments of a fraction that has none: `\\frac12`, `\\frac1{2}`, `\\frac{1}2`, `\\frac
    ab`.
    """
    out: list[str] = []
    outer: list[int] = []  # arguments still to come, for each open brace
    pending = 0
    for token in tokens:
        while token and pending and (is_digits(token) or is_word(token)):
            out += ["{", token[0], "}"]
            token = token[1:]
            pending -= 1
        if not token or (pending and token == " "):
            continue
        if token == "{":
            outer.append(max(pending - 1, 0))
            pending = 0
        elif token == "}":
            pending = outer.pop() if outer else 0
        elif token in _TWO_ARGUMENTS:
            pending = 2
        elif pending and is_command(token) and token not in ("\\sqrt", *_TEXT, *_FONTS):
            out += ["{", token, "}"]
            pending -= 1
            continue
        else:
            pending = 0
        out.append(token)
    return out


def _brace_root(tokens: list[str], index: int, closes: dict[int, str], out: list[str]) -> int:
    """`\\sqrt3`, `\\sqrt x`, `\\sqrt(x+1)` to `\\sqrt{...}`."""
    out.append("\\sqrt")
    start = _skip_space(tokens, index + 1)
    if start >= len(tokens):
        return index
    token = tokens[start]
    if is_digits(token) or (is_word(token) and len(token) == 1):
        out.append("{" + token + "}")
        return start
    if token == "(":
        depth = 0
        for stop in range(start, len(tokens)):
            depth += (tokens[stop] == "(") - (tokens[stop] == ")")
            if depth == 0:
                out.append("{")
                closes[stop] = "}"
                return start
    return index if token != "{" else start - 1
