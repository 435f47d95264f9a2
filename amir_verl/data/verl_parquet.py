"""Parquet files in verl's columns, which appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_REWARD_MODEL = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])

_ROWS_A_GROUP = 4096


def verl_schema(*more: tuple[str, pa.DataType], **extra_info: pa.DataType) -> pa.Schema:
    """Columns that verl's `RLHFDataset` reads, `more` of them, and the fields of `extra_info` behind index
    and split.
    """
    fields = {"index": pa.int64(), "split": pa.string()} | extra_info
    return pa.schema(
        [
            ("data_source", pa.string()),
            *more,
            ("prompt", _MESSAGES),
            ("ability", pa.string()),
            ("reward_model", _REWARD_MODEL),
            ("extra_info", pa.struct(list(fields.items()))),
        ]
    )


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
