"""Settings of the advantage form, and what a token weighs in the actor's loss; rank_advantage.py computes it.

Shape suffixes: _N responses of the batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from amir_verl.config import AmirConfig

DEVIATION = ("group", "batch")
LOSS_AGG_MODE = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)
# These losses of verl aggregate by seq-mean-token-mean, whatever loss_agg_mode says.
SEQUENCE_MEAN_LOSSES = ("sapo", "geo_mean")
# Settings the advantage form supports only partly: allowed values, and why.
_CARRIED = {
    "lambda_schedule": (
        ("constant", "grad_ratio"),
        "it needs the losses of a step: set constant or grad_ratio",
    ),
    "lambda_warmup_steps": ((0,), "an estimator does not know the step: set 0"),
    "beta_scale": (("raw",), "the spread needs log-probabilities: set raw"),
    "reference": (("auto", "none"), "no log-probability enters it: set auto"),
    "mask_truncated": ((False,), "it needs the tokens: set false"),
}


@dataclass(frozen=True)
class AdvantageForm:
    """The node `algorithm.amir`, which the preset +amir@_global_=advantage fills from the rest of the run.

    Args:
        settings: the `amir` node.
        deviation: while verl's `algorithm.norm_adv_by_std_in_grpo` holds, GRPO's advantage is divided by the
            deviation of rewards in the `group`, or in the whole `batch` (arXiv 2508.08221).
        loss_mode, loss_agg_mode, loss_scale_factor: the actor's.
        mini_batch_prompts, responses_per_prompt: the actor's `ppo_mini_batch_size` and the rollout's `n`;
            None: a step is one mini-batch.

    Raises:
        ValueError: a value out of range, or a setting that an advantage cannot carry.
    """

    settings: AmirConfig = field(default_factory=AmirConfig)
    deviation: str = "group"
    loss_mode: str | None = "vanilla"
    loss_agg_mode: str = "token-mean"
    loss_scale_factor: float | None = None
    mini_batch_prompts: int | None = None
    responses_per_prompt: int | None = None

    def __post_init__(self) -> None:
        for name, choices in (("deviation", DEVIATION), ("loss_agg_mode", LOSS_AGG_MODE)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"algorithm.amir.{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        for name in ("loss_scale_factor", "mini_batch_prompts", "responses_per_prompt"):
            value = getattr(self, name)
            if value is not None and not (type(value) in (int, float) and 0 < value < math.inf):
                raise ValueError(f"algorithm.amir.{name} must be a number above 0, got {value!r}")
        for name, (works, reason) in _CARRIED.items():
            value = getattr(self.settings, name)
            if value not in works:
                raise ValueError(f"amir.{name}={value} has no advantage form: {reason}")

    @classmethod
    def from_algorithm(cls, algorithm: Mapping[str, Any] | None) -> "AdvantageForm":
        """Read verl's `algorithm` node; a missing node or an unknown key is a ValueError."""
        node = algorithm.get("amir") if algorithm is not None else None
        if node is None:
            raise ValueError(
                "algorithm.adv_estimator=amir_grpo has no settings: add +amir@_global_=advantage"
            )
        node = dict(node)
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(node) - set(known))
        if unknown:
            raise ValueError(f"algorithm.amir.{unknown[0]} is no setting; known: {', '.join(known)}")
        node["settings"] = AmirConfig.from_mapping(node.get("settings") or {})
        return cls(**node)

    def token_share_N(self, length_N: Tensor, *, horizon: int) -> Tensor:
        """What one token of each response weighs in the actor's loss, (N,), were the step one mini-batch.

        With several, the actor's means and the loss form's both run over a mini-batch and grow alike, but
        for token-sum, which has no mean, and token-mean, whose mean length is taken from the whole step.

        Args:
            length_N: response tokens; 0 counts as 1.
            horizon: padded length, which verl divides by where `loss_scale_factor` is not set.
        """
        total, one_N = len(length_N), torch.ones_like(length_N, dtype=torch.float64)
        mini_batch = total
        if self.mini_batch_prompts is not None:
            mini_batch = self.mini_batch_prompts * (self.responses_per_prompt or 1)
        mode = "seq-mean-token-mean" if self.loss_mode in SEQUENCE_MEAN_LOSSES else self.loss_agg_mode
        if mode == "token-mean":
            return one_N / length_N.sum().clamp(min=1)
        if mode == "token-sum":
            return one_N * (mini_batch / total)
        if mode == "seq-mean-token-mean":
            return one_N / (total * length_N.clamp(min=1))
        return one_N / (total * (self.loss_scale_factor or horizon) if mode.endswith("norm") else total)
