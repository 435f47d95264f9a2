"""Units beside a number, as a set of words in one spelling: `kmph` is `km/h`, and `cm` is not `m`."""

import re

_ALIASES = {
    "degree": "degrees deg",
    "radian": "radians rad",
    "minute": "minutes min mins",
    "second": "seconds sec secs s",
    "hour": "hours hr hrs h",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr yrs",
    "km/hour": "kmph kmh kph",
    "mile/hour": "mph",
    "km": "kms kilometer kilometers kilometre kilometres",
    "m": "meter meters metre metres",
    "cm": "cms centimeter centimeters centimetre centimetres",
    "mm": "millimeter millimeters millimetre millimetres",
    "nm": "nanometer nanometers nanometre nanometres",
    "mile": "miles mi",
    "foot": "feet ft",
    "inch": "inches",
    "yard": "yards yd yds",
    "g": "gram grams gm gms",
    "kg": "kgs kilogram kilograms",
    "mg": "milligram milligrams",
    "pound": "pounds lb lbs",
    "ounce": "ounces oz",
    "liter": "liters litre litres L l",
    "ml": "milliliter milliliters mL",
    "dollar": "dollars bucks USD",
    "cent": "cents",
    "rupee": "rupees Rs",
    "joule": "joules J",
    "newton": "newtons N",
    "watt": "watts W",
    "volt": "volts V",
    "hertz": "Hz",
    "ev": "eV",
    "mole": "moles mol",
    "angstrom": "angstroms",
    "unit": "units",
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in [name, *aliases.split()]}
_CANONICAL |= {
    alias.capitalize(): name for alias, name in _CANONICAL.items() if len(alias) > 2 and alias.islower()
}
# Single letters that are units, and not variables, when they stand behind a number.
_LETTERS = set("mgshLJNWVKCFAlMT")
# Words that make the text a condition or a second answer, not a unit.
_NO_UNIT = set(
    re.findall(
        "[a-z]+",
        """or not if when where for pi sqrt and but e i than maybe because since as so which that this he she
        they it is are was were will by to with from while after then""",
    )
)
_EMPTY = {"of", "the", "per", "a", "an", "in", "each", "square", "cubic", "sq", "cu", "unit", "total", "p"}
_DEGREE = re.compile(r"\^ ?\{ ?\\circ ?\}|\^ ?\\circ(?![A-Za-z])")
_MU = re.compile(r"\\mu ?")
_ANGSTROM = re.compile("\\\\(?:AA|r\\{A\\})|[\u00c5\u212b]")
_EXPONENT = re.compile(r"(?<=[A-Za-z]) ?(?:\^ ?\{ ?-?[0-9] ?\}|\^ ?-?[0-9]|[23](?![0-9]))")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z ./*()-]{0,60}")
_WORD = re.compile(r"[A-Za-z]+")


def read_unit(text: str) -> frozenset[str] | None:
    """The unit words of what follows a number; empty for nothing; None if it is no unit (`5x`, `5 \\pi`)."""
    if not text.strip(" ."):
        return frozenset()
    attached = text[0] != " "
    text = (
        _ANGSTROM.sub(" angstrom ", _MU.sub("u", _DEGREE.sub(" degree ", text)))
        .replace("{", " ")
        .replace("}", " ")
        .replace("\\cdot", " ")
    )
    if "^" in text or text[-1] in "23":
        text = _EXPONENT.sub("", text + " ")
    text = text.strip(" .-")
    if not _PLAIN.fullmatch(text):
        return None
    words = _WORD.findall(text)
    if any(word.lower() in _NO_UNIT or (len(word) == 1 and word not in _LETTERS | {"a"}) for word in words):
        return None
    if attached and not text.startswith(("degree", "angstrom")) and words[0] not in _CANONICAL:
        return None
    names = {_CANONICAL.get(word, word.lower()) for word in words}
    return frozenset(part for name in names for part in name.split("/") if part not in _EMPTY)


def units_agree(gold: frozenset[str], answer: frozenset[str]) -> bool:
    """Whether two sets of unit words can mean the same: one side has none, or they share a word."""
    return not gold or not answer or not gold.isdisjoint(answer)
