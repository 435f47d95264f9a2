"""A finished run in one table and one picture: what it solves in one try and in many, and AMIR's metrics.

Shape suffixes: _I validations.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from amir_verl.evaluation.comparison.pass_curves import PassCurve, pass_curve, shared_ks
from amir_verl.evaluation.comparison.run_files import run_metrics

Course = tuple[np.ndarray, np.ndarray]  # steps, values

# Name in the table and the picture -> metric of verl's loggers.
METRICS = {
    "reward, training rollouts": "critic/score/mean",
    "pairs": "amir/num_pairs",
    "groups with a pair": "amir/pair_coverage",
    "pairs ranked right": "amir/pair_accuracy",
    "distinct right answers a group": "amir/distinct_right",
    "margin, nats a token": "amir/margin",
    "gradient ratio": "amir/grad_ratio",
    "lambda": "amir/lambda",
}
_DRAWN = ("reward, training rollouts", "margin, nats a token")


def courses(metrics: dict[str, Course], curve: PassCurve | None) -> dict[str, Course]:
    """Name -> course of every figure that the run has: pass@1 and pass@k of its validations first."""
    found = {}
    if curve:
        for k in (1, *shared_ks([curve])):
            found[f"pass@{k}"] = curve.step_I, curve.rates[k]
    return found | {name: metrics[metric] for name, metric in METRICS.items() if metric in metrics}


def table(figures: dict[str, Course]) -> str:
    """First and last value of each."""
    lines = [f"{'':32}{'first':>10}{'last':>10}"]
    lines += [f"{name:32}{values[0]:>10.4g}{values[-1]:>10.4g}" for name, (_, values) in figures.items()]
    return "\n".join(lines)


def picture(figures: dict[str, Course], path: Path, *, title: str) -> None:
    """A panel for each pass@k, the reward and the margin."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [name for name in figures if name.startswith("pass@") or name in _DRAWN]
    figure, axes = plt.subplots(
        1, max(1, len(shown)), figsize=(3.6 * max(1, len(shown)), 3.0), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[0], shown, strict=False):
        steps, values = figures[name]
        rate = name.startswith("pass@")
        axis.plot(steps, values, color="#2b5c8a", linewidth=1.5, marker="o" if rate else None, markersize=4)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if rate:
            axis.set_ylim(0, 1.02)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="directory with verl's metrics file and validation dumps")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    try:
        figures = courses(run_metrics(args.run), pass_curve(args.run, name=args.run.name))
        if not figures:
            raise ValueError(f"{args.run}: holds no metrics of verl")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    picture(figures, args.picture, title=args.title)
    print(table(figures))
    print(f"picture: {args.picture}")


if __name__ == "__main__":
    main()
