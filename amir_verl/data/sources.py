"""Where the rows of a published set come from: the hub, or files on disk in the authors' layouts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from amir_verl.data.registry import MathSet
from amir_verl.data.row_files import SUFFIXES, PlacedRow, read_rows


def hub_rows(math_set: MathSet, split: str) -> Iterator[PlacedRow]:
    """Yield the rows of one split from the hub, its configurations joined in order.

    Any error of the hub client (no network, no such set, terms not accepted) becomes a `ValueError`.
    """
    from datasets import load_dataset  # takes 2 s; only the hub needs it

    for config in math_set.configs:
        place = f"{math_set.hub_id} {config} {math_set.splits[split]}"
        try:
            rows = load_dataset(math_set.hub_id, config, split=math_set.splits[split])
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{place}: not to be had from the hub ({reason}); give --source PATH") from error
        if len(rows) == 0:
            raise ValueError(f"{place}: has no rows")
        for number, row in enumerate(rows, start=1):
            yield f"{place} row {number}", row


def local_rows(files: list[Path]) -> Iterator[PlacedRow]:
    """Yield the rows of several files, one after the other."""
    return chain.from_iterable(read_rows(path) for path in files)


def local_splits(math_set: MathSet, source: Path) -> dict[str, list[Path]]:
    """Files of each split of `math_set` under `source`.

    `source` is a file, the set's folder, or a folder that holds it under one of its names. In the folder, or
    in its `data`, a split is `test.jsonl` (or .json, .parquet), `test-00000-of-00001.parquet`, or a folder
    `test` of such files. A set with one split may name its files anything. A file named after no split is the
    set's last split. `ValueError` if there is nothing to read.
    """
    if source.is_file():
        split = next((split for split in math_set.splits if _names_split(source, split)), None)
        return {split or list(math_set.splits)[-1]: [source]}
    if not source.is_dir():
        raise ValueError(f"{source}: no such file or folder")
    named = (source / name for name in (math_set.name, *math_set.local_names))
    folder = next((place for place in named if place.is_dir()), source)
    for place in (folder, folder / "data"):
        files = {split: _split_files(place, split) for split in math_set.splits}
        files = {split: paths for split, paths in files.items() if paths}
        if not files and len(math_set.splits) == 1:
            unnamed = sorted(path for path in place.glob(math_set.local_pattern) if path.suffix in SUFFIXES)
            files = {split: unnamed for split in math_set.splits if unnamed}
        if files:
            return files
    wanted = " or ".join(f"{split}{SUFFIXES[0]}" for split in math_set.splits)
    raise ValueError(f"{folder}: holds no {wanted} (nor .json, .parquet) for {math_set.name}")


def _names_split(path: Path, split: str) -> bool:
    starts = (f"{split}-", f"{split}_")
    return path.suffix in SUFFIXES and (path.stem == split or path.stem.startswith(starts))


def _split_files(folder: Path, split: str) -> list[Path]:
    if (folder / split).is_dir():
        # MATH has one problem per file, train/algebra/123.json: sort by number, not by name.
        files = (path for path in (folder / split).rglob("*") if path.suffix in SUFFIXES)
        return sorted(files, key=lambda path: (path.parent, len(path.stem), path.stem))
    return sorted(path for path in folder.glob("*") if _names_split(path, split))
