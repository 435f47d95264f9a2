"""Rows of JSON Lines, JSON and parquet files, each with its place for error messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

SUFFIXES = (".jsonl", ".json", ".parquet")

# "file row N" (N from 1, in JSON Lines the line number), and the row.
PlacedRow = tuple[str, dict[str, Any]]


def read_rows(path: Path) -> Iterator[PlacedRow]:
    """Yield the rows of one file in order; `ValueError` names the file and the damaged row."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown kind of file, expected {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    read = {".jsonl": _json_lines, ".json": _json, ".parquet": _parquet}[path.suffix]
    empty = True
    for place, row in read(path):
        empty = False
        if not isinstance(row, dict):
            raise ValueError(f"{place}: is {type(row).__name__}, expected an object with named fields")
        yield place, row
    if empty:
        raise ValueError(f"{path}: has no rows")


def _decoded(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not valid JSON: {error}") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # thousands of digits in an integer, or thousands of brackets
        raise ValueError(f"{place}: JSON that cannot be read: {error}") from None


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path} row {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{place}: not UTF-8: {error.reason} at byte {error.start}") from None
            if text:
                yield place, _decoded(text, place)


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    """A list of rows, a single row (MATH: one file a problem), or JSON Lines (as in AQuA's test.json)."""
    with path.open("rb") as file:
        opening = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if opening.startswith(b"["):
        document = _document(path)
        for number, row in enumerate(document, start=1):
            yield f"{path} row {number}", row
        return
    lines = _json_lines(path)
    try:
        first = next(lines, None)
    except ValueError:  # one object spread over several lines
        yield str(path), _document(path)
        return
    if first is not None:
        yield first
    yield from lines


def _document(path: Path) -> Any:
    try:
        return _decoded(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"{path}: not readable as parquet after row {number}: {line}") from None
