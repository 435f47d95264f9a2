"""Write the study's tables into its page, and its pictures beside it, from the rows of its runs.

python -m benchmarks.study.report     (docs/study.md from docs/study/runs.parquet)
python -m benchmarks.study.report --runs outputs/study/runs.parquet --page outputs/study/page.md
"""

import argparse
import re
from pathlib import Path

import pandas as pd

from amir_verl.evaluation.comparison.charts import chart_style
from benchmarks.study import charts
from benchmarks.study.grid import ARMS, REPOSITORY
from benchmarks.study.tables import TABLES, TRAINERS, figures

PAGE = REPOSITORY / "docs" / "study.md"
RUNS = REPOSITORY / "docs" / "study" / "runs.parquet"
# A table of a page stands between `<!-- table: NAME -->` and `<!-- end -->`, NAME.CELL for one cell.
BLOCK = re.compile(r"(<!-- table: (\S+?)(?: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)
EMPTY_PAGE = "\n\n".join(f"<!-- table: {name} -->\n<!-- end -->" for name in TABLES) + "\n"


def shared_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the seeds that every arm of their cell has: means over different seeds compare nothing."""
    cell = ["trainer", "cell"]
    arms = rows.groupby(cell)["arm"].transform("nunique")
    return rows[rows.groupby([*cell, "seed"])["arm"].transform("nunique") == arms]


def fill_page(page: str, rows: pd.DataFrame) -> str:
    """The page with the tables of these runs, on the seeds that all arms of a cell have.

    Raises:
        ValueError: the page names a table that there is not.
    """
    table = figures(shared_seeds(rows))

    def block(match: re.Match[str]) -> str:
        start, name, cell, end = match.groups()
        if name not in TABLES:
            raise ValueError(f"no table {name!r}, there are {', '.join(TABLES)}")
        part = table[table["trainer"].isin(TRAINERS.get(name, ("verl",)))]
        part = part if cell is None else part[part["cell"] == cell]
        return f"{start}{TABLES[name](part)}\n{end}"

    return BLOCK.sub(block, page)


def write_pictures(rows: pd.DataFrame, folder: Path) -> None:
    """learning.png, margins.png and entropies.png of verl's runs, differences.png of the loop's."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = shared_seeds(rows)
    verl, loop = (rows[rows["trainer"] == trainer] for trainer in ("verl", "loop"))
    pictures = {
        "learning": lambda: charts.learning_curves(verl),
        "differences": lambda: charts.differences(figures(loop)),  # the trainer that has many arms
        "margins": lambda: charts.margins(verl),
        "entropies": lambda: charts.entropies(verl),
    }
    for name, draw in pictures.items():
        if (loop if name == "differences" else verl).empty:
            continue
        with chart_style():
            draw().savefig(folder / f"{name}.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=Path, nargs="+", default=[RUNS], help="rows of one or several grids")
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), help="leave the others out")
    parser.add_argument("--page", type=Path, default=PAGE, help="made where it is missing")
    args = parser.parse_args()
    missing = [path for path in args.runs if not path.exists()]
    if missing:
        parser.error(f"{missing[0]} is missing: python -m benchmarks.study makes it")
    rows = pd.concat([pd.read_parquet(path) for path in args.runs], ignore_index=True)
    if args.arms:
        rows = rows[rows["arm"].isin(args.arms)]
    page = args.page.read_text() if args.page.exists() else EMPTY_PAGE
    args.page.write_text(fill_page(page, rows))
    write_pictures(rows, args.page.with_suffix(""))
    print(f"{args.page}: {len(rows)} runs")


if __name__ == "__main__":
    main()
