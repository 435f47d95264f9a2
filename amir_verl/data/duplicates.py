"""Questions that occur twice, within a split or across two: equal text up to spacing and math delimiters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pyarrow
import pyarrow.parquet

# Copies of one problem differ in line breaks and in $..$ against \(..\). Case, signs and digits matter.
_NOT_MEANING = re.compile(r"\s+|\$|\\[()\[\]]")


def question_key(question: str) -> bytes:
    """16 bytes that are equal for equal questions: a whole set fits in memory."""
    text = _NOT_MEANING.sub("", unicodedata.normalize("NFC", question))
    return blake2b(text.encode(), digest_size=16).digest()


@dataclass
class SeenQuestions:
    """The questions seen so far, each with its first answer."""

    answers: dict[bytes, str] = field(default_factory=dict)
    repeated: int = 0
    conflicting: int = 0

    def is_repeat(self, question: str, answer: str) -> bool:
        """Count the question; True if it was seen before with the same answer."""
        key = question_key(question)
        if key not in self.answers:
            self.answers[key] = answer
            return False
        same = self.answers[key] == answer
        self.repeated += same
        self.conflicting += not same
        return same


def parquet_questions(path: Path) -> tuple[str, set[bytes]]:
    """Split (from `extra_info`) and question keys of a file we wrote; `ValueError` for any other file."""
    keys: set[bytes] = set()
    split = ""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["prompt", "extra_info"]):
                for row in batch.to_pylist():
                    split = row["extra_info"]["split"]
                    keys.add(question_key(row["prompt"][-1]["content"]))
    except (pyarrow.ArrowException, OSError, KeyError, IndexError, TypeError):
        raise ValueError(f"{path}: not compared, because it is no file of prompts") from None
    return split, keys


def overlaps(splits: dict[str, tuple[str, set[bytes]]]) -> Iterator[tuple[str, str, int]]:
    """Yield (training file, other file, shared questions) for all pairs; `splits`: file to split and keys."""
    for train, (train_split, train_keys) in splits.items():
        for other, (other_split, other_keys) in splits.items():
            if train_split == "train" and other_split != "train":
                yield train, other, len(train_keys & other_keys)
