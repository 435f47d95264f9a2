"""What a verl run makes of AMIR's settings, before Ray starts: settled, checked, and said.

verl 0.9.1 checks a run in `verl.utils.config.validate_config`,
which `verl/trainer/main_ppo.py:177` calls before Ray starts, and offers no hook there: a trainer mode
registered by a plugin runs first inside a Ray actor, behind a long remote traceback, and a policy loss
selected without its trainer mode runs first after a rollout. What is written into the settings there is what
`main_ppo` hands to its task runner.

    settle_run: check_choices, let_preset_win (preset.py) -> check_run (here: AMIR's own settings)
        -> check_names, check_machine (run_checks.py: estimators, files, functions)
        -> what_is_on, idle_settings (announcement.py)
"""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amir_verl.config import AmirConfig, nearest
from amir_verl.objective.advantage import AdvantageForm
from amir_verl.platform.four_bit_checks import check_four_bit
from amir_verl.recovery.resume_point import find_resume_point
from amir_verl.trainer.announcement import idle_settings, what_is_on
from amir_verl.trainer.preset import LOSS, MODE, PRESET, TRAINER_MODES, check_choices, let_preset_win
from amir_verl.trainer.run_checks import check_machine, check_names

ModeChecks = Mapping[str, Callable[[DictConfig], None]]


def amir_config(config: DictConfig) -> AmirConfig:
    """The settings of AMIR from the `amir` node of a verl run.

    Raises:
        ValueError: the node is missing, or holds an unknown or wrong setting.
    """
    node = OmegaConf.select(config, "amir")
    if node is None:
        raise ValueError(f"the run has no `amir` settings: add {PRESET} (or gspo, chosen, paper)")
    return AmirConfig.from_mapping(OmegaConf.to_container(node, resolve=True))


def settle_run(
    config: DictConfig, *, mode_checks: ModeChecks, choices: Mapping[str, str | None] | None = None
) -> list[str]:
    """Let a preset win, in place, then check all that can be known before Ray starts; the lines to say,
    none for a run without AMIR.

    Args:
        config: verl's, composed.
        mode_checks: further checks of a run, by the `trainer.v1.trainer_mode` that they belong to.
        choices: hydra's choice of every config group, where hydra composed the run.

    Raises:
        ValueError: one line that says what is wrong and what to set.
    """
    check_choices(choices or {})
    changed = let_preset_win(config)
    settings = check_run(config)
    if settings is None:
        return []
    check_names(config, settings)
    check_machine(config)
    mode = OmegaConf.select(config, MODE)
    if mode in mode_checks:
        mode_checks[mode](config)
    lines = [f"amir-verl: {changed}"] if changed else []
    lines.append(what_is_on(config, settings))
    if idle := idle_settings(config, settings):
        lines.append(f"amir-verl: without effect in this run: {'; '.join(idle)}")
    return lines


def check_run(config: DictConfig) -> AmirConfig | None:
    """Refuse a verl run whose settings for AMIR are wrong or contradict each other; the settings, None for a
    run without AMIR. Looks at no file.

    Raises:
        ValueError: one line that says what is wrong and what to set.
    """
    mode = str(OmegaConf.select(config, MODE))
    loss = OmegaConf.select(config, LOSS) or "vanilla"
    as_advantage = OmegaConf.select(config, "algorithm.adv_estimator") == "amir_grpo"
    amir_mode = mode.startswith("amir_")
    if not as_advantage and OmegaConf.select(config, "algorithm.amir") is not None:
        raise ValueError("algorithm.amir is set, but the run has no preset: add +amir@_global_=advantage")
    has_settings = OmegaConf.select(config, "amir") is not None
    if not (amir_mode or loss.startswith("amir_") or as_advantage or has_settings):
        return None
    # The reason that counts stands first: no other change makes such a run one for AMIR.
    if OmegaConf.select(config, "distillation.enabled"):
        raise ValueError(
            "AMIR does not combine with verl's distillation loss: set distillation.enabled=False"
        )
    rollout = config.actor_rollout_ref.rollout
    if rollout.n < 2:
        raise ValueError(
            "AMIR compares responses of one prompt: actor_rollout_ref.rollout.n must be 2 or more, "
            f"got {rollout.n}"
        )
    check_form = _check_advantage_form if as_advantage else _check_loss_form
    settings = check_form(config, mode, loss)
    if settings.pair_mining == "topk" and settings.top_k >= rollout.n:
        raise ValueError(
            f"amir.top_k={settings.top_k} of actor_rollout_ref.rollout.n={rollout.n} responses leaves none "
            f"to be worse, hence no pair: set amir.top_k below {rollout.n}"
        )
    filters = OmegaConf.select(config, "algorithm.filter_groups.enable")
    sampler = OmegaConf.select(config, "trainer.v1.sampler.custom_sampler.path")
    if filters and sampler == "pkg://amir_verl.platform.quick_poll":
        raise ValueError(
            "algorithm.filter_groups does not reach the sampler of +platform=cpu: "
            "set trainer.v1.sampler.custom_sampler.path=null"
        )
    if amir_mode:
        find_resume_point(config.trainer)
    return settings


