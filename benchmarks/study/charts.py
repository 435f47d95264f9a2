"""The study's four pictures, from the rows of its runs. No file is touched.

Shape suffixes: R runs of an arm, V validations, S steps.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from amir_verl.evaluation.comparison.charts import INK, MUTED, moving_average
from benchmarks.study.differences import paired_difference
from benchmarks.study.grid import ARMS, LEARNING_RATE

COLORS = ("#8b9099", "#2f6690", "#c4512d", "#5b8c5a", "#8a5fa8", "#c79a2b")
WINDOW = 9  # steps of the moving average


def _arms(rows: pd.DataFrame) -> dict[str, str]:
    """Arms of the rows in the grid's order, with a colour each."""
    present = [arm for arm in ARMS if arm in set(rows["arm"])]
    return {arm: COLORS[i % len(COLORS)] for i, arm in enumerate(present)}


def _band(axis: Axes, x_V: Sequence[float], curves_RV: np.ndarray, color: str, label: str) -> None:
    """Mean over seeds, and the range of the seeds."""
    axis.fill_between(x_V, np.nanmin(curves_RV, 0), np.nanmax(curves_RV, 0), color=color, alpha=0.13, lw=0)
    axis.plot(x_V, np.nanmean(curves_RV, 0), color=color, lw=1.8, label=label)


def _panels(cells: list[str], height: float = 3.0) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(max(6.4, 4.4 * len(cells)), height), layout="constrained")
    axes = list(figure.subplots(1, len(cells), squeeze=False)[0])
    for axis, cell in zip(axes, cells, strict=True):
        axis.set_title(cell.replace("-", ", ").replace("_", "/"))
    return figure, axes


def learning_curves(rows: pd.DataFrame) -> Figure:
    """Held-out accuracy over steps; the band spans the seeds."""
    cells = sorted(set(rows["cell"]))
    figure, axes = _panels(cells)
    for axis, cell in zip(axes, cells, strict=True):
        part = rows[rows["cell"] == cell]
        for arm, color in _arms(rows).items():
            runs = part[part["arm"] == arm]
            if len(runs):
                curves_RV = np.stack(list(runs["pass@1"]))
                _band(axis, runs["steps"].iloc[0], curves_RV, color, ARMS[arm].title)
        axis.set_xlabel("step")
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel("held-out accuracy")
    axes[0].legend(fontsize=8)
    return figure


def differences(table: pd.DataFrame) -> Figure:
    """Accuracy and pass@8 at the end against the baseline, with bootstrap intervals over seeds."""
    cells = sorted(set(table["cell"]))
    # Another learning rate moves accuracy by ten times what the other arms do; its figures are in the table.
    arms = [
        arm for arm in _arms(table) if ARMS[arm].against != arm and ARMS[arm].learning_rate == LEARNING_RATE
    ]
    figure, axes = _panels(cells, 1.0 + 0.42 * max(len(arms), 2))
    outcomes = {"accuracy": (COLORS[1], 0.13), "pass@8": (COLORS[2], -0.13)}
    for axis, cell in zip(axes, cells, strict=True):
        rows = table[table["cell"] == cell]
        for place, arm in enumerate(reversed(arms)):
            for outcome, (color, shift) in outcomes.items():
                found = paired_difference(rows, arm, ARMS[arm].against, outcome)
                if found:
                    ends = [100 * found.low, 100 * found.high]
                    axis.plot(ends, [place + shift] * 2, color=color, lw=2)
                    axis.plot(100 * found.mean, place + shift, "o", color=color, ms=5)
        axis.axvline(0, color=MUTED, lw=1)
        axis.set_yticks(range(len(arms)), [ARMS[arm].title for arm in reversed(arms)], color=INK)
        axis.set_ylim(-0.6, len(arms) - 0.4)
        axis.set_xlabel("points against the baseline, 95 % over seeds")
    for axis in axes[1:]:
        axis.set_yticklabels([])
    for outcome, (color, _) in outcomes.items():  # whatever the first panel has of them
        axes[0].plot([], [], "o", color=color, ms=5, label=outcome)
    axes[0].legend(fontsize=8)
    return figure


def margins(rows: pd.DataFrame) -> Figure:
    """Mean log-probability a token of the better over the worse response of a pair, over training."""
    return _step_curves(rows, "margin", "margin, nats a token")


def entropies(rows: pd.DataFrame) -> Figure:
    """Entropy of the policy over training."""
    return _step_curves(rows, "entropy", "entropy, nats a token")


def _step_curves(rows: pd.DataFrame, column: str, label: str) -> Figure:
    cells = sorted(set(rows["cell"]))
    figure, axes = _panels(cells)
    for axis, cell in zip(axes, cells, strict=True):
        part = rows[rows["cell"] == cell]
        for arm, color in _arms(rows).items():
            runs = part[part["arm"] == arm]
            if len(runs):
                curves_RS = np.stack([moving_average(np.nan_to_num(c), WINDOW) for c in runs[column]])
                _band(axis, range(1, curves_RS.shape[1] + 1), curves_RS, color, ARMS[arm].title)
        axis.set_xlabel("step")
    axes[0].set_ylabel(label)
    axes[0].legend(fontsize=8)
    return figure
