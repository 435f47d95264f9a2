"""Arms compared seed by seed.

Shape suffixes: R seeds that both arms have.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from amir_verl.evaluation.metrics.bootstrap import bootstrap_interval

# Fewer seeds than this carry no claim.
MIN_SEEDS = 5


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline, mean over the seeds that both have.

    `low`, `high`: 95 % percentile bootstrap over seeds. Over five seeds it covers clearly less than it says
    (about 85 %), so a claim also asks for Student's interval `t_low`, `t_high` to leave 0 out.
    """

    mean: float
    low: float
    high: float
    t_low: float
    t_high: float
    seeds: int
    above: int

    @property
    def verdict(self) -> str:
        """`higher`, `lower`, or what keeps it from being either."""
        if self.seeds < MIN_SEEDS:
            return "too few seeds"
        if min(self.low, self.t_low) > 0:
            return "higher"
        if max(self.high, self.t_high) < 0:
            return "lower"
        return "no claim"


def paired_difference(rows: pd.DataFrame, arm: str, baseline: str, figure: str) -> PairedDifference | None:
    """`figure` of one cell's rows, `arm` against `baseline`; None for fewer than two shared seeds.

    Args:
        rows: one row a run, with columns arm, seed and `figure`. Seeds where either is NaN are left out.
    """
    table = rows.pivot(index="seed", columns="arm", values=figure)
    if not {arm, baseline} <= set(table.columns):
        return None
    difference_R = (table[arm] - table[baseline]).dropna().to_numpy(dtype=float)
    if len(difference_R) < 2:
        return None
    low, high = bootstrap_interval(difference_R)
    mean, error = difference_R.mean(), stats.sem(difference_R)
    reach = float(stats.t.ppf(0.975, len(difference_R) - 1) * error)
    return PairedDifference(
        mean=float(mean),
        low=low,
        high=high,
        t_low=float(mean - reach),
        t_high=float(mean + reach),
        seeds=len(difference_R),
        above=int(np.sum(difference_R > 0)),
    )
