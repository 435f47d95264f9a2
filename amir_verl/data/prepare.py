"""A published set to verl parquet: read, check, count, write (`amir-verl prepare`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from amir_verl.data.author_formats import LeftOutError
from amir_verl.data.duplicates import SeenQuestions, overlaps, parquet_questions
from amir_verl.data.math_rows import MATH_SCHEMA, math_row, question_text
from amir_verl.data.registry import MathSet
from amir_verl.data.row_files import PlacedRow
from amir_verl.data.sources import hub_rows, local_rows, local_splits
from amir_verl.data.verl_parquet import staged_files, write_rows
from reward_fns.prompts import SYSTEM_PROMPTS

_SHOWN = 5  # rows a report names one by one; it always gives the count


@dataclass
class SplitReport:
    """What happened to one split: rows read, written, left out, and seen twice."""

    split: str
    path: Path
    read: int = 0
    written: int = 0
    left_out: list[str] = field(default_factory=list)
    seen: SeenQuestions = field(default_factory=SeenQuestions)

    def lines(self, math_set: MathSet, *, limit: int | None, drop_duplicates: bool) -> Iterator[str]:
        """Yield the report as lines of text."""
        yield f"{self.split}: {self.written} rows -> {self.path}"
        published = math_set.sizes[self.split]
        if limit is not None and self.written == limit:
            yield f"  stopped at --limit {limit} after {self.read} rows of the source"
        elif self.read != published:
            yield f"  {self.read} rows in the source, {published} where it was published"
        fate = "dropped" if drop_duplicates else "kept, --drop-duplicates drops them"
        yield f"  duplicates: {self.seen.repeated}" + (f" ({fate})" if self.seen.repeated else "")
        if self.seen.conflicting:
            yield f"  the same question with another answer: {self.seen.conflicting} (kept)"
        if self.left_out:
            yield f"  left out: {len(self.left_out)}"
            yield from (f"    {line}" for line in self.left_out[:_SHOWN])
            if len(self.left_out) > _SHOWN:
                yield f"    and {len(self.left_out) - _SHOWN} more"


def prepare(
    math_set: MathSet,
    *,
    source: Path | None,
    out: Path,
    calibrated: bool = False,
    limit: int | None = None,
    drop_duplicates: bool = False,
) -> list[SplitReport]:
    """Write `out/NAME_SPLIT.parquet` for each split of `math_set` that `source` has; None is the hub.

    All files appear together at the end or, on any error, none. `limit` counts rows written per split.
    `ValueError` names the file and row of the first damaged row.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"--limit is {limit}, expected 1 or more")
    if source is None:
        rows_of = {split: hub_rows(math_set, split) for split in math_set.splits}
    else:
        rows_of = {split: local_rows(files) for split, files in local_splits(math_set, source).items()}
    system_prompt = SYSTEM_PROMPTS["calibrated" if calibrated else "plain"]
    reports = [SplitReport(split, out / f"{math_set.name}_{split}.parquet") for split in rows_of]
    with staged_files([report.path for report in reports]) as staged:
        for report, path in zip(reports, staged, strict=True):
            kept = _kept_rows(rows_of[report.split], math_set, report, system_prompt, drop_duplicates)
            report.written = write_rows(path, islice(kept, limit), MATH_SCHEMA)
            if report.written == 0:
                raise ValueError(f"{math_set.name} {report.split}: no row is left; {report.left_out[0]}")
    return reports


def _kept_rows(
    rows: Iterable[PlacedRow],
    math_set: MathSet,
    report: SplitReport,
    system_prompt: str,
    drop_duplicates: bool,
) -> Iterator[dict[str, Any]]:
    index = 0
    for place, row in tqdm(rows, desc=f"{math_set.name} {report.split}", unit=" rows"):
        report.read += 1
        try:
            problem = math_set.parse(row)
        except LeftOutError as error:
            report.left_out.append(f"{place}: {error}")
            continue
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        if report.seen.is_repeat(question_text(problem), problem.answer) and drop_duplicates:
            continue
        yield math_row(
            problem,
            data_source=math_set.name,
            split=report.split,
            index=index,
            system_prompt=system_prompt,
        )
        index += 1


def overlap_lines(reports: list[SplitReport]) -> Iterator[str]:
    """Yield a line per pair of a training file and another file in the output folder, new or old."""
    new = {report.path: (report.split, set(report.seen.answers)) for report in reports}
    splits = {path.name: keys for path, keys in new.items()}
    for path in sorted(reports[0].path.parent.glob("*.parquet")):
        if path not in new:
            try:
                splits[path.name] = parquet_questions(path)
            except ValueError as error:
                yield str(error)
    names = {path.name for path in new}
    for train, other, shared in overlaps(splits):
        if train in names or other in names:
            yield f"overlap: {shared} questions of {train} are in {other}"
