"""A training whose steps have AMIR on and off in turn: `amir_sync` as benchmarks.step_overhead has it.

verl imports this module in every process (VERL_USE_EXTERNAL_MODULES). A step without AMIR is verl's own: its
advantages, its exchanges with the queue, its loss on the workers, which tell the two kinds of step by the
fields of the batch. Steps go off, on, on, off, ...: in pairs of neighbours, either kind first equally often.
"""

from functools import partial
from typing import Any

import wrapt

ON = "benchmark/with_amir"


def is_on(step: int) -> bool:
    """Whether a step, counted from 1 as verl does, has AMIR."""
    return step % 4 in (2, 3)


def switched_loss(*, with_amir: Any, without: Any, model_output: Any, data: Any, dp_group: Any = None) -> Any:
    """The loss of either kind of step, by what the batch holds."""
    from amir_verl.trainer.worker_loss import ANCHORS

    loss_fn = with_amir if ANCHORS in data.keys() else without  # noqa: SIM118 (a TensorDict has no `in`)
    return loss_fn(model_output=model_output, data=data, dp_group=dp_group)


def _take_the_mode(driver: Any) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.v1 import PPOTrainerSync
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.utils.losses import ppo_loss

    from amir_verl.trainer.worker_loss import preference_loss_fn

    class SwitchedTrainer(driver.AmirTrainerSync):
        """AmirTrainerSync on some steps, PPOTrainerSync on the others."""

        def _setup(self) -> None:
            super()._setup()
            verls = {"policy_loss": {"loss_mode": "vanilla"}}
            plain = OmegaConf.merge(self.config.actor_rollout_ref.actor, verls)
            without = partial(ppo_loss, config=omega_conf_to_dataclass(plain))
            with_amir = partial(preference_loss_fn, loss_fn=partial(ppo_loss, config=self._actor_config))
            self.actor_rollout_wg.set_loss_fn(partial(switched_loss, with_amir=with_amir, without=without))

        def _compute_advantage(self, batch: Any, metrics: dict) -> Any:
            metrics[ON] = float(is_on(self.global_steps))
            kind = driver.AmirTrainerSync if is_on(self.global_steps) else PPOTrainerSync
            return kind._compute_advantage(self, batch, metrics)

        def _update_actor(self, batch: Any, metrics: dict) -> Any:
            kind = driver.AmirTrainerSync if is_on(self.global_steps) else PPOTrainerSync
            return kind._update_actor(self, batch, metrics)

    TRAINER_REGISTRY["amir_sync"] = SwitchedTrainer  # verl's register_trainer takes no name twice


wrapt.register_post_import_hook(_take_the_mode, "amir_verl.trainer.driver")
