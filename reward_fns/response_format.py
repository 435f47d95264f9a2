"""The tags of the formats that `prompts` asks for: which are there, in what order, with what confidence."""

import re2

PLAIN_TAGS = ("think", "answer")
CALIBRATED_TAGS = ("think", "answer", "analysis", "confidence")

_CONFIDENCE = re2.compile(r"[ \t\n]*(0|1|0?\.[0-9]{1,20}|0\.|1\.0{0,20})[ \t\n]*")


def format_tags(calibrated: bool) -> tuple[str, ...]:
    """The tags of a format, in order."""
    return CALIBRATED_TAGS if calibrated else PLAIN_TAGS


def tag_content(response: str, tag: str) -> str | None:
    """What stands in the last `<tag>...</tag>`, or None."""
    end = response.rfind(f"</{tag}>")
    start = response.rfind(f"<{tag}>", 0, end) if end >= 0 else -1
    return response[start + len(tag) + 2 : end] if start >= 0 else None


def tags_once(response: str, tags: tuple[str, ...]) -> int:
    """How many of the opening and closing tags occur exactly once; at most two for each tag."""
    return sum(response.count(mark) == 1 for tag in tags for mark in (f"<{tag}>", f"</{tag}>"))


def trailing_chars(response: str, tags: tuple[str, ...]) -> int:
    """The length of the text after the last closing tag of the format; 0 if that tag is missing."""
    mark = f"</{tags[-1]}>"
    end = response.rfind(mark)
    return len(response[end + len(mark) :].strip()) if end >= 0 else 0


def is_strict(response: str, tags: tuple[str, ...]) -> bool:
    """Every tag once and in order, none of them empty, nothing outside, and a confidence from 0 to 1."""
    if tags_once(response, tags) != 2 * len(tags):
        return False
    position = 0
    for tag in tags:
        start, end = response.find(f"<{tag}>"), response.find(f"</{tag}>")
        content = response[start + len(tag) + 2 : end]
        if start < position or end < start or response[position:start].strip() or not content.strip():
            return False
        position = end + len(tag) + 3
    if response[position:].strip():
        return False
    return "confidence" not in tags or stated_confidence(response) is not None


def stated_confidence(response: str) -> float | None:
    """The number from 0 to 1 in `<confidence>`, or None if there is none."""
    content = tag_content(response, "confidence")
    match = _CONFIDENCE.fullmatch(content) if content is not None and len(content) < 100 else None
    return float(match.group(1)) if match else None
