"""A letter at the end of a name means one axis, whatever the file: the table is in CONTRIBUTING.md."""

import io
import re
import tokenize
from pathlib import Path

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


def test_every_suffix_is_in_the_table():
    unknown = [
        f"{path}: {suffix}" for path in FILES for suffix in suffixes(path) if not set(suffix) <= set(MEANINGS)
    ]
    assert len(FILES) > 300 and not unknown


def test_a_file_that_explains_a_letter_says_what_the_table_says():
    wrong, files = [], 0
    for path in FILES:
        explained = re.search(r"Shape suffixes: (.*?)\.\n", path.read_text(), re.DOTALL)
        if explained is None:
            continue
        files += 1
        said = dict(re.findall(r"\b_([A-Z])\b ([^_]+)", explained[1]))
        assert said, f"{path}: no letter is explained as `_N responses`"
        for letter, words in said.items():
            if not NOUNS[letter] & set(re.findall(r"[a-z]{4,}", words)):
                wrong.append(f"{path}: _{letter} is {MEANINGS[letter]}, not {words}")
    assert files > 10 and not wrong
