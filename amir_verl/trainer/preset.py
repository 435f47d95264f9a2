"""An AMIR preset wins over what the command line sets beside it.

hydra applies a command line's values after its presets, so the `loss_mode=gspo` of an existing GSPO script
would undo `+amir@_global_=grpo`. Here what was meant is written into the composed settings, in place, before
Ray starts, and said in one line.
"""

from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from amir_verl.config import AmirConfig, nearest

# Trainer modes of the plugin and the verl mode that each extends.
TRAINER_MODES = {
    "amir_sync": "sync",
    "amir_colocate_async": "colocate_async",
    "amir_separate_async": "separate_async",
    "amir_ranked": "sync",
}
PRESET = "+amir@_global_=grpo"
LOSS = "actor_rollout_ref.actor.policy_loss.loss_mode"
MODE = "trainer.v1.trainer_mode"
ESTIMATOR = "algorithm.adv_estimator"
# Estimators that say nothing of a group, or that verl's V1 trainer cannot run.
NOT_OF_GROUPS = {
    "gae": "a critic's advantages are not those of a group",
    "remax": "verl's V1 trainer samples no greedy baseline",
}


def preset_is_on(config: DictConfig) -> bool:
    """Whether the run has the settings of a preset, in full.

    Raises:
        ValueError: settings of AMIR without a preset.
    """
    node = OmegaConf.select(config, "amir")
    if node is None:
        return False
    if not OmegaConf.is_dict(node):
        raise ValueError(f"amir={node} is a value and no preset: write {PRESET}")
    known = AmirConfig.names()
    if unknown := sorted(set(map(str, node)) - known):
        raise ValueError(f"amir.{unknown[0]} is no setting of AMIR; {nearest(unknown[0], known)}")
    chosen = [str(OmegaConf.select(config, key)) for key in (LOSS, MODE)]
    by_hand = _as_advantage(config) or all(name.startswith("amir_") for name in chosen)
    if not by_hand and known - set(node):
        said = ", ".join(f"amir.{name}" for name in node) or "amir"
        raise ValueError(f"{said} is set, but the run has no preset of AMIR: add {PRESET}")
    return True


def check_choices(choices: Mapping[str, str | None]) -> None:
    """Refuse presets that would not do what they say.

    Args:
        choices: hydra's choice of every config group, `hydra.runtime.choices`.

    Raises:
        ValueError: two presets, or one put where verl does not read it.
    """
    presets = {group: name for group, name in choices.items() if name and group.split("@")[0] == "amir"}
    for group, name in presets.items():
        package = group.partition("@")[2] or "_global_"  # the presets' own
        if package != "_global_":
            raise ValueError(
                f"+{group}={name} puts the preset under `{package}`, where verl does not look: "
                f"+amir@_global_={name}"
            )
    if len(presets) > 1:
        said = " and ".join(f"+{group}={name}" for group, name in presets.items())
        raise ValueError(f"two presets of AMIR, {said}: keep one")


def let_preset_win(config: DictConfig) -> str | None:
    """Turn a plain loss, trainer or estimator beside a preset into AMIR's, in place; what was changed, in one
    line, None for nothing.

    Names that do not exist are left to the checks.

    Raises:
        ValueError: settings of AMIR without a preset.
    """
    if not preset_is_on(config):
        return None
    changes = _of_advantage(config) if _as_advantage(config) else _of_loss(config)
    for key, (_, after, _) in changes.items():
        OmegaConf.update(config, key, after)
    if not changes:
        return None
    said = [f"{key}={before} is now {after}{why}" for key, (before, after, why) in changes.items()]
    return f"AMIR's preset wins: {', '.join(said)}"


Changes = dict[str, tuple[str, str, str]]  # setting -> before, after, why


def _as_advantage(config: DictConfig) -> bool:
    return OmegaConf.select(config, "algorithm.amir") is not None


def _of_advantage(config: DictConfig) -> Changes:
    estimator = str(OmegaConf.select(config, ESTIMATOR))
    return {} if estimator == "amir_grpo" else {ESTIMATOR: (estimator, "amir_grpo", "")}


def _of_loss(config: DictConfig) -> Changes:
    changes: Changes = {}
    estimator = str(OmegaConf.select(config, ESTIMATOR))
    if estimator in NOT_OF_GROUPS:
        changes[ESTIMATOR] = (estimator, "grpo", f" ({NOT_OF_GROUPS[estimator]})")
    mode = str(OmegaConf.select(config, MODE))
    twin = "amir_ranked" if mode == "sync" and _is_ranked(config) else f"amir_{mode}"
    if twin in TRAINER_MODES:
        changes[MODE] = (mode, twin, "")
    loss = OmegaConf.select(config, LOSS) or "vanilla"
    if not loss.startswith("amir_") and _has_twin(loss):
        changes[LOSS] = (loss, "amir_grpo" if loss == "vanilla" else f"amir_{loss}", "")
    return changes


def _is_ranked(config: DictConfig) -> bool:
    return OmegaConf.select(config, "actor_rollout_ref.rollout.agent.default_agent_loop") == "ranked_replay"


def _has_twin(loss: str) -> bool:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    return f"amir_{loss}" in POLICY_LOSS_REGISTRY
