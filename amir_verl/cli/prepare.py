"""Write a published math set as verl parquet.

    amir-verl prepare gsm8k --out data
    amir-verl prepare olympiadbench --source downloads/olympiadbench --calibrated --out data

Writes OUT/NAME_SPLIT.parquet and prints what was read, written, left out, met twice, and shared between
training and evaluation files in OUT. See docs/data.md for the sets and the columns.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from amir_verl.cli import complain
from amir_verl.data.prepare import overlap_lines, prepare
from amir_verl.data.registry import MATH_SETS


def main(arguments: Sequence[str] | None = None, *, prog: str = "prepare_data") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(MATH_SETS)}")
    parser.add_argument("--source", default="hub", help="'hub', a file, or a folder in the authors' layout")
    parser.add_argument("--out", type=Path, required=True, help="folder for the parquet files")
    parser.add_argument("--calibrated", action="store_true", help="ask for an analysis and a confidence too")
    parser.add_argument("--limit", type=int, help="write at most this many rows a split")
    parser.add_argument(
        "--drop-duplicates", action="store_true", help="drop a question met before with the same answer"
    )
    args = parser.parse_args(arguments)
    try:
        if args.name.lower() not in MATH_SETS:
            raise ValueError(f"unknown set {args.name!r}, expected one of {', '.join(MATH_SETS)}")
        math_set = MATH_SETS[args.name.lower()]
        reports = prepare(
            math_set,
            source=None if args.source == "hub" else Path(args.source),
            out=args.out,
            calibrated=args.calibrated,
            limit=args.limit,
            drop_duplicates=args.drop_duplicates,
        )
    except (ValueError, OSError) as error:
        return complain(prog, error)
    print(
        f"{math_set.name}: for {math_set.purpose}, answer {math_set.answer_kind}, license {math_set.license}"
    )
    for report in reports:
        print("\n".join(report.lines(math_set, limit=args.limit, drop_duplicates=args.drop_duplicates)))
    for split in set(math_set.splits) - {report.split for report in reports}:
        print(f"{split}: not in {args.source}")
    print("\n".join(overlap_lines(reports)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
