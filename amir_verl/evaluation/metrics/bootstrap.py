"""Bootstrap intervals over problems.

Shape suffixes: _Q problems.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# With fewer problems a percentile interval covers clearly less than it claims, so there is no verdict.
MIN_PROBLEMS = 20
_MEMORY_CELLS = 4_000_000


@dataclass(frozen=True)
class Gain:
    """Mean of B minus A over shared problems, with its interval and verdict."""

    mean: float
    low: float
    high: float
    num_problems: int

    @property
    def verdict(self) -> str:
        """`higher`, `lower`, `not distinguishable` (the interval holds 0) or `too few problems`."""
        if self.num_problems < MIN_PROBLEMS:
            return "too few problems"
        if self.low > 0:
            return "higher"
        if self.high < 0:
            return "lower"
        return "not distinguishable"


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over problems.

    Args:
        values: (Q,) one figure per problem, such as its pass@k; all finite.
        level: coverage, in (0, 1).
        draws: resamples with replacement.
        seed: of the resampling; equal seeds give equal intervals.

    Returns:
        (low, high); two NaN for fewer than two problems, which leave nothing to resample.

    Raises:
        ValueError: values not one-dimensional or not finite, or level outside (0, 1).
    """
    value_Q = np.asarray(values, dtype=float)
    if value_Q.ndim != 1 or not np.all(np.isfinite(value_Q)):
        raise ValueError("bootstrap_interval takes a one-dimensional array of finite numbers")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if value_Q.size < 2:
        return float("nan"), float("nan")
    from scipy.stats import bootstrap

    result = bootstrap(
        (value_Q,),
        np.mean,
        n_resamples=draws,
        batch=max(1, _MEMORY_CELLS // value_Q.size),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def paired_gain(
    before: ArrayLike, after: ArrayLike, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Gain:
    """Gain of `after` over `before` on the same problems, resampling problems and keeping each pair together.

    Args:
        before: (Q,) one figure per problem.
        after: (Q,) the same problems in the same order.

    Raises:
        ValueError: shapes differ, no problem, or anything `bootstrap_interval` refuses.
    """
    before_Q, after_Q = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before_Q.shape != after_Q.shape or before_Q.size == 0:
        raise ValueError(
            f"paired_gain needs the same problems twice, got {before_Q.shape} and {after_Q.shape}"
        )
    difference_Q = after_Q - before_Q
    low, high = bootstrap_interval(difference_Q, level=level, draws=draws, seed=seed)
    return Gain(mean=float(difference_Q.mean()), low=low, high=high, num_problems=int(difference_Q.size))
