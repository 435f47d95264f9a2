"""Checks of a verl run's settings that concern AMIR, made before Ray starts.

verl 0.9.1 checks a run in `verl.utils.config.validate_config`,
which `verl/trainer/main_ppo.py:176` calls before Ray starts, and offers no hook there: a trainer mode
registered by a plugin runs first inside a Ray actor, behind a long remote traceback, and a policy loss
selected without its trainer mode runs first after a rollout.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amir_verl.config import AmirConfig
from amir_verl.objective.advantage import AdvantageForm
from amir_verl.platform.four_bit_checks import check_four_bit
from amir_verl.platform.weight_engines import check_weight_engine
from amir_verl.recovery.resume_point import find_resume_point

ModeChecks = Mapping[str, Callable[[DictConfig], None]]

# Trainer modes of the plugin and the verl mode that each extends.
TRAINER_MODES = {
    "amir_sync": "sync",
    "amir_colocate_async": "colocate_async",
    "amir_separate_async": "separate_async",
    "amir_ranked": "sync",
}


def amir_config(config: DictConfig) -> AmirConfig:
    """The settings of AMIR from the `amir` node of a verl run.

    Raises:
        ValueError: the node is missing, or holds an unknown or wrong setting.
    """
    node = OmegaConf.select(config, "amir")
    if node is None:
        raise ValueError("the run has no `amir` settings: add +amir=grpo (or +amir=gspo, +amir=paper)")
    return AmirConfig.from_mapping(OmegaConf.to_container(node, resolve=True))


def check_run(config: DictConfig, *, mode_checks: ModeChecks | None = None) -> AmirConfig | None:
    """Refuse a verl run whose settings for AMIR are wrong or contradict each other; the settings, None for a
    run without AMIR.

    Args:
        config: verl's, composed.
        mode_checks: further checks of a run, by the `trainer.v1.trainer_mode` that they belong to.

    Raises:
        ValueError: one line that says what is wrong and what to set.
    """
    mode = str(OmegaConf.select(config, "trainer.v1.trainer_mode"))
    loss = OmegaConf.select(config, "actor_rollout_ref.actor.policy_loss.loss_mode") or "vanilla"
    as_advantage = OmegaConf.select(config, "algorithm.adv_estimator") == "amir_grpo"
    amir_mode, amir_loss = mode.startswith("amir_"), loss.startswith("amir_")
    if not (amir_mode or amir_loss or as_advantage or OmegaConf.select(config, "amir") is not None):
        return None
    if not as_advantage and OmegaConf.select(config, "algorithm.amir") is not None:
        raise ValueError(
            f"algorithm.adv_estimator={config.algorithm.adv_estimator} overrides +amir=advantage: remove it "
            "from the command line"
        )
    check_form = _check_advantage_form if as_advantage else _check_loss_form
    settings = check_form(config, mode, loss)
    rollout = config.actor_rollout_ref.rollout
    if rollout.n < 2:
        raise ValueError(
            "AMIR compares responses of one prompt: actor_rollout_ref.rollout.n must be 2 or more, "
            f"got {rollout.n}"
        )
    if mode_checks and mode in mode_checks:
        mode_checks[mode](config)
    if mode == "amir_separate_async":
        check_weight_engine(rollout.checkpoint_engine)
    filters = OmegaConf.select(config, "algorithm.filter_groups.enable")
    sampler = OmegaConf.select(config, "trainer.v1.sampler.custom_sampler.path")
    if filters and sampler == "pkg://amir_verl.platform.quick_poll":
        raise ValueError(
            "algorithm.filter_groups does not reach the sampler of +platform=cpu: "
            "set trainer.v1.sampler.custom_sampler.path=null"
        )
    if OmegaConf.select(config, "distillation.enabled"):
        raise ValueError(
            "AMIR does not combine with verl's distillation loss: set distillation.enabled=False"
        )
    # verl leaves the engine's name to the user, and says so itself where it is missing.
    if OmegaConf.select(rollout, "name") == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "rollout.name=vllm, but vLLM is not installed: pip install 'amir-verl[gpu]' "
            "(without a GPU: bash scripts/install.sh cpu)"
        )
    if amir_mode:
        find_resume_point(config.trainer)
    return settings


def _check_loss_form(config: DictConfig, mode: str, loss: str) -> AmirConfig:
    if not OmegaConf.select(config, "trainer.use_v1"):
        raise ValueError("AMIR runs on verl's V1 trainer: set trainer.use_v1=True, or take +amir=advantage")
    if mode.startswith("amir_") and mode not in TRAINER_MODES:
        raise ValueError(f"trainer.v1.trainer_mode={mode} does not exist; known: {', '.join(TRAINER_MODES)}")
    if not mode.startswith("amir_"):
        fitting = f"amir_{mode}" if f"amir_{mode}" in TRAINER_MODES else "amir_sync"
        raise ValueError(
            f"policy_loss.loss_mode={loss} with trainer.v1.trainer_mode={mode} would train without "
            f"preferences: set trainer.v1.trainer_mode={fitting}, or just +amir=grpo"
        )
    if not loss.startswith("amir_"):
        fitting = "amir_grpo" if loss == "vanilla" else f"amir_{loss}"
        raise ValueError(
            f"trainer.v1.trainer_mode={mode} with policy_loss.loss_mode={loss} would train without "
            f"preferences: set actor_rollout_ref.actor.policy_loss.loss_mode={fitting}"
        )
    settings = amir_config(config)
    _check_loss_name(loss)
    if settings.reference == "policy" and not _has_reference(config):
        raise ValueError(
            "amir.reference=policy needs verl's reference policy: set "
            "actor_rollout_ref.actor.use_kl_loss=True (kl_loss_coef=0 if no KL penalty is wanted)"
        )
    return settings


def _check_advantage_form(config: DictConfig, mode: str, loss: str) -> AmirConfig:
    if mode.startswith("amir_") or loss.startswith("amir_"):
        raise ValueError(
            "algorithm.adv_estimator=amir_grpo puts the preferences into the advantage, "
            f"trainer.v1.trainer_mode={mode} with policy_loss.loss_mode={loss} into the loss: take one, "
            "+amir=advantage or +amir=grpo"
        )
    form = AdvantageForm.from_algorithm(config.algorithm)
    if config.algorithm.get("use_kl_in_reward", False) and not OmegaConf.select(config, "trainer.use_v1"):
        raise ValueError(
            "algorithm.use_kl_in_reward hides the raw reward from amir_grpo in verl's old trainer: "
            "set trainer.use_v1=True, or actor_rollout_ref.actor.use_kl_loss=True in its place"
        )
    return form.settings


def _has_reference(config: DictConfig) -> bool:
    return bool(config.algorithm.get("use_kl_in_reward", False) or config.actor_rollout_ref.actor.use_kl_loss)


def _check_loss_name(loss: str) -> None:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    known = sorted(name for name in POLICY_LOSS_REGISTRY if name.startswith("amir_"))
    if loss not in known:
        raise ValueError(f"policy_loss.loss_mode={loss} does not exist; known: {', '.join(known)}")


def check_before_ray(verl_config: Any, *, mode_checks: ModeChecks) -> None:
    """Make `verl.utils.config.validate_config` run `check_run` first, with these `mode_checks`."""
    validate = verl_config.validate_config

    @wraps(validate)
    def validate_with_amir(config: DictConfig, *args: Any, **kwargs: Any) -> None:
        try:
            check_four_bit(config)
            check_run(config, mode_checks=mode_checks)
        except ValueError as error:
            # A user's mistake is one line, not a traceback through hydra.
            sys.exit(f"amir-verl: {error}")
        validate(config, *args, **kwargs)

    verl_config.validate_config = validate_with_amir
