"""What a step of the driver computes, as pure functions: tokens, eligible rows, preferences, lambda.

    read_tokens -> sound_rows -> prefer -> gradient_norms -> set_lambda ... measured_ratio

Nothing here knows of Ray or of the TransferQueue: the driver carries tensors in and figures out, and a loop
of one's own can call the same functions.

Shape suffixes: _N responses of the batch, _B rows of a chunk, _T tokens.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.loss import mean_log_prob
from amir_verl.trainer.rows import Rows

# Tokens looked at in one go: the dozen temporaries of a policy loss then stay in a core's cache.
CHUNK_TOKENS = 2**17
# Losses of verl's that take the mean of the rows they are given, whatever the batch (core_algos.py:2000).
MEAN_OF_GIVEN_ROWS = {"geo_mean"}

PolicyGradient = Callable[["Tokens"], Tensor]


class Tokens(NamedTuple):
    """What verl has computed of each response token, (N, T) each, padded on the right.

    `weight_NT` (rollout correction) and `reference_NT` are None where the run has none.
    """

    old_NT: Tensor
    mask_NT: Tensor
    advantage_NT: Tensor
    weight_NT: Tensor | None = None
    reference_NT: Tensor | None = None

    def rows(self, row_B: Tensor, width: int) -> "Tokens":
        """The first `width` tokens of some rows."""
        return Tokens(*(None if field is None else field[row_B, :width] for field in self))


class TokenSums(NamedTuple):
    """What a step keeps of its tokens: a figure a response, and a sum of squares.

    Attributes:
        length_N: response tokens, those in the mask.
        mean_N, reference_mean_N: mean log-probability at the old policy and under the reference, nats.
        policy_N: sum over the tokens of dL_policy/dlogp at the old policy, float64.
        policy_square: sum over all tokens of its square.
    """

    length_N: Tensor
    mean_N: Tensor
    reference_mean_N: Tensor | None
    policy_N: Tensor
    policy_square: float


class GradientNorms(NamedTuple):
    """Norms over all response tokens of dL/dlogp at the old policy, of both losses, and their dot product."""

    policy: float
    preference: float
    dot: float


def sound_rows(rows: Rows, *, length_N: Tensor, broken_N: Tensor) -> Tensor:
    """Rows that can be compared, (N,) bool: the last of its session, no padding, with a token of the policy's
    own and a sound reward.
    """
    return rows.final_N & ~rows.padding_N & ~broken_N & (length_N > 0)


def verl_policy_gradient(policy_loss: Callable, actor: Any, tokens: Tokens) -> PolicyGradient:
    """dL_policy/dlogp of a chunk of `tokens` at the old policy, (C, T), by verl's own loss: no model pass.

    Args:
        policy_loss: a function of verl's POLICY_LOSS_REGISTRY.
        actor: verl's actor settings; `global_batch_info` is set to the figures of the whole batch, so that
            chunks add up to it. Losses that choose tokens by all that they are given (clip_cov, kl_cov)
            choose inside a chunk, as they do inside a micro-batch.
        tokens: the whole batch.
    """
    own_mean = actor.policy_loss.loss_mode.removeprefix("amir_") in MEAN_OF_GIVEN_ROWS
    actor.global_batch_info.update(
        dp_size=1,
        batch_num_tokens=int(tokens.mask_NT.sum()),
        global_batch_size=len(tokens.mask_NT),
        # Without a factor verl takes the padded length, here that of the batch and not of a chunk.
        loss_scale_factor=actor.loss_scale_factor or tokens.mask_NT.shape[-1],
    )

    def gradient(chunk: Tokens) -> Tensor:
        live_BT = chunk.old_NT.detach().clone().requires_grad_()
        loss, _ = policy_loss(
            old_log_prob=chunk.old_NT,
            log_prob=live_BT,
            advantages=chunk.advantage_NT,
            response_mask=chunk.mask_NT,
            loss_agg_mode=actor.loss_agg_mode,
            config=actor,
            rollout_is_weights=chunk.weight_NT,
        )
        if not loss.requires_grad:
            return torch.zeros_like(live_BT)
        if own_mean:
            loss = loss * (len(live_BT) / len(tokens.mask_NT))
        (gradient_BT,) = torch.autograd.grad(loss, live_BT, allow_unused=True)
        return torch.zeros_like(live_BT) if gradient_BT is None else gradient_BT

    return gradient


def read_tokens(
    tokens: Tokens, policy_gradient: PolicyGradient | None, *, chunk_tokens: int = CHUNK_TOKENS
) -> TokenSums:
    """Go once over the tokens, a chunk of rows of like length at a time, and keep sums alone.

    Args:
        tokens: the whole batch.
        policy_gradient: dL_policy/dlogp of a chunk, (C, T); None: there is no policy loss.
        chunk_tokens: padded tokens of a chunk; a row may have more.
    """
    mask_NT = tokens.mask_NT.bool()
    total, width = mask_NT.shape
    # A mask may have holes (a tool's tokens): the width of a row goes up to its last token.
    place_T = torch.arange(1, width + 1, dtype=torch.int32, device=mask_NT.device)
    length_N = mask_NT.new_zeros(total, dtype=torch.long)
    width_N = torch.zeros_like(length_N)
    rows_at_once = max(chunk_tokens // max(width, 1), 1)
    for start in range(0, total, rows_at_once):
        here = slice(start, start + rows_at_once)
        length_N[here] = mask_NT[here].sum(-1)
        if width:
            width_N[here] = (mask_NT[here] * place_T).amax(-1).long()

    mean_N = tokens.old_NT.new_zeros(total, dtype=_at_least_float32(tokens.old_NT))
    reference_N = None if tokens.reference_NT is None else torch.zeros_like(mean_N)
    policy_N = mean_N.new_zeros(total, dtype=torch.float64)
    square = policy_N.new_zeros(())
    # clip_cov and others draw random tokens: the driver's own stream stays as it was.
    with torch.random.fork_rng(devices=[]):
        for row_B, width_B in _chunks(width_N, chunk_tokens):
            chunk = tokens.rows(row_B, width_B)._replace(mask_NT=mask_NT[row_B, :width_B])
            mean_N[row_B] = mean_log_prob(chunk.old_NT, chunk.mask_NT)
            if reference_N is not None:
                reference_N[row_B] = mean_log_prob(chunk.reference_NT, chunk.mask_NT)
            if policy_gradient is not None:
                gradient_BT = policy_gradient(chunk).double().masked_fill_(~chunk.mask_NT, 0.0)
                policy_N[row_B] = gradient_BT.sum(-1)
                square += gradient_BT.square_().sum()
    return TokenSums(length_N, mean_N, reference_N, policy_N, float(square))


def _at_least_float32(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _chunks(width_N: Tensor, chunk_tokens: int) -> list[tuple[Tensor, int]]:
    """Rows from narrow to wide in chunks of about `chunk_tokens`, with the width of each chunk; rows without
    a token are in none.
    """
    order_N = torch.argsort(width_N, stable=True)
    widths = width_N[order_N].tolist()
    chunks, start = [], sum(width == 0 for width in widths)
    while start < len(widths):
        end = start + 1
        while end < len(widths) and (end + 1 - start) * widths[end] <= chunk_tokens:
            end += 1
        chunks.append((order_N[start:end], widths[end - 1]))
        start = end
    return chunks


def prefer(
    sums: TokenSums, reward_N: Tensor, rows: Rows, eligible_N: Tensor, config: AmirConfig
) -> Preferences:
    """The step's preferences, from what was kept of its tokens."""
    return step_preferences(
        sums.mean_N,
        reward_N,
        rows.group_N,
        eligible_N,
        config,
        ref_mean_N=None if config.reference == "none" else sums.reference_mean_N,
        groups=rows.groups,
    )


