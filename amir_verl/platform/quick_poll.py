"""verl's replay buffers, polled often enough for one-second steps."""

from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

POLL_SECONDS = 0.05


def quick_poll_replay_buffer(*, trainer_mode: str, **settings: Any) -> ReplayBuffer:
    """verl's own buffer for the trainer mode, polled every 0.05 s instead of every 2 s.

    verl's group filter does not reach a custom sampler (trainer_base.py:158). A run with
    `algorithm.filter_groups` is refused until it sets `trainer.v1.sampler.custom_sampler.path=null`.
    """
    buffer = ReplayBuffer if trainer_mode == "sync" else ReplayBufferAsync
    return buffer(trainer_mode=trainer_mode, poll_interval=POLL_SECONDS, **settings)
