"""The worker's side: verl's own policy losses with the preference term added.

verl hands a registered policy loss the log-probabilities, but not the preferences; the loss function around
it sees the whole micro-batch (`verl/workers/utils/losses.py`, ppo_loss). So `preference_loss_fn`, given to
the workers by `set_loss_fn`, opens the micro-batch's preferences for the policy loss that runs inside it.

Shape suffixes: _B responses of a micro-batch, _T tokens, _M entries of the micro-batch.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from amir_verl.objective.loss import anchored_terms, mean_log_prob, once_the_value

PREFIX = "amir_"
ANCHORS, WEIGHTS = "amir_anchors", "amir_weights"
LAMBDA, BETA, POLICY_WEIGHT, ENDS = "amir_lambda", "amir_beta", "amir_policy_weight", "amir_moving_ends"
# What the driver makes metrics of: sums of squares of dL/dlogp, and the drift of the first mini-batch. verl
# keeps the least of the mini-batches where a name has "min" in it (utils/metric/utils.py:52).
POLICY_SQUARE, PREFERENCE_SQUARE = "amir/policy_square", "amir/preference_square"
FIRST_DRIFT = "amir/drift_min"


@dataclass
class MicroBatchPreferences:
    """The entries of one micro-batch, and what the policy loss found while it ran."""

    anchor_M: Tensor
    signed_weight_M: Tensor
    count_B: Tensor
    beta: float
    lambda_: float
    policy_weight: float
    moving_ends: int
    # A sum over this rank's responses times dp_size / global_batch_size is its share of the global mean.
    dp_size: int
    global_batch_size: int
    policy_loss: Tensor | None = None
    metrics: dict[str, Tensor] = field(default_factory=dict)


_open_preferences: ContextVar[MicroBatchPreferences | None] = ContextVar("amir_preferences", default=None)


def with_preferences(policy_loss: Callable, *, name: str) -> Callable:
    """`policy_weight` times a policy loss of verl's plus lambda times the preference term, to be registered
    under `name`.

    Raises:
        ValueError: when it runs outside an amir trainer mode, which alone brings the preferences.
    """

    @wraps(policy_loss)
    def amir_policy_loss(
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        preferences = _open_preferences.get()
        if preferences is None:
            raise ValueError(
                f"the policy loss {name} needs AMIR's trainer, which verl.trainer.main_ppo starts with "
                "trainer.v1.trainer_mode=amir_sync"
            )
        loss, metrics = policy_loss(old_log_prob, log_prob, advantages, response_mask, *args, **kwargs)
        loss = preferences.policy_weight * loss
        preferences.policy_loss = loss.detach()
        term = _preference_term(preferences, log_prob, old_log_prob, response_mask)
        if log_prob.requires_grad:
            _measure_gradients(preferences, loss, term, log_prob, response_mask)
        return loss + preferences.lambda_ * term, metrics

    return amir_policy_loss


def _preference_term(
    preferences: MicroBatchPreferences, log_prob_BT: Tensor, old_log_prob_BT: Tensor, mask_BT: Tensor
) -> Tensor:
    mean_B = mean_log_prob(log_prob_BT, mask_BT)
    # With the number of entries known the host need not wait for the device to count them.
    row_M = torch.repeat_interleave(preferences.count_B, output_size=len(preferences.anchor_M))
    terms_M = anchored_terms(
        mean_B[row_M], preferences.anchor_M, preferences.signed_weight_M, preferences.beta
    )
    scale = preferences.dp_size / preferences.global_batch_size
    term = once_the_value(terms_M.sum() * scale, ends=preferences.moving_ends)
    drift_B = (mean_B.detach() - mean_log_prob(old_log_prob_BT, mask_BT)).abs()
    preferences.metrics["amir/loss"] = term.detach()
    preferences.metrics["amir/drift"] = preferences.metrics[FIRST_DRIFT] = drift_B.sum() * scale
    return term


def _measure_gradients(
    preferences: MicroBatchPreferences, loss: Tensor, term: Tensor, log_prob_BT: Tensor, mask_BT: Tensor
) -> None:
    """Squares of dL/dlogp over the micro-batch's response tokens, of both losses as the update has them:
    elementwise work, no model pass.
    """
    mask_BT = mask_BT.bool()
    for name, value in ((POLICY_SQUARE, loss), (PREFERENCE_SQUARE, term)):
        gradient_BT = None
        if value.requires_grad:
            (gradient_BT,) = torch.autograd.grad(value, log_prob_BT, retain_graph=True, allow_unused=True)
        if gradient_BT is None:
            preferences.metrics[name] = value.new_zeros(())
            continue
        # A rank's loss is dp_size times its share, and verl takes the mean of ranks of a metric.
        square = gradient_BT.masked_fill(~mask_BT, 0.0).square().sum()
        preferences.metrics[name] = square / preferences.dp_size


def preference_loss_fn(*, loss_fn: Callable, model_output: Any, data: Any, dp_group: Any = None) -> Any:
    """verl's loss function `loss_fn`, run with the preferences of the micro-batch `data` open to the policy
    loss.

    Meant for `functools.partial(preference_loss_fn, loss_fn=...)` and verl's `set_loss_fn`.
    """
    from verl.utils import tensordict_utils as tu
    from verl.utils.metric import AggregationType, Metric

    anchors, weights = data[ANCHORS], data[WEIGHTS]
    if anchors.is_nested:
        anchor_M, weight_M, count_B = anchors.values(), weights.values(), anchors.offsets().diff()
    else:  # rows of one length come back stacked from some queues
        anchor_M, weight_M = anchors.flatten(), weights.flatten()
        count_B = torch.full((len(anchors),), anchors.shape[1], device=anchors.device)
    preferences = MicroBatchPreferences(
        anchor_M=anchor_M,
        signed_weight_M=weight_M,
        count_B=count_B,
        beta=tu.get_non_tensor_data(data, key=BETA, default=None),
        lambda_=tu.get_non_tensor_data(data, key=LAMBDA, default=None),
        policy_weight=tu.get_non_tensor_data(data, key=POLICY_WEIGHT, default=None),
        moving_ends=tu.get_non_tensor_data(data, key=ENDS, default=None),
        dp_size=data["dp_size"],
        global_batch_size=data["global_batch_size"],
    )
    token = _open_preferences.set(preferences)
    try:
        loss, metrics = loss_fn(model_output=model_output, data=data, dp_group=dp_group)
    finally:
        _open_preferences.reset(token)
    # Each micro-batch holds its share of the global mean, so these add up.
    for name, value in preferences.metrics.items():
        metrics[name] = Metric(value=value, aggregation=AggregationType.SUM)
    if preferences.policy_loss is not None and "actor/pg_loss" in metrics:
        plain = metrics["actor/pg_loss"]
        metrics["actor/pg_loss"] = Metric(value=preferences.policy_loss, aggregation=plain.aggregation)
    return loss, metrics
