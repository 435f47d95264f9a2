"""How far stated confidence lies from the share of answers that are right.

Shape suffixes: S samples, B bins.
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
    edges: np.ndarray  # (B + 1,)
    count: np.ndarray  # (B,)
    confidence: np.ndarray  # (B,) mean stated confidence
    accuracy: np.ndarray  # (B,) share that is right


def calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> Calibration:
    """Expected calibration error (Guo et al. 2017) and Brier score.

    ECE is the mean over samples of |accuracy - mean confidence| of the sample's bin; the bins have equal
    width over [0, 1], closed below, and 1.0 falls into the last.

    Args:
        confidence: (S,) in [0, 1].
        correct: (S,) 0 or 1.
        bins: B.

    Raises:
        ValueError: no sample, shapes differ, confidence outside [0, 1], correctness not 0 or 1, bins below 1.
    """
    confidence_S, correct_S = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence_S.ndim != 1 or confidence_S.shape != correct_S.shape or confidence_S.size == 0:
        raise ValueError(
            f"confidence {confidence_S.shape} and correct {correct_S.shape} must be equal and not empty"
        )
    if not np.all((confidence_S >= 0) & (confidence_S <= 1)):
        raise ValueError("confidence must lie in [0, 1]")
    if not np.all((correct_S == 0) | (correct_S == 1)):
        raise ValueError("correct must hold 0 or 1")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    index_S = np.minimum((confidence_S * bins).astype(int), bins - 1)
    count_B = np.bincount(index_S, minlength=bins)
    filled_B = np.where(count_B > 0, count_B, np.nan)
    confidence_B = np.bincount(index_S, weights=confidence_S, minlength=bins) / filled_B
    accuracy_B = np.bincount(index_S, weights=correct_S, minlength=bins) / filled_B
    gap_B = np.abs(accuracy_B - confidence_B)
    return Calibration(
        ece=float(np.nansum(gap_B * count_B) / confidence_S.size),
        brier=float(np.mean((confidence_S - correct_S) ** 2)),
        num_samples=int(confidence_S.size),
        edges=np.linspace(0.0, 1.0, bins + 1),
        count=count_B,
        confidence=confidence_B,
        accuracy=accuracy_B,
    )
