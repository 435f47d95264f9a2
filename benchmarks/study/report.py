"""Write the study's tables into docs/study.md, and its pictures beside it, from docs/study/*.parquet.

python -m benchmarks.study.report
"""

import argparse
import re
from itertools import product
from pathlib import Path

import pandas as pd

from amir_verl.evaluation.comparison.charts import chart_style
from benchmarks.study.charts import frontier_picture
from benchmarks.study.tables import SUFFIXES, TABLES, reporting, rows_of
from benchmarks.study.tasks import TASKS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "study.md"
# A table stands between `<!-- table: NAME ARGUMENTS -->` and `<!-- end -->`.
PICTURES = {"right_wrong": "", **{name: f"_{name}" for name in SUFFIXES}}  # setting -> end of the file's name
BLOCK = re.compile(r"(<!-- table: (\S+)((?: \S+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def read_rows(folder: Path) -> pd.DataFrame:
    """All rows of a folder's parquet files.

    Raises:
        ValueError: there are none.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise ValueError(f"{folder} holds no parquet file: python -m benchmarks.study --collect {folder}")
    return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)


def fill_page(page: str, rows: pd.DataFrame) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the page names a table that there is not.
    """

    def block(match: re.Match[str]) -> str:
        start, name, arguments, end = match.groups()
        if name not in TABLES:
            raise ValueError(f"no table {name!r}, there are {', '.join(TABLES)}")
        return f"{start}{TABLES[name](rows, *arguments.split())}\n{end}"

    return BLOCK.sub(block, page)


def write_pictures(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """A frontier picture for each task of the loop and setting of `PICTURES` that has reporting seeds."""
    written = []
    for task, (setting, mark) in product(sorted(set(rows["task"]) & set(TASKS)), PICTURES.items()):
        if len(rows_of(reporting(rows), task, setting)):
            with chart_style():
                written.append(folder / f"{task}{mark}.png")
                frontier_picture(rows, task, setting).savefig(written[-1], dpi=130)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="its rows lie in the folder of the same name")
    args = parser.parse_args()
    folder = args.page.with_suffix("")
    try:
        rows = read_rows(folder)
    except ValueError as error:
        parser.error(str(error))
    args.page.write_text(fill_page(args.page.read_text(), rows))
    pictures = write_pictures(rows, folder)
    runs = rows.groupby(["task", "reward", "arm", "seed"]).ngroups
    print(f"{args.page}: {runs} runs, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
