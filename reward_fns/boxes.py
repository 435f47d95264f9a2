"""The last `\\boxed{}` of a text; boxes that are joined into one list are one answer."""

from reward_fns.answer_text import canonical_text, clean_answer
from reward_fns.latex_tokens import is_digits, is_word, tokens_of, word_set
from reward_fns.sentence import DENYING_WORDS, NUMBER_WORDS, rejects, words_of
from reward_fns.units import read_unit

_COMMANDS = ("\\boxed", "\\fbox", "\\framebox")
_MAX_BOXES = 32
_MAX_BOX_CHARS = 4000
_MAX_GAP_CHARS = 120
_LIGHT = frozenset(
    ["$", "\\(", "\\)", "\\[", "\\]", ",", ";", "*", " ", "\\quad", "\\qquad", "\\,", "\\;", "\\ "]
)
_SPACES = frozenset([" ", "$", "\\(", "\\[", "~", "\\,", "\\;", "\\ ", "\\quad", "&", "{}"])
_LIGHT |= {"{", "}", "\\text", "\\textbf", "\\mathrm", "~", "\\hspace", "\\mbox", "&", "\\\\"}
# Words that make the next box another statement.
_TURNS = word_set(
    """no wait actually correction instead then so thus hence therefore which sorry rather oops but gives
    giving
    becomes simplifies means implies since because where let check verify recheck finally final"""
)
_ORDINALS = frozenset(["th", "st", "nd", "rd"])
_EQUALS = word_set("is are was be equal equals to exactly the a answer value")


