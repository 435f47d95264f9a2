"""A finished run in one table and one picture."""

import argparse
import sys
from pathlib import Path

from amir_verl.demo.follow import is_accuracy
from amir_verl.evaluation.comparison.run_files import read_metrics

# Name in the table, metric of verl's loggers; None: the validation accuracy, whatever its data source.
ROWS = (
    ("validation accuracy", None),
    ("reward, training rollouts", "critic/score/mean"),
    ("pairs", "amir/num_pairs"),
    ("groups with a pair", "amir/pair_coverage"),
    ("pairs ranked right", "amir/pair_accuracy"),
    ("margin, nats a token", "amir/margin"),
    ("gradient ratio", "amir/grad_ratio"),
    ("lambda", "amir/lambda"),
)


def series(steps: dict[int, dict[str, float]], metric: str | None) -> tuple[list[int], list[float]]:
    """Steps and values of one metric, where it was logged."""
    found = {}
    for step, data in sorted(steps.items()):
        for name, value in data.items():
            if name == metric or (metric is None and is_accuracy(name)):
                found[step] = value
    return list(found), list(found.values())


def table(steps: dict[int, dict[str, float]]) -> str:
    """First and last value of each row that the run logged."""
    lines = [f"{'':28}{'first':>10}{'last':>10}"]
    for name, metric in ROWS:
        _, values = series(steps, metric)
        if values:
            lines.append(f"{name:28}{values[0]:>10.4g}{values[-1]:>10.4g}")
    return "\n".join(lines)


def picture(steps: dict[int, dict[str, float]], path: Path, *, title: str) -> None:
    """Four curves: accuracy, reward, margin, pairs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [row for row in (ROWS[0], ROWS[1], ROWS[5], ROWS[4]) if series(steps, row[1])[0]]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(3.6 * len(shown), 3.0), layout="constrained", squeeze=False
    )
    for axis, (name, metric) in zip(axes[0], shown, strict=True):
        x, y = series(steps, metric)
        axis.plot(x, y, color="#2b5c8a", linewidth=1.5, marker="o" if metric is None else None, markersize=4)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if metric is None:
            axis.set_ylim(0, 1.02)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="file of verl's file logger")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    try:
        steps = read_metrics(args.metrics)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    picture(steps, args.picture, title=args.title)
    print(table(steps))
    print(f"picture: {args.picture}")


if __name__ == "__main__":
    main()
