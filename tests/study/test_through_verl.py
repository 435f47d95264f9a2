"""An arm of the loop in verl's settings."""

import pytest
from omegaconf import OmegaConf

from amir_verl.cli.composition import composed_run
from benchmarks.study.arms import arm
from benchmarks.study.through_verl import ACTOR, overrides


def test_verl_takes_an_arms_settings():
    config = composed_run(
        ["+amir@_global_=grpo", *overrides(arm("chosen_b2_r3+entropy_0.03+kl_0.1+updates_4"))]
    )
    wanted = {
        "amir.pull": "chosen",
        "amir.beta": 2.0,
        "amir.lambda_target": 3.0,
        f"{ACTOR}.entropy_coeff": 0.03,
        f"{ACTOR}.use_kl_loss": True,
        f"{ACTOR}.kl_loss_type": "low_var_kl",
        f"{ACTOR}.kl_loss_coef": 0.1,
        f"{ACTOR}.optim.lr": 1e-4,
        f"{ACTOR}.clip_ratio_high": 0.2,
        f"{ACTOR}.ppo_mini_batch_size": 4,
    }
    assert {name: OmegaConf.select(config, name) for name in wanted} == wanted


def test_a_plain_arm_says_nothing_of_amir_or_a_penalty():
    words = " ".join(overrides(arm("grpo")))
    assert "amir" not in words and "use_kl_loss" not in words
    assert overrides(arm("published"))[-2:] == ["amir.beta=0.2", "amir.lambda_schedule=loss_ratio"]


@pytest.mark.parametrize("change", ["rarity_0.5", "positive_0.3", "clipcov_0.02", "gspo_0.001"])
def test_what_verl_has_no_setting_for_is_refused(change):
    with pytest.raises(ValueError, match="can go through verl"):
        overrides(arm(f"grpo+{change}"))