def last_boxed(text: str) -> str | None:
    """The content of the last complete box, "" if it is denied where it stands; None if there is no box."""
    boxes = _boxes(text)
    if not boxes:
        return None
    start, end, content = boxes[-1]
    run, plain = [content], True
    for (before_start, before_end, before), (after_start, _, _) in zip(
        reversed(boxes[:-1]), reversed(boxes[1:]), strict=True
    ):
        gap = text[before_end:after_start]
        if not _joins(gap):
            break
        run.append(before)
        plain = plain and not any(map(is_word, tokens_of(gap)))
        start = before_start
    if _is_denied(text, start, end):
        return ""
    run.reverse()
    if len(run) == 1 or (plain and len({canonical_text(clean_answer(part)) for part in run}) == 1):
        return _with_continuation(run[-1], text[end : end + 60])
    return ", ".join(run)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of the last boxes, in order."""
    starts = []
    for command in _COMMANDS:
        position = len(text)
        for _ in range(_MAX_BOXES):
            position = text.rfind(command, 0, position)
            if position < 0:
                break
            starts.append((position, position + len(command)))
    boxes = []
    for start, end in sorted(starts)[-_MAX_BOXES:]:
        if text[end : end + 1].isalpha():
            continue
        content = _content(
            text, end + len(text[end:]) - len(text[end:].lstrip()) if text[end : end + 1].isspace() else end
        )
        if content and (not boxes or start >= boxes[-1][1]):
            boxes.append((start, content[1], content[0]))
    return boxes


def _content(text: str, position: int) -> tuple[str, int] | None:
    """The balanced `{...}` at `position`, or the single token after `\\boxed `, with its end."""
    if text[position : position + 1] != "{":
        stop = position
        while stop < len(text) and (text[stop].isdigit() or (text[stop] == "." and stop > position)):
            stop += 1
        if stop == position and text[position : position + 1].isalpha():
            stop += 1
        token = text[position:stop].rstrip(".")
        return (token, position + len(token)) if token else None
    end = _closing(text, position)
    if end is None:
        return None
    inner = text[position + 1 : end].strip()
    while inner.startswith("\\boxed{") and _closing(inner, 6) == len(inner) - 1:
        inner = inner[7:-1].strip()
    return (inner, end + 1) if inner else None


def _closing(text: str, position: int) -> int | None:
    """Where the brace at `position` is closed; by `\\}` if by nothing else (`\\boxed{185\\}`)."""
    depth, escaped = 0, None
    for index in range(position, min(len(text), position + _MAX_BOX_CHARS)):
        char = text[index]
        if char not in "{}":
            continue
        if text[index - 1] == "\\":
            escaped = index if escaped is None and depth == 1 and char == "}" else escaped
        else:
            depth += 1 if char == "{" else -1
            if depth == 0:
                return index
    return escaped


def _joins(gap: str) -> bool:
    """Whether what stands between two boxes makes them one list: nothing, commas, "and", or `y =`."""
    if len(gap) > _MAX_GAP_CHARS or "\n\n" in gap:
        return False
    tokens = tokens_of(gap)
    words = [token.lower() for token in tokens if is_word(token) and len(token) > 1]
    if not _TURNS.isdisjoint(words):
        return False
    if any(
        token in (".", "!", "?", ":", "\\Rightarrow", "\\implies", "\\to", "\\approx") for token in tokens
    ):
        return False
    if "=" in tokens and not ("or" in words or "and" in words or "," in tokens):
        return False
    return len(words) <= 8


def _is_denied(text: str, start: int, end: int) -> bool:
    """Whether the box is a part of a larger formula, a strict bound, or what the sentence says it is not."""
    before, after = text[max(0, start - 80) : start], text[end : end + 80]
    return _is_operand(before) or _goes_on(after) or _is_rejected(before, after)


def _is_operand(before: str) -> bool:
    """Whether what stands directly before the box makes a formula with it: `-`, `3 +`, `\\sqrt{`, `x <`, `5
    or`.
    """
    tokens = tokens_of(before)
    spaced = tokens[-1:] == [" "]
    tokens = [token for token in tokens if token not in _SPACES]
    last, previous = (["", "", *tokens])[-1], (["", "", *tokens])[-2]
    if last in (
        "^",
        "_",
        "<",
        "\\cdot",
        "\\times",
        "\\ne",
        "\\neq",
        "\\lt",
        "\\gt",
        "\\pm",
        "\\frac",
        "\\sqrt",
    ):
        return True
    if last in ("+", "/", ">"):
        return previous not in ("=", "-")
    if last == "-":
        return previous != "-" and (not spaced or is_digits(previous) or previous in (")", "}"))
    if last == "{":
        opener = previous if previous != "}" else "\\frac"
        return opener in ("^", "_", "\\frac", "\\sqrt", "\\binom", "\\log", "\\ln")
    if is_digits(last):
        return not spaced
    return last.lower() == "or" and _is_bare_number([token for token in tokens[:-1] if token != ","])


def _is_bare_number(tokens: list[str]) -> bool:
    """Whether the tokens end in a number that is no part of a calculation: `5 or`, and not `2^4, or`."""
    return bool(tokens) and is_digits(tokens[-1]) and tokens[-2:-1] not in (["^"], ["/"], ["*"], ["+"], ["-"])


def _goes_on(after: str) -> bool:
    """Whether a formula, another number or a question goes on directly behind the box: `x`, `.5`, `+ 1`, `or
    6`.
    """
    tokens = tokens_of(after)
    if not tokens:
        return False
    first, following = tokens[0], (tokens[1:2] or [""])[0]
    if is_digits(first) or (first == "." and is_digits(following)) or first in ("?", "'"):
        return True
    if is_word(first) and len(first) <= 2 and first not in _ORDINALS and read_unit(f" {first}") is None:
        return True
    tokens = [token for token in tokens if token not in _LIGHT]
    first, following = (*tokens, "", "")[:2]
    if first in ("+", "\\cdot", "\\times") and following:
        return True
    if first == "\\pm" and not is_digits(following):
        return True  # but `41585 \\pm 5730` gives an uncertainty
    return first.lower() in ("or", "vs", "versus") and is_digits(following)


def _is_rejected(before: str, after: str) -> bool:
    """Whether the words around the box deny it: `is not`, `cannot be`; `is wrong`, `fails`."""
    tokens = [token for token in tokens_of(before) if token not in _LIGHT]
    for token in reversed(tokens):
        word = token.lower()
        if word in DENYING_WORDS or (word == "t" and ("'" in tokens or "\u2019" in tokens)):
            return True
        if word not in _EQUALS:
            break
    words = words_of(after.partition("\n\n")[0])
    return rejects(words[:5]) or (
        words[:1] in (["is"], ["was"], ["cannot"]) and not DENYING_WORDS.isdisjoint(words[:3])
    )


def _with_continuation(content: str, after: str) -> str:
    """The content with what changes it directly behind the box: an exponent, `million`, `dozen`, `%`."""
    mark = "".join(token for token in tokens_of(after[:24]) if token not in (" ", "$", "{", "}"))
    if mark.startswith("^\\circ"):
        return content + "^{\\circ}"
    if mark.startswith("^\\prime") or mark.removeprefix("^").removeprefix("\\text")[:2] in _ORDINALS:
        return content
    if after.lstrip("$ ").startswith("^"):
        return content + "^?"
    if after[:1] in ("^", "_", "!") and after[:2] not in ("! ", "!\n", "!"):
        return content + after[:1] + "?"
    if after.startswith(("\\pi", "\\sqrt", "\\frac", "/")):
        return content + after[:5]
    tokens = [token for token in tokens_of(after) if token not in _LIGHT]
    if tokens and tokens[0].lower() in NUMBER_WORDS and len(tokens[0]) > 1:
        return f"{content} {tokens[0]}"
    if tokens[:1] in (["%"], ["\\%"]):
        return f"{content}%"
    return content
