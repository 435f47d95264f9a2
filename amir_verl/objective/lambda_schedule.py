"""lambda, the weight of the preference term: one controller, on the driver, one value per step."""

import math
from typing import Any

from amir_verl.config import AmirConfig

# The published rule (arXiv 2601.03661): below and above this band of lambda*L_pref / L_policy, lambda moves.
LOSS_RATIO_BAND = (0.30, 0.70)
LOSS_RATIO_FACTORS = (1.25, 0.8)


class LambdaController:
    """lambda of each step by `lambda_schedule`.

    `constant`: `lambda_value`. `grad_ratio`: lambda = lambda_target * |dL_policy/dlogp| / |dL_pref/dlogp|,
    both at the old policy, inside the bounds; a step without a preference or a policy gradient keeps the last
    value. `loss_ratio`: after each step, times 1.25 if lambda*L_pref / |L_policy| fell below 0.30, times 0.8
    if above 0.70, inside the bounds. All grow linearly over `lambda_warmup_steps`.
    """

    def __init__(self, config: AmirConfig) -> None:
        self._config = config
        self._steps = 0
        low, high = config.lambda_bounds
        self._value = min(max(config.lambda_value, low), high)

    def begin_step(self, *, policy_norm: float, preference_norm: float) -> float:
        """lambda for the step that begins, from the norms of both gradients with respect to
        log-probabilities.
        """
        self._steps += 1
        if self._config.lambda_schedule == "grad_ratio" and policy_norm > 0 and preference_norm > 0:
            self._value = self._bounded(self._config.lambda_target * policy_norm / preference_norm)
        warmup = self._config.lambda_warmup_steps
        return self._value * (min(1.0, self._steps / warmup) if warmup else 1.0)

    def end_step(self, *, policy_loss: float, preference_loss: float) -> None:
        """Take in the step's losses; only `loss_ratio` reacts to them, and only to a step with pairs."""
        if self._config.lambda_schedule != "loss_ratio" or preference_loss == 0:
            return
        ratio = self._value * preference_loss / abs(policy_loss) if policy_loss else math.inf
        below, above = LOSS_RATIO_BAND
        raise_by, lower_by = LOSS_RATIO_FACTORS
        if ratio < below:
            self._value = self._bounded(self._value * raise_by)
        elif ratio > above:
            self._value = self._bounded(self._value * lower_by)

    def _bounded(self, value: float) -> float:
        low, high = self._config.lambda_bounds
        return min(max(value, low), high)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the same lambda."""
        return {"schedule": self._config.lambda_schedule, "value": self._value, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state.

        Raises:
            ValueError: it lacks a field, holds a wrong value, or was saved under another schedule.
        """
        missing = sorted({"schedule", "value", "steps"} - set(state))
        if missing:
            raise ValueError(f"the saved state of lambda lacks {', '.join(missing)}")
        if state["schedule"] != self._config.lambda_schedule:
            raise ValueError(
                f"lambda was saved under amir.lambda_schedule={state['schedule']}, "
                f"this run has {self._config.lambda_schedule}"
            )
        value, steps = state["value"], state["steps"]
        if (
            type(value) not in (int, float)
            or not 0 <= value < math.inf
            or type(steps) is not int
            or steps < 0
        ):
            raise ValueError(f"the saved state of lambda is damaged: value {value!r}, steps {steps!r}")
        self._value, self._steps = float(value), steps
