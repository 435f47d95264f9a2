"""verl's settings as its command line composes them, checked without starting anything.

    python -m amir_verl.cli.dry_run +amir=grpo actor_rollout_ref.rollout.name=vllm ...

takes the overrides of `python -m verl.trainer.main_ppo`; status 0, or one line and status 1.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_module
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# How hydra and OmegaConf refuse a setting.
_REFUSALS = (HydraException, OmegaConfBaseException)


def composed_run(overrides: Sequence[str]) -> DictConfig:
    """The settings of `python -m verl.trainer.main_ppo OVERRIDES`, from verl's own files and ours.

    Raises:
        ValueError: an override that does not fit, in one line.
    """
    try:
        with initialize_config_module("verl.trainer.config", version_base=None):
            config = compose("ppo_trainer", overrides=list(overrides))
        # Without its interpolations resolved a setting may still point to nothing.
        OmegaConf.to_container(config, resolve=True)
    except _REFUSALS as error:
        raise ValueError(_one_line(error)) from error
    return config


def check_run(overrides: Sequence[str]) -> DictConfig:
    """Compose a run and put it through the checks that verl makes before it starts Ray, ours among them.

    Raises:
        ValueError: what is wrong, in one line.
    """
    config = composed_run(overrides)
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    try:
        # verl reports success on standard output.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            validate_config(
                config=config,
                use_reference_policy=need_reference_policy(config),
                use_critic=need_critic(config),
            )
            # What the workers would refuse first behind a remote traceback.
            omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    except SystemExit as refusal:
        raise ValueError(str(refusal.code).removeprefix("amir-verl: ")) from refusal
    except (
        HydraException,
        OmegaConfBaseException,
        AssertionError,
        TypeError,
        ImportError,
        ValueError,
    ) as error:
        raise ValueError(_one_line(error)) from error
    return config


def _one_line(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__  # what verl's dataclass says, instead of where hydra met it
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def main() -> int:
    if not torch.cuda.is_available():
        # The check of a run for other machines: verl and vLLM's CPU build look for an accelerator on import.
        os.environ.setdefault("VERL_PLATFORM", "cpu")
    try:
        check_run(sys.argv[1:])
    except ValueError as error:
        print(f"amir-verl: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