def gradient_norms(sums: TokenSums, preferences: Preferences, *, policy_weight: float) -> GradientNorms:
    """Norms of `policy_weight` times dL_policy/dlogp and of dL_pref/dlogp, over all response tokens."""
    length_N = sums.length_N.clamp(min=1)
    preference_N = preferences.gradient_N / length_N  # dL_pref/dlogp of each token of the response
    return GradientNorms(
        policy=policy_weight * math.sqrt(sums.policy_square),
        preference=float((preference_N.square() * length_N).sum().sqrt()),
        dot=policy_weight * float((sums.policy_N * preference_N).sum()),
    )


def set_lambda(controller: LambdaController, norms: GradientNorms) -> tuple[float, dict[str, float]]:
    """lambda of the step that begins, and `amir/lambda` and `amir/cos_policy`."""
    lambda_ = controller.begin_step(policy_norm=norms.policy, preference_norm=norms.preference)
    product = norms.policy * norms.preference
    return lambda_, {"amir/lambda": lambda_, "amir/cos_policy": norms.dot / product if product else 0.0}


def measured_ratio(lambda_: float, *, policy_square: float, preference_square: float) -> float:
    """`amir/grad_ratio`: the ratio of both gradients in the update itself, from what the workers measured; 0
    where the policy loss has none.
    """
    return lambda_ * math.sqrt(preference_square / policy_square) if policy_square > 0 else 0.0
