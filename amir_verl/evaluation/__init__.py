"""Evaluation: pass@k with intervals, ranking metrics, and the comparison of runs.

Importing this package loads only numpy. Functions that need scikit-learn, scipy, pandas, matplotlib, torch or
vLLM load them.
"""

from amir_verl.evaluation.metrics.bootstrap import bootstrap_interval, paired_gain
from amir_verl.evaluation.metrics.calibration import calibration_error
from amir_verl.evaluation.metrics.pass_rates import majority_at_k, pass_at_k
from amir_verl.evaluation.metrics.ranking import pair_order_kept, prompt_ranking_metrics, ranking_metrics

__all__ = [
    "bootstrap_interval",
    "calibration_error",
    "majority_at_k",
    "pair_order_kept",
    "paired_gain",
    "pass_at_k",
    "prompt_ranking_metrics",
    "ranking_metrics",
]
