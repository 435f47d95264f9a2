"""Parquet in the columns that verl's `RLHFDataset` reads, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from amir_verl.data.author_formats import Problem

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_REWARD_MODEL = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])

# One schema for every set: verl joins the files of data.train_files with `concatenate_datasets`, which
# refuses columns of different types. A field that a set lacks is therefore null, not absent.
MATH_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", _MESSAGES),
        ("ability", pa.string()),
        ("reward_model", _REWARD_MODEL),
        (
            "extra_info",
            pa.struct(
                [
                    ("index", pa.int64()),
                    ("split", pa.string()),
                    ("id", pa.string()),
                    ("answer_kind", pa.string()),
                    ("options", pa.list_(pa.string())),
                    ("multiple_answers", pa.bool_()),
                    ("unit", pa.string()),
                    ("tolerance", pa.float64()),
                    ("subject", pa.string()),
                    ("level", pa.string()),
                ]
            ),
        ),
    ]
)

RANKED_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("agent_name", pa.string()),
        ("prompt", _MESSAGES),
        ("ability", pa.string()),
        ("reward_model", _REWARD_MODEL),
        (
            "extra_info",
            pa.struct(
                [
                    ("index", pa.int64()),
                    ("split", pa.string()),
                    ("responses", pa.list_(pa.string())),
                    ("rankings", pa.list_(pa.int64())),
                ]
            ),
        ),
    ]
)

_ROWS_A_GROUP = 4096


def question_text(problem: Problem) -> str:
    """The user message: the question, for a choice followed by its lettered options."""
    if not problem.options:
        return problem.question
    options = [f"({chr(ord('A') + index)}) {text}" for index, text in enumerate(problem.options)]
    return "\n".join([problem.question, "", "Options:", *options])


def math_row(
    problem: Problem, *, data_source: str, split: str, index: int, system_prompt: str
) -> dict[str, Any]:
    """`problem` as one row of `MATH_SCHEMA`; `index` counts the rows of the split from 0."""
    return {
        "data_source": data_source,
        "prompt": [
            {"role": "system", "content": system_prompt},
            {"role": "user", "content": question_text(problem)},
        ],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "index": index,
            "split": split,
            "id": problem.id,
            "answer_kind": problem.answer_kind,
            "options": list(problem.options),
            "multiple_answers": problem.multiple_answers,
            "unit": problem.unit,
            "tolerance": problem.tolerance,
            "subject": problem.subject,
            "level": problem.level,
        },
    }


@contextmanager
def staged_files(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Temporary paths beside `targets`; renamed to them if the block succeeds, removed otherwise."""
    for folder in {target.parent for target in targets}:
        folder.mkdir(parents=True, exist_ok=True)
    staged = [target.with_name(f".{target.name}.{os.getpid()}.part") for target in targets]
    try:
        yield staged
        for path, target in zip(staged, targets, strict=True):
            path.replace(target)
    finally:
        for path in staged:
            path.unlink(missing_ok=True)


def write_rows(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> int:
    """Write `rows` in groups, to keep memory small, and return how many there were."""
    rows, count = iter(rows), 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
