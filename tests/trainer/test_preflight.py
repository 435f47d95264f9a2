"""Settings that contradict each other end in one line, before Ray starts."""

import dataclasses
import importlib.util

import pytest
from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from amir_verl.config import AmirConfig
from amir_verl.trainer.preflight import amir_config, check_run
from amir_verl.trainer.preset import TRAINER_MODES, let_preset_win
from amir_verl.trainer.run_checks import check_machine, files_yet_to_be_made

N = "actor_rollout_ref.rollout.n=4"
LOSS = "actor_rollout_ref.actor.policy_loss.loss_mode"
MODE = "trainer.v1.trainer_mode"
# What verl itself asks a user to set.
VERL = [
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
]


def run_config(*overrides):
    """The settings of `python -m verl.trainer.main_ppo OVERRIDES`, composed from verl's own files."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=list(overrides))


@pytest.mark.parametrize(
    ("preset", "loss", "expected"),
    [
        ("grpo", "amir_grpo", {}),
        ("gspo", "amir_gspo", {}),
        ("chosen", "amir_grpo", {"pull": "chosen", "beta": 2.0}),
        (
            "paper",
            "amir_grpo",
            {"beta": 0.2, "reward_margin": 2.0, "lambda_schedule": "loss_ratio", "lambda_value": 0.01},
        ),
    ],
)
def test_one_override_turns_a_run_into_amir(preset, loss, expected):
    config = run_config(f"+amir={preset}", N)
    check_run(config)
    assert OmegaConf.select(config, LOSS) == loss
    assert OmegaConf.select(config, MODE) == "amir_sync"
    assert config.algorithm.adv_estimator == "grpo"
    assert amir_config(config) == dataclasses.replace(AmirConfig(), **expected)


def test_settings_of_the_preset_are_exactly_those_of_the_record():
    """A setting that is missing here could not be set on the command line."""
    node = OmegaConf.to_container(run_config("+amir=grpo").amir)
    assert node == dataclasses.asdict(AmirConfig())


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("amir.beta=0.5", {"beta": 0.5}),
        ("amir.beta=2", {"beta": 2}),
        ("amir.pair_mining=topk", {"pair_mining": "topk"}),
        ("amir.max_pairs_per_group=16", {"max_pairs_per_group": 16}),
        ("amir.lambda_schedule=constant", {"lambda_schedule": "constant"}),
        ("amir.mask_truncated=true", {"mask_truncated": True}),
    ],
)
def test_a_setting_is_an_override_like_any_of_verls(override, expected):
    config = run_config("+amir=grpo", N, override)
    check_run(config)
    assert amir_config(config) == dataclasses.replace(AmirConfig(), **expected)


def test_a_typo_is_refused_when_the_command_line_is_read():
    with pytest.raises(ConfigCompositionException, match=r"amir\.betaa is no setting of AMIR; nearest: beta"):
        run_config("+amir=grpo", "amir.betaa=0.5")
    # hydra's own words stand for settings that are not ours.
    with pytest.raises(ConfigCompositionException, match=r"^Could not override 'actor_rollout_ref\.rolout'"):
        run_config("+amir=grpo", "actor_rollout_ref.rolout=1")


def test_a_run_without_amir_is_none_of_our_business():
    assert check_run(run_config()) is None
    assert check_run(run_config("trainer.use_v1=False", f"{LOSS}=gspo")) is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["amir.beta=-1"], "amir.beta must be above 0, got -1"),
        (["amir.beta=high"], "amir.beta must be a finite number, got 'high'"),
        (["amir.beta=null"], "amir.beta must be a finite number, got None"),
        (["amir.beta=nan"], "amir.beta must be a finite number, got nan"),
        (
            ["amir.pair_mining=best"],
            "amir.pair_mining must be one of all, topk, adjacent, best_worst, got 'best'",
        ),
        (["amir.top_k=1.5"], "amir.top_k must be a whole number of at least 1, got 1.5"),
        (["+amir.betaa=0.5"], "amir.betaa is no setting of AMIR; nearest: beta"),
        (
            ["amir.lambda_min=2", "amir.lambda_max=1"],
            "amir.lambda_min (2) is above amir.lambda_max (1)",
        ),
        ([f"{LOSS}=amir_gapo"], "policy_loss.loss_mode=amir_gapo does not exist; nearest: amir_"),
        ([f"{MODE}=amir_snyc"], f"{MODE}=amir_snyc does not exist for AMIR; nearest: amir_sync"),
        (["trainer.use_v1=False"], "AMIR runs on verl's V1 trainer: set trainer.use_v1=True"),
        (
            ["actor_rollout_ref.rollout.n=1"],
            "AMIR compares responses of one prompt: actor_rollout_ref.rollout.n must be 2 or more, got 1",
        ),
        (
            ["amir.reference=policy"],
            "amir.reference=policy needs verl's reference policy: "
            "set actor_rollout_ref.actor.use_kl_loss=True (kl_loss_coef=0 if no KL penalty is wanted)",
        ),
        (
            ["+platform=cpu", "algorithm.filter_groups.enable=True"],
            "algorithm.filter_groups does not reach the sampler of +platform=cpu: "
            "set trainer.v1.sampler.custom_sampler.path=null",
        ),
        (
            ["distillation.enabled=True"],
            "AMIR does not combine with verl's distillation loss: set distillation.enabled=False",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_run_is_refused_in_one_line(overrides, message):
    with pytest.raises(ValueError) as refusal:
        check_run(run_config("+amir=grpo", N, *overrides))
    assert str(refusal.value).startswith(message) or message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [[f"{MODE}=amir_sync", f"{LOSS}=amir_grpo"], [f"{LOSS}=amir_gspo"], [f"{MODE}=amir_sync"]],
    ids=" ".join,
)
def test_a_run_put_together_by_hand_is_refused_where_a_part_is_missing(overrides):
    with pytest.raises(ValueError) as refusal:
        check_run(run_config(N, *overrides))
    said = "the run has no `amir` settings: add +amir@_global_=grpo (or gspo, chosen, paper)"
    assert str(refusal.value) == said


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_every_mode_of_verl_has_one_of_amirs(mode):
    config = run_config("+amir=grpo", N, f"{MODE}={mode}")
    assert let_preset_win(config) == f"AMIR's preset wins: {MODE}={mode} is now amir_{mode}"
    assert TRAINER_MODES[OmegaConf.select(config, MODE)] == mode
    check_run(config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["amir.reference=policy", "actor_rollout_ref.actor.use_kl_loss=True"],
        ["amir.reference=policy", "algorithm.use_kl_in_reward=True"],
        ["+platform=cpu"],
        [
            "+platform=cpu",
            "algorithm.filter_groups.enable=True",
            "trainer.v1.sampler.custom_sampler.path=null",
            "trainer.v1.sampler.custom_sampler.name=null",
        ],
        [f"{LOSS}=amir_clip_cov"],
        [f"{LOSS}=amir_vanilla"],
    ],
    ids=" ".join,
)
def test_a_sound_run_passes(overrides):
    config = run_config("+amir=grpo", N, *overrides)
    assert check_run(config) == amir_config(config)


def test_a_missing_engine_is_named_with_what_to_install(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else find_spec(name))
    with pytest.raises(ValueError, match=r"^rollout.name=vllm, but vLLM is not installed: pip install '"):
        check_machine(run_config("+amir=grpo", N, "actor_rollout_ref.rollout.name=vllm"))
    with files_yet_to_be_made():
        check_machine(run_config("+amir=grpo", N, "actor_rollout_ref.rollout.name=sglang"))


def test_verl_alone_would_accept_an_amir_loss_in_a_plain_trainer():
    """Why the check is wrapped around verl's: without it this run would start."""
    from verl.utils.config import validate_config

    arguments = {"use_reference_policy": False, "use_critic": False}
    by_hand = run_config(N, f"{LOSS}=amir_grpo", *VERL)
    assert validate_config.__wrapped__(by_hand, **arguments) is None
    with pytest.raises(SystemExit) as stop:
        validate_config(by_hand, **arguments)
    assert stop.value.code.startswith("amir-verl: the run has no `amir` settings")
    with files_yet_to_be_made():
        assert validate_config(run_config("+amir=grpo", N, *VERL), **arguments) is None


def test_verls_own_checks_still_run():
    from verl.utils.config import validate_config

    config = run_config(
        "+amir=grpo", N, *VERL, "data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=8"
    )
    with pytest.raises(ValueError, match="train_batch_size"), files_yet_to_be_made():
        validate_config(config=config, use_reference_policy=False, use_critic=False)


def test_without_the_plugin_hydra_refuses_one_spelling_and_swallows_the_other(monkeypatch):
    """Why README, docs and recipes write `+amir@_global_=grpo`."""
    from hydra_plugins.amir_verl_searchpath import AmirSearchPathPlugin

    monkeypatch.setattr(AmirSearchPathPlugin, "manipulate_search_path", lambda self, search_path: None)
    assert run_config("+amir=grpo").amir == "grpo"
    with pytest.raises(ConfigCompositionException, match=r"config group 'amir' does not exist"):
        run_config("+amir@_global_=grpo")
