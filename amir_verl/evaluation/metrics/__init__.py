"""Figures of samples and rankings: pass@k, calibration, agreement, intervals."""
