"""AmirConfig: defaults hold, and each wrong value is refused with the field's name."""

import dataclasses

import numpy as np
import pytest

from amir_verl.config import AmirConfig


def test_defaults_are_those_of_the_measured_preset():
    config = AmirConfig()
    assert (config.beta, config.beta_scale, config.reward_margin) == (5.0, "raw", 0.0)
    assert (config.pair_mining, config.max_pairs_per_group, config.rank_weighting) == ("all", None, "none")
    assert (config.lambda_schedule, config.lambda_target) == ("grad_ratio", 1.0)


def test_a_config_cannot_be_changed_after_its_check():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AmirConfig().beta = -1.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("beta", 0.0, "amir.beta must be above 0, got 0.0"),
        ("beta", -0.1, "amir.beta must be above 0, got -0.1"),
        ("beta", float("nan"), "amir.beta must be a finite number, got nan"),
        ("beta", float("inf"), "amir.beta must be a finite number, got inf"),
        ("beta", "0.5", "amir.beta must be a finite number, got '0.5'"),
        ("beta", None, "amir.beta must be a finite number, got None"),
        ("beta", True, "amir.beta must be a finite number, got True"),
        ("beta", [1.0], r"amir.beta must be a finite number, got \[1.0\]"),
        ("reward_margin", -1e-9, "amir.reward_margin must be at least 0, got -1e-09"),
        ("lambda_value", -1, "amir.lambda_value must be at least 0, got -1"),
        ("lambda_target", 0, "amir.lambda_target must be above 0, got 0"),
        ("policy_weight", -0.5, "amir.policy_weight must be at least 0, got -0.5"),
        ("policy_weight", None, "amir.policy_weight must be a finite number, got None"),
        ("lambda_min", -1.0, "amir.lambda_min must be at least 0, got -1.0"),
        ("lambda_max", float("inf"), "amir.lambda_max must be a finite number, got inf"),
        ("lambda_max", "auto", "amir.lambda_max must be a finite number, got 'auto'"),
        ("beta_scale", "std", "amir.beta_scale must be one of raw, group_std, got 'std'"),
        (
            "pair_mining",
            "best",
            "amir.pair_mining must be one of all, topk, adjacent, best_worst, got 'best'",
        ),
        ("pair_mining", None, "amir.pair_mining must be one of .*, got None"),
        ("pair_mining", ["all"], r"amir.pair_mining must be one of .*, got \['all'\]"),
        ("rank_weighting", "cubic", "amir.rank_weighting must be one of .*, got 'cubic'"),
        ("lambda_schedule", "cosine", "amir.lambda_schedule must be one of .*, got 'cosine'"),
        ("reference", "yes", "amir.reference must be one of auto, none, policy, got 'yes'"),
        ("top_k", 0, "amir.top_k must be a whole number of at least 1, got 0"),
        ("top_k", 1.0, "amir.top_k must be a whole number of at least 1, got 1.0"),
        ("top_k", True, "amir.top_k must be a whole number of at least 1, got True"),
        ("max_pairs_per_group", 0, "amir.max_pairs_per_group must be a whole number of at least 1, got 0"),
        (
            "max_pairs_per_group",
            "4",
            "amir.max_pairs_per_group must be a whole number of at least 1, got '4'",
        ),
        ("lambda_warmup_steps", -1, "amir.lambda_warmup_steps must be a whole number of at least 0, got -1"),
        ("mask_truncated", 1, "amir.mask_truncated must be true or false, got 1"),
        ("mask_truncated", "false", "amir.mask_truncated must be true or false, got 'false'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AmirConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beta", 1),
        ("beta", np.float64(0.2)),
        ("reward_margin", 0),
        ("lambda_value", 0.0),
        ("lambda_min", 0),
        ("max_pairs_per_group", None),
        ("max_pairs_per_group", 1),
        ("lambda_warmup_steps", 0),
    ],
)
def test_values_on_the_edge_are_taken(field, value):
    assert getattr(AmirConfig(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("settings", "bounds"),
    [
        ({"lambda_schedule": "constant"}, (0.0, float("inf"))),
        ({"lambda_schedule": "loss_ratio"}, (0.005, 0.05)),
        ({"lambda_schedule": "grad_ratio"}, (0.0, 10.0)),
        ({"lambda_schedule": "grad_ratio", "lambda_max": 3}, (0.0, 3)),
        ({"lambda_schedule": "loss_ratio", "lambda_min": 0}, (0, 0.05)),
    ],
)
def test_bounds_of_lambda_are_the_schedules_where_none_is_set(settings, bounds):
    assert AmirConfig(**settings).lambda_bounds == bounds


@pytest.mark.parametrize(
    "settings",
    [
        {"lambda_min": 2.0, "lambda_max": 1.0},
        # The bound that is not set is the schedule's own.
        {"lambda_schedule": "loss_ratio", "lambda_min": 0.1},
        {"lambda_schedule": "loss_ratio", "lambda_max": 0.001},
    ],
)
def test_bounds_that_cross_are_refused(settings):
    with pytest.raises(ValueError, match=r"^amir.lambda_min \(.*\) is above amir.lambda_max \(.*\)$"):
        AmirConfig(**settings)


@pytest.mark.parametrize("schedule", ["grad_ratio", "loss_ratio"])
def test_preferences_alone_need_a_constant_lambda(schedule):
    with pytest.raises(ValueError, match=f"^amir.policy_weight=0 leaves amir.lambda_schedule={schedule} no "):
        AmirConfig(policy_weight=0.0, lambda_schedule=schedule)
    assert AmirConfig(policy_weight=0.0, lambda_schedule="constant").policy_weight == 0.0


def test_from_mapping_refuses_a_name_that_is_no_setting():
    with pytest.raises(ValueError, match=r"^amir.betaa is no setting of AMIR; nearest: beta, beta_scale"):
        AmirConfig.from_mapping({"beta": 1.0, "betaa": 0.5})


def test_from_mapping_takes_what_the_constructor_takes():
    settings = {"beta": 0.2, "pair_mining": "topk", "top_k": 2, "max_pairs_per_group": None}
    assert AmirConfig.from_mapping(settings) == AmirConfig(**settings)
