"""Numbers as people and models write them, read exactly: no float, no engine, no evaluation.

`$1,200.50`, `-\\frac{3}{4}`, `4\\frac{1}{3}`, `62.5\\%`, `4.5e33`, `3 \\times 10^{8}`, `\\$3 million`, `45
minutes`, `18.8^{\\circ}`, `166 cm^2`. Input is what `clean_answer` returns.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import re2

from reward_fns.sentence import NUMBER_WORDS
from reward_fns.units import read_unit

# Beyond these a number is not read as a number; a model can write any.
MAX_NUMBER_CHARS = 400
MAX_EXPONENT = 400
# A decimal stands for a number that it rounds (0.333333 for 1/3) from this many significant digits on.
ROUNDED_DIGITS = 6

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_TEN = r"10 ?\^ ?(?:\{ ?(?P<tens_braced>[+-]? ?[0-9]{1,4}) ?\}|(?P<tens>[+-]?[0-9]{1,4}))"
_POWER_OF_TEN = rf"(?:[eE](?P<exponent>[+-]?[0-9]{{1,4}})|(?:(?: ?(?:\\times|\\cdot|\*|x) ?){_TEN}))"
_CURRENCIES = {
    **dict.fromkeys(["$", "US$", "USD"], "dollar"),
    **dict.fromkeys(["\\pounds", "\u00a3"], "pound sterling"),
    **dict.fromkeys(["\u20ac", "EUR"], "euro"),
    **dict.fromkeys(["\u20b9", "Rs", "INR"], "rupee"),
    "\u00a5": "yen",
}
_CURRENCY = r"\$|\\pounds|\x{a3}|\x{20ac}|\x{a5}|\x{20b9}|US\$|USD|EUR|Rs ?\.?|INR"
_NUMBER = re2.compile(
    r"(?s)(?:(?:about|around|approximately|approx\.?|roughly|exactly|only|\\approx|\\sim|\\simeq|=) ?)?"
    rf"(?P<sign>[+-]?) ?(?:(?P<currency>{_CURRENCY}) ?)?(?P<late_sign>-?) ?"
    r"(?:"
    rf"(?P<whole>{_DECIMAL})?? ?\\frac ?\{{ ?(?P<top>-?{_DECIMAL}) ?\}} ?\{{ ?(?P<bottom>{_DECIMAL}) ?\}}"
    rf"|(?:(?P<whole_slash>[0-9]+) )?(?P<top_slash>{_DECIMAL}) ?/ ?(?P<bottom_slash>{_DECIMAL})"
    rf"|10 ?\^ ?(?:\{{ ?(?P<bare_tens_braced>[+-]? ?[0-9]{{1,4}}) ?\}}|(?P<bare_tens>[+-]?[0-9]{{1,4}}))"
    rf"|(?P<repeated>[0-9]+\.[0-9]*)\\overline ?\{{ ?(?P<period>[0-9]{{1,40}}) ?\}}"
    rf"|(?P<decimal>{_DECIMAL}){_POWER_OF_TEN}?"
    r")(?P<rest>.*)"
)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = re2.compile(r"(?is) ?(hundred|thousand|million|billion|trillion)((?:[^a-z].*)?)")
_PERCENT = re2.compile(r"(?is) ?(?:%|(?:percent(?:age)?(?: points?)?|per cent|pct)(?:[^a-z]|$))(.*)")
_NO_DIGIT = frozenset("0123456789")


@dataclass(frozen=True)
class ExactNumber:
    """A number with what was written beside it.

    `step` is one unit in the last place of a decimal with at least ROUNDED_DIGITS significant digits, else 0;
    `percent` is true if a percent sign follows; `unit` is the unit's names and powers, empty for none, and
    `doubtful` says that it may be a variable (`5 m`); `is_value` is false for a fraction that is a whole
    number.
    """

    value: Fraction
    step: Fraction = Fraction(0)
    percent: bool = False
    unit: frozenset[tuple[str, int]] = frozenset()
    doubtful: bool = False
    is_value: bool = True

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
    if clean.isascii() and clean.isdigit() and len(clean) <= MAX_NUMBER_CHARS:
        return ExactNumber(Fraction(int(clean)))
    if len(clean) > MAX_NUMBER_CHARS or _NO_DIGIT.isdisjoint(clean):
        return None
    if clean.lstrip("+-$ ").startswith(("0,", "00,")):
        return None  # no groups of thousands
    match = _NUMBER.fullmatch(clean.replace("$", "$ ").rstrip(" $"))
    if not match:
        return None
    found = match.groupdict()
    value, step, power, is_value = _value(found)
    if value is None:
        return None
    if power:
        exponent = int(power.replace(" ", ""))
        if abs(exponent) > MAX_EXPONENT:
            return None
        value, step = value * Fraction(10) ** exponent, step * Fraction(10) ** exponent
    if (found["sign"] == "-") != (found["late_sign"] == "-"):
        value = -value
    rest = found["rest"]
    if scale := _SCALE.fullmatch(rest):
        factor, rest = _SCALES[scale.group(1).lower()], scale.group(2)
        value, step = value * factor, step * factor
    percent = False
    if sign := _PERCENT.fullmatch(rest):
        percent, rest = True, sign.group(1)
    unit = read_unit(rest)
    if unit is None:
        return None
    names, doubtful = unit
    if found["currency"]:
        names = _with_currency(_CURRENCIES[found["currency"].replace(" ", "").rstrip(".")], names)
        if names is None:
            return None
    return ExactNumber(value, step, percent, names, doubtful, is_value)


def _value(found: dict[str, str | None]) -> tuple[Fraction | None, Fraction, str | None, bool]:
    """The value without sign and scale, one unit in its last place, its power of ten, and whether it is
    reduced.
    """
    step = Fraction(0)
    if decimal := found["decimal"]:
        digits = decimal.replace(",", "").replace(" ", "")
        if "." in digits and len(digits.lstrip("0.").replace(".", "")) >= ROUNDED_DIGITS:
            step = Fraction(1, 10 ** len(digits.partition(".")[2]))
        return _fraction(decimal), step, found["exponent"] or found["tens_braced"] or found["tens"], True
    if tens := found["bare_tens_braced"] or found["bare_tens"]:
        return Fraction(1), step, tens, False
    if period := found["period"]:
        start = found["repeated"]
        size = 10 ** len(start.partition(".")[2])
        return _fraction(start) + Fraction(int(period), (10 ** len(period) - 1) * size), step, None, True
    bottom = _fraction(found["bottom"] or found["bottom_slash"])
    if bottom == 0:
        return None, step, None, False
    value = _fraction(found["top"] or found["top_slash"]) / bottom
    is_value = value.denominator > 1
    if whole := found["whole"] or found["whole_slash"]:
        if value < 0:
            return None, step, None, False
        value += _fraction(whole)
    return value, step, None, is_value


def _with_currency(currency: str, names: frozenset[tuple[str, int]]) -> frozenset[tuple[str, int]] | None:
    """The unit with the currency before the number; None for two currencies."""
    others = {name for name, _ in names} & {*_CURRENCIES.values(), "cent", "pence"}
    if others - {currency}:
        return None
    return names | {(currency, 1)}


def same_value(gold: Fraction, answer: Fraction, step: Fraction, rel_tol: float) -> bool:
    """Equal exactly, or rounded to ROUNDED_DIGITS digits or more, or within a tolerance asked for."""
    distance = abs(gold - answer)
    return (
        distance == 0 or 2 * distance <= step or bool(rel_tol and distance <= Fraction(rel_tol) * abs(gold))
    )


def numbers_equal(gold: ExactNumber, answer: ExactNumber, *, rel_tol: float = 0.0) -> bool:
    """Whether two numbers are the same answer.

    Units count only if both have one, and then whole. A percent sign on one side alone may stand for the
    hundredth or be part of the question ("how many percent"): 62.5% is 62.5 and 0.625, but 0.5% is not 0.5
    where the gold answer is a fraction of one. `rel_tol` is relative to the gold answer. An exact integer is
    never rounded.
    """
    if (gold.percent and answer.unit) or (answer.percent and gold.unit):
        return False
    if (gold.unit and answer.unit and gold.unit != answer.unit) or (
        (gold.doubtful or answer.doubtful) and gold.unit != answer.unit
    ):
        return False
    exact = gold.value.denominator == 1 and not gold.step
    step = Fraction(0) if exact else max(gold.step, answer.step)
    if gold.percent == answer.percent:
        return same_value(gold.value, answer.value, step, rel_tol)
    if gold.percent:
        return same_value(gold.value, answer.value, step, rel_tol) or same_value(
            gold.value / 100, answer.value, step, rel_tol
        )
    return same_value(gold.value, answer.value / 100, step, rel_tol) or (
        abs(gold.value) > 1 and same_value(gold.value, answer.value, step, rel_tol)
    )


_LABELLED = re2.compile(r"([^A-Za-z\\^_=<>]*[0-9]) ([a-z]{2,20}(?: [a-z]{2,20}){1,4})")
_TIME = re2.compile(r"(?i)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))? ?(?:([ap])\.? ?m\.?)?")


def read_labelled_number(gold: str) -> ExactNumber | None:
    """The number of a gold answer behind which stand words that are no unit (`17 any text`), or None.

    For gold answers alone: in what a model writes such words may change the number.
    """
    match = _LABELLED.fullmatch(gold) if len(gold) <= MAX_NUMBER_CHARS else None
    if not match or not NUMBER_WORDS.isdisjoint(match.group(2).split()):
        return None
    return read_number(match.group(1))


def time_of_day(clean: str) -> int | None:
    """The second of the day that `20:34`, `20:34:00` and `8:34 P.M.` name, or None."""
    match = _TIME.fullmatch(clean) if len(clean) <= 16 else None
    if not match:
        return None
    hour, minute, second = (int(match.group(k) or 0) for k in (1, 2, 3))
    half = (match.group(4) or "").lower()
    if minute > 59 or second > 59 or hour > (12 if half else 24) or (half and hour == 0):
        return None
    hour = hour % 12 + 12 * (half == "p") if half else hour
    return 3600 * hour + 60 * minute + second


def with_decimal_point(clean: str) -> ExactNumber | None:
    """The number that `1000,99` is where a comma is the decimal sign; None if it may have groups of
    thousands.
    """
    whole, comma, decimals = clean.rstrip(" $").partition(",")
    if not comma or not whole.lstrip("-").isdecimal() or not decimals.isdecimal() or not clean.isascii():
        return None
    if len(decimals) == 1 or (len(decimals) == 3 and len(whole.lstrip("-")) <= 3 and whole != "0"):
        return None  # `1,3` may be a list, `1,300` a whole number
    return read_number(f"{whole}.{decimals}")


_BASE_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_BASED = re2.compile(r"\(?([0-9A-Z]{1,60})\)? ?_ ?\{? ?\(? ?(?:base )?([0-9]{1,2}|[a-z]{3,6}) ?\)? ?\}?")


def read_based(clean: str) -> tuple[str, int] | None:
    """Digits and base of `204_5`, `(204)_{5}`, `204_{five}`, or None."""
    match = _BASED.fullmatch(clean) if len(clean) <= 80 and clean[:1] in "(0123456789" else None
    if not match or not match.group(1)[0].isdecimal():
        return None
    base = match.group(2)
    if not base.isdecimal():
        if base not in _BASE_WORDS:
            return None
        return match.group(1), _BASE_WORDS.index(base) + 2
    return match.group(1), int(base)
