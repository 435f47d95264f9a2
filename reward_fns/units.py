"""Units beside a number, from a list: `kmph` is `km/h`, `cm^2` is `square centimeters`, and `cm` is not `m`.

A word that is on no list is no unit, so that `3 dozen`, `3 squared` or `3 choose two` is not the number 3.
"""

from functools import lru_cache

from reward_fns.count_nouns import COUNT_NOUNS
from reward_fns.latex_tokens import is_digits, is_word, tokens_of, word_set

MAX_UNIT_CHARS = 80

_ALIASES = {
    "degree": "degrees deg degs",
    "radian": "radians rad rads",
    "second": "seconds sec secs s",
    "minute": "minutes min mins",
    "hour": "hours hr hrs h",
    "day": "days",
    "week": "weeks wk wks",
    "month": "months",
    "year": "years yr yrs",
    "century": "centuries",
    "meter": "meters metre metres m",
    "mile": "miles mi",
    "foot": "feet ft",
    "inch": "inches",
    "yard": "yards yd yds",
    "acre": "acres",
    "hectare": "hectares ha",
    "gram": "grams g gm gms",
    "ton": "tons",
    "tonne": "tonnes",
    "pound": "pounds lb lbs",
    "ounce": "ounces oz",
    "liter": "liters litre litres L l",
    "gallon": "gallons gal",
    "quart": "quarts qt",
    "pint": "pints pt",
    "cup": "cups",
    "tablespoon": "tablespoons tbsp tbs",
    "teaspoon": "teaspoons tsp",
    "dollar": "dollars bucks buck USD",
    "cent": "cents",
    "euro": "euros EUR",
    "pence": "penny pennies",
    "pound sterling": "GBP",
    "rupee": "rupees Rs INR",
    "yen": "JPY",
    "yuan": "RMB CNY",
    "peso": "pesos",
    "joule": "joules J",
    "calorie": "calories cal cals",
    "newton": "newtons N",
    "watt": "watts W",
    "volt": "volts V",
    "ampere": "amperes amp amps A",
    "ohm": "ohms",
    "coulomb": "coulombs C",
    "farad": "farads F",
    "tesla": "teslas T",
    "pascal": "pascals Pa",
    "bar": "bars",
    "atmosphere": "atmospheres atm",
    "hertz": "Hz",
    "electronvolt": "eV",
    "mole": "moles mol mols",
    "molar": "M",
    "kelvin": "kelvins K",
    "celsius": "",
    "fahrenheit": "",
    "angstrom": "angstroms",
    "parsec": "parsecs pc",
    "bit": "bits",
    "byte": "bytes",
    "erg": "ergs",
    "dyne": "dynes dyn",
    "gauss": "G",
    "kilo": "kilos",
    "knot": "knots",
    "unit": "units",
}
_PREFIXES = {"k": "kilo", "c": "centi", "m": "milli", "u": "micro", "n": "nano", "p": "pico"}
_PREFIXES |= {"M": "mega", "G": "giga", "T": "tera", "d": "deci"}
_PREFIXED_NAMES = (
    "meter gram liter watt joule volt ampere hertz pascal newton electronvolt mole byte bit second"
)
_PREFIXED_NAMES += " calorie parsec tesla ohm farad"
_PREFIXED_SYMBOLS = {
    "m": "meter",
    "g": "gram",
    "L": "liter",
    "l": "liter",
    "W": "watt",
    "J": "joule",
    "V": "volt",
}
_PREFIXED_SYMBOLS |= {"A": "ampere", "Hz": "hertz", "Pa": "pascal", "N": "newton", "eV": "electronvolt"}
_PREFIXED_SYMBOLS |= {
    "mol": "mole",
    "s": "second",
    "pc": "parsec",
    "cal": "calorie",
    "T": "tesla",
    "F": "farad",
}
_PRODUCTS = {"mph": {"mile": 1, "hour": -1}, "kmph": {"kilometer": 1, "hour": -1}, "cc": {"centimeter": 3}}
_PRODUCTS |= dict.fromkeys(["kmh", "kph"], _PRODUCTS["kmph"]) | {"mpg": {"mile": 1, "gallon": -1}}
_PRODUCTS |= {"rpm": {"revolution": 1, "minute": -1}, "kWh": {"kilowatt": 1, "hour": 1}}
# Words that say how the number is meant and change neither it nor its unit.
_FILLERS = word_set(
    """of the a an in total altogether left remaining more old tall long wide high deep away each overall
    combined only time apart further"""
)


# Before a noun that is counted (`5 distinct values`).
_ADJECTIVES = word_set(
    """distinct different positive possible whole real ordered unique consecutive blue red green yellow black
    white brown pink purple orange hot new old small large big total additional extra prime even integer such
    correct
    tennis complete full short long more"""
)


def _canonical() -> dict[str, str]:
    names = {alias: name for name, aliases in _ALIASES.items() for alias in [name, *aliases.split()]}
    for name in _PREFIXED_NAMES.split():
        for prefix in _PREFIXES.values():
            spellings = [name, f"{name}s"] + [f"{name[:-2]}re", f"{name[:-2]}res"] * name.endswith(("ter",))
            names |= dict.fromkeys((prefix + spelling for spelling in spellings), prefix + name)
    for symbol, name in _PREFIXED_SYMBOLS.items():
        names |= {letter + symbol: prefix + name for letter, prefix in _PREFIXES.items()}
    names |= {
        "kgs": "kilogram",
        "kms": "kilometer",
        "cms": "centimeter",
        "kilo": "kilogram",
        "kilos": "kilogram",
    }
    names |= {"min": "minute", "mins": "minute", "ft": "foot", "pt": "pint", "cd": "candela", "gal": "gallon"}
    long_names = {
        alias.capitalize(): name for alias, name in names.items() if len(alias) > 2 and alias.islower()
    }
    return long_names | names


