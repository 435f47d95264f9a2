"""How far stated confidence is from the share of right answers.

Shape suffixes: _N samples, _H bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Calibration:
    """ECE and Brier score, with the reliability diagram they come from (equal widths, empty bins NaN)."""

    ece: float
    brier: float
    num_samples: int
    edges: np.ndarray  # (K + 1,)
    count: np.ndarray  # (K,)
    confidence: np.ndarray  # (K,) mean stated confidence
    accuracy: np.ndarray  # (K,) share of right answers


def calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> Calibration:
    """Expected calibration error (Guo et al. 2017) and Brier score.

    ECE is the mean over samples of |accuracy - mean confidence| of the sample's bin. Bins divide [0, 1] into
    equal widths, closed below; the last includes 1.0.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) 0 or 1.
        bins: K.

    Raises:
        ValueError: no sample, shapes differ, confidence outside [0, 1], correctness not 0 or 1, bins below 1.
    """
    confidence_N, correct_N = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence_N.ndim != 1 or confidence_N.shape != correct_N.shape or confidence_N.size == 0:
        raise ValueError(
            f"confidence {confidence_N.shape} and correct {correct_N.shape} must be equal and not empty"
        )
    if not np.all((confidence_N >= 0) & (confidence_N <= 1)):
        raise ValueError("confidence must lie in [0, 1]")
    if not np.all((correct_N == 0) | (correct_N == 1)):
        raise ValueError("correct must hold 0 or 1")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    index_N = np.minimum((confidence_N * bins).astype(int), bins - 1)
    count_H = np.bincount(index_N, minlength=bins)
    filled_H = np.where(count_H > 0, count_H, np.nan)
    confidence_H = np.bincount(index_N, weights=confidence_N, minlength=bins) / filled_H
    accuracy_H = np.bincount(index_N, weights=correct_N, minlength=bins) / filled_H
    gap_H = np.abs(accuracy_H - confidence_H)
    return Calibration(
        ece=float(np.nansum(gap_H * count_H) / confidence_N.size),
        brier=float(np.mean((confidence_N - correct_N) ** 2)),
        num_samples=int(confidence_N.size),
        edges=np.linspace(0.0, 1.0, bins + 1),
        count=count_H,
        confidence=confidence_H,
        accuracy=accuracy_H,
    )
