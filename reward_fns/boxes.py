"""The last `\\boxed{}` of a text; boxes that are joined into one list are one answer."""

from reward_fns.answer_text import canonical_text, clean_answer
from reward_fns.latex_tokens import is_command, is_word, tokens_of, word_set
from reward_fns.sentence import DENYING_WORDS, NUMBER_WORDS

_COMMANDS = ("\\boxed", "\\fbox", "\\framebox")
_MAX_BOXES = 32
_MAX_BOX_CHARS = 4000
_MAX_GAP_CHARS = 120
_LIGHT = frozenset(
    ["$", "\\(", "\\)", "\\[", "\\]", ",", ";", "*", " ", "\\quad", "\\qquad", "\\,", "\\;", "\\ "]
)
_LIGHT |= {"{", "}", "\\text", "\\textbf", "\\mathrm", "~", "\\hspace", "\\mbox", "&", "\\\\"}
# Words that make the next box another statement.
_TURNS = word_set(
    """no wait actually correction instead then so thus hence therefore which sorry rather oops but gives giving
    becomes simplifies means implies since because where let check verify recheck finally final"""
)
_BEFORE = ("-", "+", "/", "^", "_", "<", ">")
_BEFORE_COMMANDS = ("\\cdot", "\\times", "\\ne", "\\neq", "\\lt", "\\gt", "\\not=", "\\nsim")
_EQUALS = word_set("is are was be equal equals to exactly the a answer value")


def last_boxed(text: str) -> str | None:
    """The content of the last complete box, "" if it is denied where it stands; None if there is no box."""
    boxes = _boxes(text)
    if not boxes:
        return None
    start, end, content = boxes[-1]
    run = [content]
    for (before_start, before_end, before), (after_start, _, _) in zip(
        reversed(boxes[:-1]), reversed(boxes[1:]), strict=True
    ):
        if not _joins(text[before_end:after_start]):
            break
        run.append(before)
        start = before_start
    if _is_denied(text, start, end):
        return ""
    run.reverse()
    if len({canonical_text(clean_answer(part)) for part in run}) == 1:
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
    before = text[max(0, start - 60) : start]
    attached = before.rstrip(" ")
    if attached.endswith(("<", ">")) or attached.endswith(_BEFORE_COMMANDS):
        return not attached.endswith(("=>", "->"))
    if before.endswith(_BEFORE) and not before.endswith(("--", " -\n")):
        return True
    tokens = [token for token in tokens_of(before) if token not in _LIGHT]
    for token in reversed(tokens):
        word = token.lower()
        if word in DENYING_WORDS or word == "'t" or (word == "t" and "'" in tokens):
            return True
        if word not in _EQUALS:
            break
    after = [token.lower() for token in tokens_of(text[end : end + 60]) if token not in _LIGHT][:3]
    return after[:1] in (["is"], ["was"], ["isn"], ["cannot"], ["can"]) and not DENYING_WORDS.isdisjoint(
        after
    )


def _with_continuation(content: str, after: str) -> str:
    """The content with what changes it directly behind the box: an exponent, `million`, `dozen`, `percent`."""
    if after[:1] in ("^", "_", "!") and after[:2] != "! ":
        return content + after[:1] + "?"
    if after.startswith(("\\pi", "\\sqrt", "\\frac", "/")):
        return content + after[:5]
    tokens = [token for token in tokens_of(after) if token not in _LIGHT]
    if tokens and (tokens[0].lower() in NUMBER_WORDS and len(tokens[0]) > 1):
        return f"{content} {tokens[0]}"
    if tokens[:1] in (["%"], ["\\%"]):
        return f"{content}%"
    return content