_CANONICAL = _canonical()
_CURRENCIES = frozenset(["dollar", "cent", "euro", "pence", "pound sterling", "rupee", "yen", "yuan", "peso"])
_CURRENCY_SIGNS = {
    "$": "dollar",
    "\u20ac": "euro",
    "\u00a3": "pound sterling",
    "\u20b9": "rupee",
    "\u00a5": "yen",
}


@lru_cache(maxsize=4096)
def read_unit(text: str) -> tuple[frozenset[tuple[str, int]], bool] | None:
    """The unit of what follows a number: names and powers, and whether it may be a variable instead.

    Empty for nothing. None if it is no unit (`5x`, `5 \\pi`, `5 or 6`). A lone letter that is a unit and may
    be a variable (`5 m`) is doubtful: the unit counts only against the same unit.
    """
    text = text.rstrip()
    if not text.strip():
        return frozenset(), False
    if len(text) > MAX_UNIT_CHARS:
        return None
    tokens = tokens_of(text)
    attached = tokens[0] != " "
    powers: dict[str, int] = {}
    sign, next_power, doubtful = 1, 1, False
    last = last_written = None
    index = 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if token in (" ", "\\cdot", "*", "-", "\\times"):
            if token != " " and (last is None or index == len(tokens)):
                return None
        elif token in ("/", "per", "every"):
            sign = -1
            if index == len(tokens):
                return None
        elif token == "^":
            power, index = _power(tokens, index)
            if power is None:
                return None
            if power == "degree":
                last = "degree"
                powers[last] = powers.get(last, 0) + sign
            elif last is None:
                return None
            else:
                powers[last] += sign * (power - 1) if powers[last] * sign > 0 else 0
        elif token in ("squared", "cubed") and last and powers[last] == sign:
            powers[last] *= 2 if token == "squared" else 3
        elif token in ("2", "3") and last and tokens[index - 2] == last_written:
            powers[last] *= int(token)
        elif token in ("square", "sq", "Square"):
            next_power = 2
        elif token in ("cubic", "cu", "Cubic"):
            next_power = 3
        elif token == "." and last:
            continue
        elif token in ("{", "}", "(", ")"):
            if token in "()" and "/" not in tokens and "per" not in tokens:
                return None
        else:
            if token.lower() in _ADJECTIVES and _noun_follows(tokens, index):
                continue
            name, product = _name(token, tokens, index, last)
            if name is None and product is None:
                if not is_word(token) or token.lower() not in _FILLERS or (last is None and sign == 1):
                    return None
                continue
            if product:
                for part, power in product.items():
                    powers[part] = powers.get(part, 0) + sign * power
                last = next(iter(product))
            else:
                powers[name] = powers.get(name, 0) + sign * next_power
                doubtful |= len(token) == 1 and token.isalpha()
                last = name
            if attached and index == 1 and len(token) == 1 and token.isalpha() and "^" not in tokens[1:3]:
                return None
            last_written, next_power = token, 1
    if not powers or next_power != 1:
        return None
    # An area or a volume is no variable.
    if any(name in _CURRENCIES and abs(power) != 1 for name, power in powers.items()):
        return None  # `$18$ squared`
    doubtful &= len(powers) == 1 and not (last == "meter" and abs(powers[last]) in (2, 3))
    return frozenset((name, power) for name, power in powers.items() if power and name != "unit"), doubtful


def _name(
    token: str, tokens: list[str], index: int, last: str | None
) -> tuple[str | None, dict[str, int] | None]:
    """The unit that a token names, or the product of units that it abbreviates."""
    if last == "degree" and token in ("C", "F", "Celsius", "Fahrenheit", "celsius", "fahrenheit"):
        return {"c": "celsius", "f": "fahrenheit"}[token[0].lower()], None
    if token in ("\\AA", "\u00c5", "\u212b"):
        return "angstrom", None
    if token == "\\Omega":
        return "ohm", None
    if token == "\\circ":
        return "degree", None
    if token in _CURRENCY_SIGNS:
        return _CURRENCY_SIGNS[token], None
    if token in _PRODUCTS:
        return None, _PRODUCTS[token]
    if token in _CANONICAL:
        return _CANONICAL[token], None
    lower = token.lower()
    if lower in COUNT_NOUNS:
        return lower.removesuffix("s"), None
    return None, None


def _noun_follows(tokens: list[str], index: int) -> bool:
    """Whether a counted noun is the next word, or the one behind another adjective."""
    words = [token.lower() for token in tokens[index : index + 4] if token != " "]
    if words[:1] and words[0] in _ADJECTIVES:
        words = words[1:]
    return bool(words) and words[0] in COUNT_NOUNS


def _power(tokens: list[str], index: int) -> tuple[int | str | None, int]:
    """The exponent behind `^`: a small integer, or `degree`."""
    while index < len(tokens) and tokens[index] == " ":
        index += 1
    stop = index + 1
    if index < len(tokens) and tokens[index] == "{":
        while stop < len(tokens) and tokens[stop] != "}":
            stop += 1
        stop += 1
        content = "".join(tokens[index + 1 : stop - 1]).replace(" ", "")
    elif index + 1 < len(tokens) and tokens[index] == "-":
        content, stop = "-" + tokens[index + 1], index + 2
    else:
        content = tokens[index] if index < len(tokens) else ""
    if content == "\\circ":
        return "degree", stop
    digits = content.removeprefix("-")
    if len(digits) != 1 or not is_digits(digits):
        return None, stop
    return int(content), stop
