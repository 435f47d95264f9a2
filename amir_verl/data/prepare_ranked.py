"""Ranked responses to verl parquet: read, check, split, write (`amir-verl prepare-ranked`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from amir_verl.data.ranked import RankedGroup, parse_ranked, ranked_row, validation_prompts
from amir_verl.data.row_files import read_rows
from amir_verl.data.verl_parquet import staged_files, verl_schema, write_rows

RANKED_SCHEMA = verl_schema(
    ("agent_name", pa.string()), responses=pa.list_(pa.string()), rankings=pa.list_(pa.int64())
)


@dataclass(frozen=True)
class RankedSplit:
    """The groups of one split and the file they went to."""

    split: str
    path: Path
    groups: list[RankedGroup]


def read_ranked(source: Path, *, limit: int | None = None) -> list[RankedGroup]:
    """The groups of a JSON, JSON Lines or parquet file; `ValueError` names the file and the first bad row."""
    if limit is not None and limit < 1:
        raise ValueError(f"--limit is {limit}, expected 1 or more")
    groups = []
    for place, row in islice(tqdm(read_rows(source), desc=source.name, unit=" rows"), limit):
        try:
            groups.append(parse_ranked(row))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    return groups


def write_ranked(groups: list[RankedGroup], out: Path, *, share: float, seed: int) -> list[RankedSplit]:
    """Write `out/ranked_train.parquet` and, for a `share` above 0, `out/ranked_validation.parquet`.

    Both appear or, on any error, none.
    """
    held_out = validation_prompts(groups, share=share, seed=seed)
    members = {"train": [group for group in groups if group.prompt not in held_out]}
    if held_out:
        members["validation"] = [group for group in groups if group.prompt in held_out]
    splits = [RankedSplit(split, out / f"ranked_{split}.parquet", kept) for split, kept in members.items()]
    with staged_files([split.path for split in splits]) as staged:
        for split, path in zip(splits, staged, strict=True):
            numbered = enumerate(split.groups)
            rows = (ranked_row(group, split=split.split, index=index) for index, group in numbered)
            write_rows(path, rows, RANKED_SCHEMA)
    return splits


def token_counter(tokenizer: str) -> Callable[[str], int]:
    """Tokens of a text under a Hugging Face tokenizer (a name or a folder), without special tokens."""
    from transformers import AutoTokenizer  # takes seconds; only --tokenizer needs it

    encode = AutoTokenizer.from_pretrained(tokenizer).encode
    return lambda text: len(encode(text, add_special_tokens=False))


def length_lines(groups: list[RankedGroup], *, unit: str, measure: Callable[[str], int]) -> Iterator[str]:
    """Yield the spread of prompt and response lengths; a prompt is measured without its chat template."""
    prompts = ["\n".join(content for _, content in group.prompt) for group in groups]
    responses = [response for group in groups for response in group.responses]
    for what, texts in (("prompt", prompts), ("response", responses)):
        lengths = np.array([measure(text) for text in texts])
        middle, high = np.percentile(lengths, [50, 95])
        yield (
            f"{what} length in {unit}: {lengths.min()} to {lengths.max()}, "
            f"median {middle:.0f}, 95 % up to {high:.0f}"
        )
