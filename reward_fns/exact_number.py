"""Numbers as people and models write them, read exactly: no float, no engine, no evaluation.

`$1,200.50`, `-\\frac{3}{4}`, `4\\frac{1}{3}`, `62.5\\%`, `4.5e33`, `3 \\times 10^{8}`, `\\$3 million`, `45
minutes`, `18.8^{\\circ}`, `166 cm^2`. Input is what `clean_answer` returns.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from reward_fns.units import read_unit, units_agree

# Beyond these a number is not read as a number; a model can write any.
MAX_NUMBER_CHARS = 400
MAX_EXPONENT = 400
# A decimal stands for a fraction that it rounds (0.333333 for 1/3) from this many significant digits on.
ROUNDED_DIGITS = 6

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_TEN = r"10 ?\^ ?(?:\{ ?(?P<tens_braced>[+-]? ?[0-9]{1,4}) ?\}|(?P<tens>[+-]?[0-9]{1,4}))"
_POWER_OF_TEN = rf"(?:[eE](?P<exponent>[+-]?[0-9]{{1,4}})|(?:(?: ?(?:\\times|\\cdot|\*|x) ?){_TEN}))"
_CURRENCY = r"\$|\\pounds|\u00a3|\u20ac|\u00a5|\u20b9|US\$|USD|EUR|Rs ?\.?|INR"
_NUMBER = re.compile(
    r"(?:(?:about|around|approximately|approx\.?|roughly|exactly|only|\\approx|\\sim|\\simeq|=) ?)?"
    rf"(?P<sign>[+-]?) ?(?:(?P<currency>{_CURRENCY}) ?)?(?P<late_sign>-?) ?"
    r"(?:"
    rf"(?P<whole>{_DECIMAL})?? ?\\frac ?\{{ ?(?P<top>-?{_DECIMAL}) ?\}} ?\{{ ?(?P<bottom>{_DECIMAL}) ?\}}"
    rf"|(?:(?P<whole_slash>[0-9]+) )?(?P<top_slash>{_DECIMAL}) ?/ ?(?P<bottom_slash>{_DECIMAL})"
    rf"|10 ?\^ ?(?:\{{ ?(?P<bare_tens_braced>[+-]? ?[0-9]{{1,4}}) ?\}}|(?P<bare_tens>[+-]?[0-9]{{1,4}}))"
    rf"|(?P<decimal>{_DECIMAL}){_POWER_OF_TEN}?"
    r")(?P<rest>.*)",
    re.DOTALL,
)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = re.compile(
    r" ?(hundred|thousand|million|billion|trillion)s?(?![A-Za-z])(.*)", re.DOTALL | re.IGNORECASE
)
_PERCENT = re.compile(
    r" ?(?:%|percent(?:age)?(?: points?)?|per cent)(?![A-Za-z])(.*)", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class ExactNumber:
    """A number with what was written beside it.

    `step` is one unit in the last place of a decimal with at least ROUNDED_DIGITS significant digits, else 0;
    `percent` is true if a percent sign follows; `unit` is the set of unit words, empty if there are none.
    """

    value: Fraction
    step: Fraction = Fraction(0)
    percent: bool = False
    unit: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """The shortest common form: integer, terminating decimal, else fraction. Used for majority votes."""
        suffix = "%" if self.percent else ""
        if self.value.denominator == 1:
            return f"{self.value.numerator}{suffix}"
        bottom = self.value.denominator
        for prime in (2, 5):
            while bottom % prime == 0:
                bottom //= prime
        decimal = f"{float(self.value):.12g}" if abs(self.value) < 10**15 else ""
        if bottom == 1 and decimal and Fraction(decimal) == self.value:
            return decimal + suffix
        return f"{self.value.numerator}/{self.value.denominator}{suffix}"


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").rstrip(".") or "0")


@lru_cache(maxsize=8192)
def read_number(clean: str) -> ExactNumber | None:
    """The number that the whole text is, with sign, currency, percent and unit, or None."""
    if len(clean) > MAX_NUMBER_CHARS or not (
        match := _NUMBER.fullmatch(clean.replace("$", "$ ").strip(" $"))
    ):
        return None
    found = match.groupdict()
    step = Fraction(0)
    if found["decimal"]:
        value = _fraction(found["decimal"])
        digits = found["decimal"].replace(",", "").replace(" ", "")
        if "." in digits and len(digits.lstrip("0.").replace(".", "")) >= ROUNDED_DIGITS:
            step = Fraction(1, 10 ** len(digits.partition(".")[2]))
        power = found["exponent"] or found["tens_braced"] or found["tens"]
    elif found["bare_tens_braced"] or found["bare_tens"]:
        value, power = Fraction(1), found["bare_tens_braced"] or found["bare_tens"]
    else:
        bottom = _fraction(found["bottom"] or found["bottom_slash"])
        if bottom == 0:
            return None
        value = _fraction(found["top"] or found["top_slash"]) / bottom
        if whole := found["whole"] or found["whole_slash"]:
            if value < 0:
                return None
            value += _fraction(whole)
        power = None
    if power:
        exponent = int(power.replace(" ", ""))
        if abs(exponent) > MAX_EXPONENT:
            return None
        value, step = value * Fraction(10) ** exponent, step * Fraction(10) ** exponent
    if (found["sign"] == "-") != (found["late_sign"] == "-"):
        value = -value
    rest = found["rest"]
    if scale := _SCALE.match(rest):
        factor, rest = _SCALES[scale.group(1).lower()], scale.group(2)
        value, step = value * factor, step * factor
    percent = False
    if sign := _PERCENT.match(rest):
        percent, rest = True, sign.group(1)
    unit = read_unit(rest)
    return None if unit is None else ExactNumber(value, step, percent, unit)


def same_value(gold: Fraction, answer: Fraction, step: Fraction, rel_tol: float) -> bool:
    """Equal exactly, or rounded to ROUNDED_DIGITS digits or more, or within a tolerance asked for."""
    distance = abs(gold - answer)
    return (
        distance == 0 or 2 * distance <= step or bool(rel_tol and distance <= Fraction(rel_tol) * abs(gold))
    )


def numbers_equal(gold: ExactNumber, answer: ExactNumber, *, rel_tol: float = 0.0) -> bool:
    """Whether two numbers are the same answer.

    Units count only if both have one. A percent sign on one side alone may stand for the hundredth or be part
    of the question ("how many percent"), so 62.5% is 62.5 and 0.625. `rel_tol` is relative to the gold
    answer.
    """
    if not units_agree(gold.unit, answer.unit):
        return False
    step = max(gold.step, answer.step)
    if same_value(gold.value, answer.value, step, rel_tol):
        return True
    if gold.percent == answer.percent:
        return False
    percent, other = (gold, answer) if gold.percent else (answer, gold)
    return same_value(other.value, percent.value / 100, step, rel_tol)
