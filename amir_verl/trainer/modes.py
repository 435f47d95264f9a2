"""verl's trainers with AMIR on top, under the names that `trainer.v1.trainer_mode` takes."""

from verl.trainer.ppo.v1 import (
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
    register_trainer,
)

from amir_verl.trainer.driver import AmirTrainer


@register_trainer("amir_sync")
class AmirTrainerSync(AmirTrainer, PPOTrainerSync):
    """verl's synchronous PPO trainer plus AMIR."""


@register_trainer("amir_colocate_async")
class AmirTrainerColocateAsync(AmirTrainer, PPOTrainerColocateAsync):
    """verl's colocated asynchronous PPO trainer plus AMIR."""


@register_trainer("amir_separate_async")
class AmirTrainerSeparateAsync(AmirTrainer, PPOTrainerSeparateAsync):
    """verl's PPO trainer with separate rollout devices plus AMIR; lambda is set at every local update."""
