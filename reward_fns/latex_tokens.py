"""Text of an answer as tokens, in one pass over its characters, and the braces that belong together."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_SPACES = frozenset(" \n\t\r")


def tokens_of(text: str) -> list[str]:
    """The tokens, which joined give the text again, but for runs of white space, which become one space.

    A command with its letters (`\\frac`), a backslash with one other character (`\\{`), a run of letters, a
    run of digits, or one other character.
    """
    tokens, index, end = [], 0, len(text)
    while index < end:
        char = text[index]
        start = index
        index += 1
        if char == "\\":
            if index < end:
                if text[index] in _LETTERS:
                    while index < end and text[index] in _LETTERS:
                        index += 1
                else:
                    index += 1
            tokens.append(text[start:index])
        elif char in _LETTERS:
            while index < end and text[index] in _LETTERS:
                index += 1
            tokens.append(text[start:index])
        elif char in _DIGITS:
            while index < end and text[index] in _DIGITS:
                index += 1
            tokens.append(text[start:index])
        elif char in _SPACES:
            while index < end and text[index] in _SPACES:
                index += 1
            tokens.append(" ")
        else:
            tokens.append(char)
    return tokens


def word_set(words: str) -> frozenset[str]:
    """The words of a list that is written with spaces."""
    return frozenset(words.split())


def is_word(token: str) -> bool:
    """Whether the token is a run of letters."""
    return token[:1] in _LETTERS


def is_digits(token: str) -> bool:
    """Whether the token is a run of digits."""
    return token[:1] in _DIGITS


def is_command(token: str) -> bool:
    """Whether the token is a command with a name, such as `\\pi`."""
    return token[:1] == "\\" and token[1:2].isalpha()


def closing_braces(tokens: list[str]) -> dict[int, int]:
    """For the index of each `{` that is closed, the index of its `}`."""
    closing, opened = {}, []
    for index, token in enumerate(tokens):
        if token == "{":
            opened.append(index)
        elif token == "}" and opened:
            closing[opened.pop()] = index
    return closing


def is_balanced(text: str) -> bool:
    """Whether every bracket is closed, in order; round and square ones may close each other."""
    depth = 0
    for char in text:
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0