def _check_loss_form(config: DictConfig, mode: str, loss: str) -> AmirConfig:
    from verl.trainer.ppo.utils import need_reference_policy

    settings = amir_config(config)
    if not OmegaConf.select(config, "trainer.use_v1"):
        raise ValueError(
            "AMIR runs on verl's V1 trainer: set trainer.use_v1=True, or take +amir@_global_=advantage"
        )
    # let_preset_win has made AMIR's own of every name that exists.
    if mode not in TRAINER_MODES:
        plain = sorted(set(TRAINER_MODES.values()))
        known = TRAINER_MODES if mode.startswith("amir_") else plain
        raise ValueError(f"{MODE}={mode} does not exist for AMIR; {nearest(mode, known)}")
    _check_loss_name(loss)
    if settings.reference == "policy" and not need_reference_policy(config):
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
            f"+amir@_global_=advantage or {PRESET}"
        )
    form = AdvantageForm.from_algorithm(config.algorithm)
    if config.algorithm.get("use_kl_in_reward", False) and not OmegaConf.select(config, "trainer.use_v1"):
        raise ValueError(
            "algorithm.use_kl_in_reward hides the raw reward from amir_grpo in verl's old trainer: "
            "set trainer.use_v1=True, or actor_rollout_ref.actor.use_kl_loss=True in its place"
        )
    return form.settings


def _check_loss_name(loss: str) -> None:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    ours = loss.startswith("amir_")
    known = sorted(name for name in POLICY_LOSS_REGISTRY if name.startswith("amir_") == ours)
    if loss not in known:
        raise ValueError(f"policy_loss.loss_mode={loss} does not exist; {nearest(loss, known)}")


def hydra_choices() -> dict[str, str | None]:
    """hydra's choices for the program that runs; none where hydra did not start it."""
    from hydra.core.hydra_config import HydraConfig  # here: every process of a run loads this module

    return dict(HydraConfig.get().runtime.choices) if HydraConfig.initialized() else {}


def check_before_ray(verl_config: Any, *, mode_checks: ModeChecks) -> None:
    """Make `verl.utils.config.validate_config` settle the run first, with these `mode_checks`."""
    validate = verl_config.validate_config

    @wraps(validate)
    def validate_with_amir(config: DictConfig, *args: Any, **kwargs: Any) -> None:
        try:
            check_four_bit(config)
            lines = settle_run(config, mode_checks=mode_checks, choices=hydra_choices())
        except ValueError as error:
            # A user's mistake is one line, not a traceback through hydra.
            sys.exit(f"amir-verl: {error}")
        if lines:
            print("\n".join(lines), flush=True)
            if kwargs.get("use_critic"):
                from verl.trainer.ppo.utils import need_critic

                # The preset may have put another estimator in the place of one with a critic.
                kwargs["use_critic"] = need_critic(config)
        validate(config, *args, **kwargs)

    verl_config.validate_config = validate_with_amir
