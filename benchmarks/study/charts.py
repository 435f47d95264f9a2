"""The frontier pictures: what is left of pass@8 and pass@64 while pass@1 rises. No file is touched."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from amir_verl.evaluation.comparison.charts import INK
from benchmarks.study.arms import title
from benchmarks.study.frontier import curves
from benchmarks.study.tables import arms_of, name_of, reporting, rows_of

COLORS = ("#8b9099", "#c4512d", "#2f6690", "#5b8c5a", "#8a5fa8", "#c79a2b", "#3aa6a0", "#b0598a")
COLORS += ("#6b4f2a", "#2b2f8f", "#a3b300", "#e07b7b")  # no two arms of a picture may look alike
FIGURES = ("pass@8", "pass@64")
MARGIN = 0.03


def frontier_picture(rows: pd.DataFrame, task: str, setting: str = "right_wrong") -> Figure:
    """pass@k over pass@1 while training: a faint line a seed, their mean at each step in front."""
    part = rows_of(reporting(rows), task, setting)
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, name in zip(axes, FIGURES, strict=True):
        means: list[pd.DataFrame] = []
        for index, arm in enumerate(arms_of(part)):
            color, runs = COLORS[index], curves(part, arm)
            line = "o--" if arm.startswith("grpo+") else "o-"  # rivals are dashed
            for run in runs.values():
                axis.plot(run["pass@1"], run[name], color=color, lw=0.7, alpha=0.25)
            steps = set.intersection(*(set(run["step"]) for run in runs.values()))
            table = pd.concat(runs.values())
            mean = table[table["step"].isin(steps)].groupby("step")[["pass@1", name]].mean()
            axis.plot(mean["pass@1"], mean[name], line, color=color, lw=1.8, ms=3, label=title(arm))
            means.append(mean)
        # What single seeds do outside (a collapse, say) would press the rest together.
        around = pd.concat(means)
        axis.set_xlim(around["pass@1"].min() - MARGIN, around["pass@1"].max() + MARGIN)
        axis.set_ylim(around[name].min() - MARGIN, around[name].max() + MARGIN)
        first = mean.iloc[0]
        axis.plot(first["pass@1"], first[name], "o", color=INK, ms=6)
        axis.annotate(
            "first model", (first["pass@1"], first[name]), (6, 6), textcoords="offset points", fontsize=8
        )
        axis.set_xlabel("pass@1")
        axis.set_ylabel(name)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
            side.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[1].legend(fontsize=7)
    figure.suptitle(name_of(task, setting), fontsize=10)
    return figure
