"""How near two tensors must be, and why."""

import torch
from torch import Tensor

# Sums of some hundred float64 numbers in another order, of both signs: rounding a thousand times over.
FLOAT64 = 1e-10
# Anchors and weights travel in float32, whose rounding is 6e-8.
FLOAT32 = 1e-6
# verl's metrics: losses and log-probabilities of the order of 1, which may cancel, as sums in float64.
METRIC = {"rel": 1e-9, "abs": 1e-12}


def assert_same(actual: Tensor, expected: Tensor, *, relative: float = FLOAT64) -> None:
    """Equal to within `relative` times the largest number expected, which is not 0."""
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=relative * scale)
