"""verl's trainers with AMIR on top, under the names that `trainer.v1.trainer_mode` takes."""

from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from amir_verl.trainer.driver import AmirTrainer


@register_trainer("amir_sync")
class AmirTrainerSync(AmirTrainer, PPOTrainerSync):
    """verl's synchronous PPO trainer plus AMIR."""
