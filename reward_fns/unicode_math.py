"""Unicode mathematics as LaTeX: signs, Greek, superscripts, full-width digits, odd spaces, control bytes."""

_SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_FRACTIONS = {
    "\u00bd": (1, 2),
    "\u2153": (1, 3),
    "\u2154": (2, 3),
    "\u00bc": (1, 4),
    "\u00be": (3, 4),
    "\u2155": (1, 5),
    "\u215b": (1, 8),
}
_HYPHENS = "\u2212\u2013\u2014\u2010\u2011\u2012\ufe63"
_SPACES = "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000\t\r\v\f"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_CONTROL = "".join(char for char in map(chr, range(32)) if char not in "\n\t\r\v\f")
_SIGNS = {
    "\u00d7": " \\times ",
    "\u00b7": " \\cdot ",
    "\u22c5": " \\cdot ",
    "\u00f7": "/",
    "\u2215": "/",
    "\u221a": "\\sqrt ",
    "\u221e": "\\infty ",
    "\u2264": "\\le ",
    "\u2265": "\\ge ",
    "\u2260": "\\ne ",
    "\u2248": "\\approx ",
    "\u00b1": "\\pm ",
    "\u222a": "\\cup ",
    "\u2229": "\\cap ",
    "\u2208": "\\in ",
    "\u2205": "\\emptyset ",
    "\u00b0": "^{\\circ}",
    "\u2032": "'",
    "\u2019": "'",
    "\u2018": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u00b5": "\\mu ",
}
# From U+03B1 on; the final sigma and omicron are no mathematical letters.
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho - sigma tau upsilon "
    "phi chi psi omega"
)
_TABLE = str.maketrans(
    {
        **dict.fromkeys(_HYPHENS, "-"),
        **dict.fromkeys(_SPACES, " "),
        **dict.fromkeys(_INVISIBLE + _CONTROL, ""),
        **{char: f" \\frac{{{top}}}{{{bottom}}} " for char, (top, bottom) in _FRACTIONS.items()},
        # Full-width digits, letters and punctuation, as Chinese models write them.
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
        **_SIGNS,
        **{chr(0x3B1 + k): f"\\{name} " for k, name in enumerate(_GREEK.split()) if name != "-"},
    }
)
_PLAIN = frozenset(map(chr, range(32, 127))) | {"\n"}


def unicode_to_latex(text: str) -> str:
    """The text in LaTeX as far as we know its characters; others stay. Superscript 12 becomes `^{12}`."""
    if _PLAIN.issuperset(text):
        return text
    return _without_superscripts(text).translate(_TABLE)


def _without_superscripts(text: str) -> str:
    out: list[str] = []
    raised = False
    for char in text:
        digit = _SUPERSCRIPTS.find(char)
        if (digit >= 0) != raised:
            raised = not raised
            out.append("^{" if raised else "}")
        out.append(str(digit) if digit >= 0 else char)
    return "".join(out) + "}" * raised
