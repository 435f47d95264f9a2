"""Write given responses with rankings as verl parquet, split into training and validation by prompt.

    amir-verl prepare-ranked answers.jsonl --out data/ranked

A row is {"prompt": text or chat messages, "responses": [texts], "rankings": [0 is best, ties allowed, null
is unranked]}. Writes OUT/ranked_train.parquet and OUT/ranked_validation.parquet. See docs/data.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from amir_verl.cli import complain
from amir_verl.data.prepare_ranked import length_lines, read_ranked, token_counter, write_ranked
from amir_verl.data.ranked import group_findings


def main(arguments: Sequence[str] | None = None, *, prog: str = "prepare_ranked") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="FILE", help=".jsonl, .json or .parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder for the parquet files")
    parser.add_argument("--validation-share", type=float, default=0.1, help="share of prompts held out (0.1)")
    parser.add_argument("--seed", type=int, default=0, help="which prompts are held out (0)")
    parser.add_argument("--limit", type=int, help="read at most this many rows")
    parser.add_argument("--tokenizer", help="name or folder: give lengths in tokens too")
    args = parser.parse_args(arguments)
    try:
        measures = {"characters": len}
        if args.tokenizer:
            measures["tokens"] = token_counter(args.tokenizer)
        groups = read_ranked(args.source, limit=args.limit)
        splits = write_ranked(groups, args.out, share=args.validation_share, seed=args.seed)
    except (ValueError, OSError) as error:
        return complain(prog, error)
    for split in splits:
        print(f"{split.split}: {len(split.groups)} rows -> {split.path}")
    validation = args.out / "ranked_validation.parquet"
    if len(splits) == 1 and validation.exists():
        print(f"{validation} is from an earlier run and may hold prompts of the new training file")
    for line in group_findings(groups):
        print(line)
    for unit, measure in measures.items():
        print("\n".join(length_lines(groups, unit=unit, measure=measure)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
