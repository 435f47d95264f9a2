"""Words around a number in a sentence that make it no answer, or another number."""

from itertools import pairwise

from reward_fns.latex_tokens import is_word, tokens_of, word_set

# A sentence with one of them denies or doubts something; we do not find out what.
DENYING_WORDS = word_set(
    """not never neither nor cannot wrong incorrect incorrectly false untrue impossible doubt doubtful
    unlikely without except unless anything hardly scarcely mistaken mistake mistakenly error nope isn wasn
    aren doesn didn couldn wouldn shouldn hasn haven hadn isnt wasnt arent dont doesnt didnt cant couldnt
    wouldnt shouldnt wont no differ differs unable unsure unknown unclear rejected reject rejecting ruled
    exclude excluded excluding contradiction might suppose supposing assume assuming pretend imagine forgot
    forgetting guess
    guessing claims claimed says said could may"""
)
_NEGATIONS = frozenset(["not", "never", "cannot", "nor", "neither"])
_REJECTING = word_set(
    """wrong incorrect incorrectly false untrue impossible doubt doubtful unlikely mistake mistaken fails fail
    failed scratch kidding contradiction contradicts"""
)
_REJECTING_PAIRS = frozenset(
    [("give", "up"), ("gave", "up"), ("rule", "out"), ("ruled", "out"), ("is", "too")]
)
# Directly before "the answer is" they make it a condition, or another one's answer.
_CONDITIONS = word_set(
    "if suppose supposing assume assuming whether unless says said claims claimed pretend imagine"
)
# Before a number they make it a bound (`more than 5`, `at least 5`, `up to 5`).
_BOUNDING = word_set(
    """than least most over under above below beyond exceed exceeds exceeding exceeded nearly almost between
    within
    toward towards past until till barely but greater less fewer smaller larger"""
)
_BOUNDING_PAIRS = frozenset(
    [
        ("up", "to"),
        ("close", "to"),
        ("equal", "than"),
        ("short", "of"),
        ("shy", "of"),
        ("upwards", "of"),
        ("next", "to"),
        ("near", "to"),
        ("from", "to"),
        ("bounded", "by"),
        ("upward", "of"),
        ("lieu", "of"),
        ("instead", "of"),
        ("other", "than"),
        ("out", "of"),
        ("compared", "to"),
        ("far", "from"),
        ("raised", "to"),
        ("minimum", "of"),
        ("maximum", "of"),
        ("different", "from"),
        ("distinct", "from"),
        ("unequal", "to"),
        ("apart", "from"),
        ("aside", "from"),
    ]
)
_ALTERNATIVES = frozenset(["or", "either", "versus", "vs"])
# Directly before a number they make another number of it (`minus 3`, `twice 3`), or a label (`step 3`).
_CHANGING = word_set(
    """minus negative root twice double triple thrice half log ln sine cosine step case part question problem
    example figure table section chapter equation exercise no number attempt remainder modulo mod by choose
    power
    base add adding subtract subtracting multiply divide plus per every try raised else"""
)
_CHANGING_OF = word_set(
    """root square cube half third quarter fourth fifth tenth twice double triple reciprocal inverse negative
    opposite percent logarithm factorial multiple multiples power powers factor divisor fraction sine cosine
    tangent absolute complement"""
)
# In a name they make it the name of something else (`twice the answer = 5`).
CHANGING_WORDS = (_CHANGING | _CHANGING_OF) - word_set(
    "number no part base power case step question problem fraction factor divisor multiple complement square "
    "remainder figure table section figure by"
)
# Between two numbers they make a ratio, a range or a choice of them.
_BETWEEN = word_set(
    "to of for per by divided times over else otherwise then out through until versus vs r remainder"
)
_DOUBTS = word_set("maybe perhaps possibly alternatively otherwise either potentially conceivably")
# Between a bounding word and its number.
_LIGHT = word_set("the a an of to be is equal exactly about only just or")
_NUMERALS = word_set(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"""
)
# Words that, behind a number, make another number of it.
NUMBER_WORDS = _NUMERALS | word_set(
    """hundred hundreds thousand thousands million millions billion billions trillion trillions quadrillion
    dozen dozens score scores gross pair pairs couple couples half halves third thirds quarter quarters fourth
    fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth tenths hundredth
    hundredths thousandth thousandths millionth millionths tens squared cubed squares cubes root factorial
    point dot plus minus times over divided multiplied choose mod modulo percent percentage pct power powers
    exponent raised base fold myriad remainder lakh lakhs crore crores k kilo mega giga ish odd something twos
    threes fours fives sixes
    sevens eights nines st nd rd th x pi e radical log"""
) - {
    "score",
    "scores",
    "times",
    "over",
    "base",
    "odd",
    "squares",
    "cubes",
    "quarter",
    "quarters",
    "power",
    "powers",
}
# Behind a number they make it an answer for some cases, or not all of it.
_CONDITIONAL_ENDS = word_set(
    "if unless only when whenever assuming provided vs versus else otherwise out mil mils bn mn bil tn fails"
)
# The same if a number follows: `3 times 4`, `3 over 4`.
_JOINING = word_set("times over to by through and or plus minus divided multiplied")
_FRACTIONS = word_set("half halves third thirds quarter quarters fourth fourths fifth fifths tenth tenths")


def words_of(text: str) -> list[str]:
    """The words in lower case, without the commands of LaTeX; the `n't` of a verb is gone (`isn`)."""
    return [token.lower() for token in tokens_of(text) if is_word(token)]


def denies(text: str, *, weak: bool = True, at_start: bool = False) -> bool:
    """Whether a sentence denies or doubts something.

    `weak` counts every negated verb (`did not play`) too; without it only those near the number: the last
    words of what stands before it, or with `at_start` the first of what stands behind.
    """
    words = words_of(text)
    if rejects(words):
        return True
    if not weak:
        return not _NEGATIONS.isdisjoint(words[:2] if at_start else words[-2:])
    return not DENYING_WORDS.isdisjoint(words) or "n't" in text or "n\u2019t" in text


def rejects(words: list[str]) -> bool:
    """Whether the words say that something is wrong."""
    return not _REJECTING.isdisjoint(words) or not _REJECTING_PAIRS.isdisjoint(pairwise(words))


def names_another(words: list[str]) -> bool:
    """Whether a name of words names what is calculated from the answer: `square of the answer`."""
    return any(word in _CHANGING_OF and following == "of" for word, following in pairwise(words))


def is_condition(before: str) -> bool:
    """Whether the words directly before "the answer is" make it a condition or a quotation."""
    words = [
        word
        for word in words_of(before[-60:])
        if word not in ("the", "that", "final", "correct", "his", "her")
    ]
    return not _CONDITIONS.isdisjoint(words[-1:])


def bounds_what_follows(before: str, *, changing: bool = True) -> bool:
    """Whether the words directly before a number make it a bound, or with `changing` another number or a
    label.
    """
    words = words_of(before[-80:])
    if (changing and words) and (
        words[-1] in _CHANGING or (words[-1] == "of" and words[-2:-1] and words[-2] in _CHANGING_OF)
    ):
        return True
    if words[-1:] == ["and"] and words[-2:-1] and words[-2] in NUMBER_WORDS:
        return True  # `seven hundred and 7`
    for index in range(len(words) - 1, max(len(words) - 5, -1), -1):
        word = words[index]
        if word in _BOUNDING or (index and (words[index - 1], word) in _BOUNDING_PAIRS):
            return True
        if word not in _LIGHT:
            return False
    return False


def offers_alternatives(before: str) -> bool:
    """Whether an `or` or `either` stands before a number, behind another number."""
    words = words_of(before)
    has_number = any(char.isdigit() for char in before)
    if has_number and not _DOUBTS.isdisjoint(words):
        return True
    if has_number and not _BETWEEN.isdisjoint(_words_since_number(before)):
        return True
    first = next((index for index, word in enumerate(words) if word in _ALTERNATIVES), None)
    if first is None:
        return False
    return words[first] == "either" or has_number


def _words_since_number(before: str) -> list[str]:
    """The words between the last number of a text and its end, if they are few, or an `else` among them."""
    last = max(index for index, char in enumerate(before) if char.isdigit())
    words = words_of(before[last + 1 :])
    return words if len(words) <= 2 else [word for word in words if word in ("else", "otherwise")]


def is_taken_back(after: str) -> bool:
    """Whether what follows an answer offers another one or takes it back: `Or 6.`, `possibly 6`, `Actually,
    6`.
    """
    words = words_of(after[:200])
    if rejects(words[:12]):
        return True
    if words[:1] == ["but"] and any(char.isdigit() for char in after[:80]):
        return True
    if words[:1] and words[0] in (
        "or",
        "actually",
        "wait",
        "no",
        "alternatively",
        "correction",
        "sorry",
        "oops",
    ):
        return True
    return any(char.isdigit() for char in after[:200]) and not _DOUBTS.isdisjoint(words[:4])


def changes_number(after: str, *, conditions: bool = True) -> bool:
    """Whether the words directly behind a number make another number of it: `dozen`, `and a half`, `or so`.

    With `conditions` also where they make it the answer for some cases alone: `if n is even`.
    """
    tokens = [
        token.lower() for token in tokens_of(after[:60]) if token not in (" ", "*", "$", "\\)", "\\]", "-")
    ]
    if not tokens or not is_word(tokens[0]):
        return False
    first, following = tokens[0], tokens[1:4]
    if first in NUMBER_WORDS:
        return not (first in ("pair", "pairs") and following[:1] == ["of"])
    if first == "and" and following[:1] in (["change"], ["counting"], ["more"], ["some"]):
        return True
    if first in ("and", "plus") and following and not _FRACTIONS.isdisjoint(following):
        return True
    if first in ("or", "give") or (first == "at" and following[:1] in (["most"], ["least"])):
        return True
    if first in _JOINING and following:
        return following[0][0].isdigit() or following[0] in _NUMERALS or following[:2] == ["the", "power"]
    if (conditions and first in _CONDITIONAL_ENDS) or (first == "in" and following[:1] == ["base"]):
        return True
    return first == "is" and not DENYING_WORDS.isdisjoint(following)
