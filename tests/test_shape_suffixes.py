"""A letter at the end of a name means one axis, whatever the file: the table is in CONTRIBUTING.md."""

import io
import re
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("amir_verl", "benchmarks", "reward_fns", "tests")
FILES = [path for room in ROOMS for path in sorted((REPOSITORY / room).rglob("*.py"))]
SUFFIXED = re.compile(r"[a-z][a-z0-9_]*_([A-Z]{1,3})")
TABLE = (REPOSITORY / "CONTRIBUTING.md").read_text().partition("## Shape suffixes")[2].partition("## Add")[0]
MEANINGS = dict(re.findall(r"`([A-Z])` \| ([^|]+?) \|", TABLE))
# A letter and the nouns that may explain it at the top of a file.
NOUNS = {letter: set(re.findall(r"[a-z]{4,}", meaning)) for letter, meaning in MEANINGS.items()}


def suffixes(path: Path) -> set[str]:
    names = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    found = (SUFFIXED.fullmatch(token.string) for token in names if token.type == tokenize.NAME)
    return {match[1] for match in found if match}


def test_the_table_has_a_line_a_letter():
    letters = re.findall(r"`([A-Z])` \|", TABLE)
    assert len(letters) == len(set(letters)) == len(MEANINGS) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_suffix_is_in_the_table(path):
    unknown = {suffix for suffix in suffixes(path) if not set(suffix) <= set(MEANINGS)}
    assert not unknown


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_that_explains_a_letter_says_what_the_table_says(path):
    text = path.read_text()
    explained = re.search(r"Shape suffixes: (.*?)\.\n", text, re.DOTALL)
    if explained is None:
        return
    said = dict(re.findall(r"\b_([A-Z])\b ([^_]+)", explained[1]))
    assert said, "no letter is explained as `_N responses`"
    for letter, words in said.items():
        assert NOUNS[letter] & set(re.findall(r"[a-z]{4,}", words)), (
            f"_{letter} is {MEANINGS[letter]}, not {words}"
        )
