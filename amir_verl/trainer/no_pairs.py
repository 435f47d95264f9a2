"""A run that finds no pair says so: without pairs AMIR does nothing, and nothing else would tell."""

import torch
from torch import Tensor

FIRST_WARNING = 3  # steps without a pair
WARN_EVERY = 50  # steps after it


class NoPairsWatch:
    """Counts steps in a row without a pair, and says so after three of them and then every fifty.

    Args:
        reward_margin: the margin that a pair needs, for the message.
    """

    def __init__(self, reward_margin: float) -> None:
        self._margin = reward_margin
        self._largest_gap = 0.0
        self.steps = 0

    def after_step(self, *, pairs: int, reward_N: Tensor, group_N: Tensor, eligible_N: Tensor) -> str | None:
        """Take in a step; the line to say, None for nothing.

        Args:
            pairs: pairs of the step.
            reward_N: raw rewards, (N,).
            group_N: the group of each response, (N,) integers from 0.
            eligible_N: responses that may join a pair, (N,) bool.
        """
        if pairs:
            self.steps, self._largest_gap = 0, 0.0
            return None
        self.steps += 1
        self._largest_gap = max(self._largest_gap, largest_gap(reward_N, group_N, eligible_N))
        since = self.steps - FIRST_WARNING
        if since < 0 or since % WARN_EVERY:
            return None
        return (
            f"amir-verl: no pair in the last {self.steps} steps, so AMIR did nothing: the largest reward gap "
            f"in a group was {self._largest_gap:g}, amir.reward_margin is {self._margin:g}"
        )


def largest_gap(reward_N: Tensor, group_N: Tensor, eligible_N: Tensor) -> float:
    """The largest difference of two finite rewards of one group; 0 where there is none."""
    usable_N = eligible_N & torch.isfinite(reward_N)
    if not bool(usable_N.any()):
        return 0.0
    reward_E, group_E = reward_N[usable_N].double(), group_N[usable_N]
    low_G = torch.full((int(group_E.max()) + 1,), torch.inf, dtype=torch.float64)
    high_G = -low_G
    low_G.scatter_reduce_(0, group_E, reward_E, "amin")
    high_G.scatter_reduce_(0, group_E, reward_E, "amax")
    return float((high_G - low_G).clamp(min=0.0).max())
