"""Every registration of the plugin, in one place; verl loads this module in each process on `import verl`.

| moment | what verl calls | our file |
|---|---|---|
| `import verl`, in every process | the entry point `verl.plugins` | plugin.py |
| the command line is read | hydra refuses a name under `amir` | platform/hydra_errors.py |
| before Ray starts | `validate_config` | trainer/preflight.py |
| the trainer is built | the trainer mode `amir_sync` (or another) | trainer/driver.py |
| rewards and log-probabilities are there | `_compute_advantage` | trainer/driver.py, step.py; objective/ |
| inside it, before advantages | `compute_advantage_for_multi_trajectories` | trainer/advantage_call.py |
| each micro-batch | the loss function, in it the policy loss `amir_grpo` | trainer/worker_loss.py |
| the update is done | `_update_actor` returns | trainer/driver.py |
| a checkpoint is saved or loaded | `_save_checkpoint`, `_load_checkpoint` | recovery/ |
| +quantization=nf4: the actor is built | the engine `four_bit_language_model` | platform/four_bit_engine.py |
| all along | a thread asks for vLLM's and Ray's health | recovery/watchdog.py |
| +amir@_global_=advantage: advantages | the estimator `amir_grpo` | trainer/advantage_estimator.py |
| +amir@_global_=ranked: rollouts | the agent loop `ranked_replay` | ranked/replay.py |

Imports nothing heavy. Names go into verl's registries when verl itself imports the module that holds them:
importing the trainer up front would make `import verl` seconds slower in every Ray worker.
"""

import os
import sys
import traceback
from typing import Any

from packaging.specifiers import SpecifierSet

try:
    import wrapt
except ImportError:
    # Said here, because verl reports the error only at DEBUG level.
    print("amir-verl: AMIR is off, wrapt is missing: pip install wrapt", file=sys.stderr)
    raise

SUPPORTED_VERL = ">=0.9.1,<0.10"


def _register_losses(core_algos: Any) -> None:
    from amir_verl.trainer.worker_loss import PREFIX, with_preferences

    losses = {f"{PREFIX}{name}": loss for name, loss in core_algos.POLICY_LOSS_REGISTRY.items()}
    losses["amir_grpo"] = core_algos.POLICY_LOSS_REGISTRY["vanilla"]
    for name, loss in losses.items():
        core_algos.register_policy_loss(name)(with_preferences(loss, name=name))


def _register_estimators(core_algos: Any) -> None:
    from amir_verl.ranked.best_of_group import best_of_group_advantage
    from amir_verl.trainer.advantage_estimator import with_rank_advantage

    grpo = core_algos.ADV_ESTIMATOR_REGISTRY["grpo"]
    core_algos.register_adv_est("amir_grpo")(with_rank_advantage(grpo))
    core_algos.register_adv_est("best_of_group")(best_of_group_advantage)


def _watch_advantages(v1_utils: Any) -> None:
    from amir_verl.trainer.advantage_call import wrap_advantage_call

    wrap_advantage_call(v1_utils)


def _register_trainers(_: Any) -> None:
    import amir_verl.ranked.trainer
    import amir_verl.trainer.driver  # noqa: F401


def _register_agent_loops(_: Any) -> None:
    import amir_verl.ranked.replay  # noqa: F401


def _register_engines(_: Any) -> None:
    import amir_verl.platform.four_bit_engine  # noqa: F401


def _check_runs(verl_config: Any) -> None:
    from amir_verl.trainer.preflight import check_before_ray

    check_before_ray(verl_config, mode_checks={"amir_ranked": _check_ranked_run})


def _check_ranked_run(config: Any) -> None:
    from amir_verl.ranked.checks import check_ranked_run

    check_ranked_run(config)


def _load() -> None:
    import verl

    if verl.__version__ not in SpecifierSet(SUPPORTED_VERL, prereleases=True):
        print(
            f"amir-verl: AMIR is off, verl {verl.__version__} is not supported: "
            f"pip install 'verl{SUPPORTED_VERL}'",
            file=sys.stderr,
        )
        return
    from amir_verl.platform import hydra_errors, weight_socket

    hydra_errors.install()
    weight_socket.name_after_raylet(verl.__version__)
    if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
        from amir_verl.platform import cpu, patches

        cpu.set_environment()
        patches.patch_for_cpu()
    wrapt.register_post_import_hook(_register_losses, "verl.trainer.ppo.core_algos")
    wrapt.register_post_import_hook(_register_estimators, "verl.trainer.ppo.core_algos")
    wrapt.register_post_import_hook(_watch_advantages, "verl.trainer.ppo.v1.utils")
    wrapt.register_post_import_hook(_register_trainers, "verl.trainer.ppo.v1")
    wrapt.register_post_import_hook(_register_agent_loops, "verl.experimental.agent_loop.agent_loop")
    wrapt.register_post_import_hook(_register_engines, "verl.workers.engine")
    wrapt.register_post_import_hook(_check_runs, "verl.utils.config")


try:
    _load()
except Exception:
    # verl logs a failed plugin at DEBUG level and goes on (verl/__init__.py:76): say it where it is seen.
    traceback.print_exc()
    print("amir-verl: the plugin failed to load, AMIR is off (the error stands above)", file=sys.stderr)
    raise
