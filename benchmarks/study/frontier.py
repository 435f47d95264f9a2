"""What an arm keeps at equal accuracy: curves of pass@1 and pass@k over training, compared seed by seed.

Shape suffixes: _I evaluations of a run, _S seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats


def at_accuracy(accuracy_I: Sequence[float], figure_I: Sequence[float], accuracy: float) -> float:
    """`figure` where the curve first reaches that accuracy, on straight lines between evaluations.

    NaN where it never does. A curve that begins above it is read at its beginning.
    """
    if accuracy_I[0] >= accuracy:
        return float(figure_I[0])
    for (low, high), (before, after) in zip(pairwise(accuracy_I), pairwise(figure_I), strict=True):
        if low < accuracy <= high:
            return float(before + (after - before) * (accuracy - low) / (high - low))
    return float("nan")


def common_accuracy(first_I: Sequence[float], second_I: Sequence[float]) -> float:
    """The highest pass@1 that both curves reach."""
    return float(min(max(first_I), max(second_I)))


@dataclass(frozen=True)
class Difference:
    """A paired difference over seeds, in the units of the figure, with Student's 95 % interval.

    `p` is two-sided. `accuracy` is where the arms were compared, mean over seeds; NaN at equal steps.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    accuracy: float = float("nan")


def student(values_S: Sequence[float], *, accuracy: float = float("nan")) -> Difference:
    """Mean of paired differences with its interval.

    Raises:
        ValueError: fewer than two seeds, or a value that is not finite.
    """
    values = np.asarray(values_S, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"a paired difference needs two seeds and more, all finite, got {values.tolist()}")
    error = stats.sem(values)
    reach = stats.t.ppf(0.975, len(values) - 1) * error
    p = stats.ttest_1samp(values, 0.0).pvalue if error > 0 else float(values.mean() == 0)
    mean = values.mean()
    return Difference(float(mean), float(mean - reach), float(mean + reach), float(p), len(values), accuracy)


def curves(rows: pd.DataFrame, arm: str, until: int | None = None) -> dict[int, pd.DataFrame]:
    """Evaluations of an arm by seed, in order of step, none after step `until`."""
    part = rows[rows["arm"] == arm]
    if until is not None:
        part = part[part["step"] <= until]
    return {int(seed): run.sort_values("step") for seed, run in part.groupby("seed")}


def last_common_step(rows: pd.DataFrame, arms: Sequence[str]) -> int:
    """The last step that every run of these arms has reached."""
    part = rows[rows["arm"].isin(arms)]
    return int(part.groupby(["arm", "seed"])["step"].max().min())


def at_equal_accuracy(rows: pd.DataFrame, arm: str, against: str, figure: str) -> Difference | None:
    """`figure` of one arm less that of another, at the highest pass@1 both reach on a seed, over the steps
    that both have; None for fewer than two shared seeds.
    """
    until = last_common_step(rows, [arm, against])
    ones, others = curves(rows, arm, until), curves(rows, against, until)
    differences, accuracies = [], []
    for seed in sorted(set(ones) & set(others)):
        one, other = ones[seed], others[seed]
        accuracy = common_accuracy(one["pass@1"], other["pass@1"])
        accuracies.append(accuracy)
        differences.append(
            at_accuracy(one["pass@1"].tolist(), one[figure].tolist(), accuracy)
            - at_accuracy(other["pass@1"].tolist(), other[figure].tolist(), accuracy)
        )
    return student(differences, accuracy=float(np.mean(accuracies))) if len(differences) > 1 else None


def at_equal_steps(rows: pd.DataFrame, arm: str, against: str, figure: str) -> Difference | None:
    """`figure` of one arm less that of another at the last step that all their runs have."""
    until = last_common_step(rows, [arm, against])
    ones, others = curves(rows, arm, until), curves(rows, against, until)
    seeds = sorted(set(ones) & set(others))
    values = [float(ones[s][figure].iloc[-1] - others[s][figure].iloc[-1]) for s in seeds]
    return student(values) if len(values) > 1 else None


def against_first(rows: pd.DataFrame, arm: str, figure: str) -> Difference | None:
    """`figure` at the end of an arm's runs less that of the model they began with."""
    runs = curves(rows, arm, last_common_step(rows, [arm])).values()
    values = [float(run[figure].iloc[-1] - run[figure].iloc[0]) for run in runs]
    return student(values) if len(values) > 1 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, after Holm (1979)."""
    order = np.argsort(p_values)
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return corrected
