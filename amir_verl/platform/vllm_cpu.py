"""Lets vLLM's CPU build accept new weights.

vLLM 0.28 packs a linear layer's weights for the CPU and drops the original
(`vllm/model_executor/layers/utils.py`, dispatch_cpu_unquantized_gemm(remove_weight=True)), so the next weight
sync fails with "'Parameter' object has no attribute 'weight_loader'". Every vLLM process loads this through
the entry point vllm.general_plugins.
"""

from functools import wraps
from typing import Any


def keep_weights() -> None:
    """Make vLLM's CPU linear layers keep their weight; does nothing on other platforms."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils

    dispatch = utils.dispatch_cpu_unquantized_gemm
    if getattr(dispatch, "keeps_weight", False):
        return

    @wraps(dispatch)
    def dispatch_keeping(layer: Any, remove_weight: bool = False) -> Any:
        return dispatch(layer, remove_weight=False)

    dispatch_keeping.keeps_weight = True
    utils.dispatch_cpu_unquantized_gemm = dispatch_keeping
