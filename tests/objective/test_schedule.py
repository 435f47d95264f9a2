"""lambda step by step, under each schedule."""

import json
import math

import pytest

from amir_verl.config import AmirConfig
from amir_verl.objective.lambda_schedule import LambdaController


def controller(**settings):
    return LambdaController(AmirConfig(**settings))


def run(lambdas, steps):
    """lambda of each step, given (policy_norm, preference_norm, policy_loss, preference_loss)."""
    values = []
    for policy_norm, preference_norm, policy_loss, preference_loss in steps:
        values.append(lambdas.begin_step(policy_norm=policy_norm, preference_norm=preference_norm))
        lambdas.end_step(policy_loss=policy_loss, preference_loss=preference_loss)
    return values


def test_constant_stays_whatever_the_gradients_and_losses_are():
    steps = [(1.0, 0.1, 0.0, 0.7), (0.0, 0.0, 5.0, 0.0), (math.inf, 1.0, -1.0, 0.6)]
    lambdas = controller(lambda_schedule="constant", lambda_value=0.03)
    assert run(lambdas, steps) == [0.03, 0.03, 0.03]


@pytest.mark.parametrize("value", [0.0, 0.2])
def test_constant_is_held_inside_bounds_that_the_user_sets(value):
    lambdas = controller(lambda_schedule="constant", lambda_value=value, lambda_min=0.05, lambda_max=0.1)
    assert run(lambdas, [(1, 1, 1, 1)]) == [0.05 if value == 0.0 else 0.1]


@pytest.mark.parametrize(("target", "expected"), [(1.0, 0.5), (0.2, 0.1), (3.0, 1.5)])
def test_grad_ratio_holds_the_ratio_of_the_norms_at_the_target(target, expected):
    lambdas = controller(lambda_target=target)
    value = lambdas.begin_step(policy_norm=2.0, preference_norm=4.0)
    assert value == pytest.approx(expected)
    assert value * 4.0 / 2.0 == pytest.approx(target)


def test_grad_ratio_keeps_the_last_value_where_a_gradient_is_missing():
    steps = [(2.0, 4.0), (0.0, 4.0), (2.0, 0.0), (math.nan, 4.0), (2.0, math.nan), (2.0, 8.0)]
    lambdas = controller()
    values = [lambdas.begin_step(policy_norm=p, preference_norm=q) for p, q in steps]
    assert values == [0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_grad_ratio_starts_from_lambda_value_and_stays_in_its_bounds():
    lambdas = controller(lambda_value=0.01, lambda_min=0.02, lambda_max=4.0)
    steps = [(0.0, 0.0), (1.0, 1e-9), (1e-9, 1.0)]
    values = [lambdas.begin_step(policy_norm=p, preference_norm=q) for p, q in steps]
    assert values == [0.02, 4.0, 0.02]
    assert controller().begin_step(policy_norm=1.0, preference_norm=1e-12) == 10.0


def test_loss_ratio_runs_to_its_floor_in_four_steps_where_the_policy_loss_is_zero():
    """On-policy GRPO has loss 0: the published rule then divides lambda*L_pref by nothing."""
    steps = [(1, 1, 0.0, 0.69)] * 6
    values = run(controller(lambda_schedule="loss_ratio", lambda_value=0.01), steps)
    assert values == pytest.approx([0.01, 0.008, 0.0064, 0.00512, 0.005, 0.005])


@pytest.mark.parametrize(
    ("ratio", "next_value"),
    [(0.1, 0.0125), (0.29, 0.0125), (0.31, 0.01), (0.5, 0.01), (0.69, 0.01), (0.71, 0.008), (9.0, 0.008)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_loss_ratio_moves_outside_its_band_by_the_published_factors(ratio, next_value, sign):
    lambdas = controller(lambda_schedule="loss_ratio", lambda_value=0.01)
    steps = [(1, 1, sign * 0.01 * 0.6 / ratio, 0.6), (1, 1, 1, 1)]
    assert run(lambdas, steps) == pytest.approx([0.01, next_value])


def test_loss_ratio_stays_in_its_band_and_does_not_move_without_a_pair():
    lambdas = controller(lambda_schedule="loss_ratio", lambda_value=0.045)
    assert run(lambdas, [(1, 1, 1.0, 0.1)] * 3) == pytest.approx([0.045, 0.05, 0.05])
    assert run(lambdas, [(1, 1, 0.0, 0.0)] * 3) == pytest.approx([0.05, 0.05, 0.05])
    assert run(controller(lambda_schedule="loss_ratio", lambda_value=1.0), [(1, 1, 1, 1)]) == [0.05]


def test_warm_up_grows_linearly_to_the_whole_value():
    lambdas = controller(lambda_schedule="constant", lambda_value=0.4, lambda_warmup_steps=4)
    assert run(lambdas, [(1, 1, 1, 1)] * 6) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


@pytest.mark.parametrize("schedule", ["constant", "loss_ratio", "grad_ratio"])
def test_a_resumed_run_goes_on_with_the_same_lambda(schedule):
    settings = {"lambda_schedule": schedule, "lambda_value": 0.02, "lambda_warmup_steps": 5}
    steps = [(2.0, 3.0, 0.1, 0.7), (1.0, 4.0, 0.0, 0.6), (0.0, 0.0, 0.5, 0.0), (3.0, 1.0, 0.01, 0.5)]
    whole, first, second = (controller(**settings) for _ in range(3))
    expected = run(whole, steps)
    begun = run(first, steps[:2])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert begun + run(second, steps[2:]) == expected


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the saved state of lambda lacks schedule, steps, value"),
        ({"schedule": "grad_ratio", "value": 1.0}, "the saved state of lambda lacks steps"),
        (
            {"schedule": "constant", "value": 1.0, "steps": 3},
            "lambda was saved under amir.lambda_schedule=constant, this run has grad_ratio",
        ),
        (
            {"schedule": "grad_ratio", "value": None, "steps": 3},
            "the saved state of lambda is damaged: value None, steps 3",
        ),
        (
            {"schedule": "grad_ratio", "value": math.nan, "steps": 3},
            "the saved state of lambda is damaged: value nan, steps 3",
        ),
        (
            {"schedule": "grad_ratio", "value": -1.0, "steps": 3},
            "the saved state of lambda is damaged: value -1.0, steps 3",
        ),
        (
            {"schedule": "grad_ratio", "value": 1.0, "steps": "x"},
            "the saved state of lambda is damaged: value 1.0, steps 'x'",
        ),
    ],
)
def test_a_state_that_cannot_be_taken_over_is_refused(state, message):
    lambdas = controller()
    before = lambdas.state_dict()
    with pytest.raises(ValueError, match=f"^{message}$"):
        lambdas.load_state_dict(state)
    assert lambdas.state_dict() == before
