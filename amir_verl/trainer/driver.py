"""The driver's side: what AMIR adds to a step of verl's PPO trainers.

One mixin over verl's trainer classes. It carries: around verl's advantages it takes in a step's batch and
rewards, has `step.py` compute pairs and lambda from them, and puts each response's siblings into the
TransferQueue. One get and one put more than verl's own.

Shape suffixes: _N responses of the batch, _T tokens.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop import AgentLoopManager
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.v1 import (
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
    register_trainer,
)
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import response_to_nested

from amir_verl.objective.anchors import Preferences
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.recovery.checkpoint_mark import MarkingCallback, mark_unfinished
from amir_verl.recovery.resume_point import choose_resume_point, restore_lambda
from amir_verl.recovery.watchdog import Watchdog
from amir_verl.trainer.advantage_call import watch_advantage_call
from amir_verl.trainer.broken_rewards import broken_rewards, neutral_rewards
from amir_verl.trainer.no_pairs import NoPairsWatch
from amir_verl.trainer.preflight import amir_config
from amir_verl.trainer.preset import TRAINER_MODES
from amir_verl.trainer.right_answers import right_answer_metrics, right_rows
from amir_verl.trainer.rows import Rows, as_jagged, cut_off, degenerate_counts, describe_rows
from amir_verl.trainer.step import (
    Tokens,
    gradient_norms,
    measured_ratio,
    prefer,
    read_tokens,
    set_lambda,
    sound_rows,
    verl_policy_gradient,
)
from amir_verl.trainer.worker_loss import (
    ANCHORS,
    BETA,
    ENDS,
    FIRST_DRIFT,
    LAMBDA,
    POLICY_SQUARE,
    POLICY_WEIGHT,
    PREFERENCE_SQUARE,
    WEIGHTS,
    preference_loss_fn,
)
from reward_fns.reward_metrics import reward_metrics


class TakenIn(NamedTuple):
    """What a step knows of its rewards and responses before advantages are computed.

    reward_N: raw rewards; broken_N: those to do without; right_N: right responses; responses: token ids,
    jagged; repaired: token rewards without the broken ones, jagged, None where none was broken.
    """

    reward_N: Tensor
    broken_N: Tensor
    right_N: Tensor
    responses: Tensor
    repaired: Tensor | None


class AmirTrainer(PPOTrainer):
    """Mixin over a verl trainer: `class AmirSync(AmirTrainer, PPOTrainerSync)`."""

    def __init__(self, config: DictConfig) -> None:
        self._amir = amir_config(config)  # the run was checked before Ray started
        choose_resume_point(config.trainer)
        self._lambda = LambdaController(self._amir)
        self._no_pairs = NoPairsWatch(self._amir.reward_margin)
        # verl picks its replay buffer, batch sizes and checkpoints by the mode's name (trainer_base.py:127,
        # and self.trainer_mode after it): an unknown name would get the asynchronous paths.
        with open_dict(config):
            config.trainer.v1.trainer_mode = TRAINER_MODES[config.trainer.v1.trainer_mode]
        super().__init__(config)
        self.checkpoint_callback = MarkingCallback(
            self.checkpoint_callback, config.trainer, self._lambda.state_dict
        )

    def _setup(self) -> None:
        super()._setup()
        self._actor_config = omega_conf_to_dataclass(self.config.actor_rollout_ref.actor)
        self._policy_loss = get_policy_loss_fn(self._actor_config.policy_loss.loss_mode).__wrapped__
        loss_fn = partial(preference_loss_fn, loss_fn=partial(ppo_loss, config=self._actor_config))
        self.actor_rollout_wg.set_loss_fn(loss_fn)

    def on_init_end(self) -> None:
        with Watchdog(self._parts):
            super().on_init_end()

    def fit(self, agent_loop_manager: AgentLoopManager) -> None:
        with Watchdog(self._parts):
            super().fit(agent_loop_manager)

    def _parts(self) -> tuple[dict[str, Any], list[str]]:
        """Every actor that the trainer waits for, by name, and the addresses of the vLLM servers."""
        replicas = [
            replica for manager in self._rollout_server_managers() for replica in manager.get_replicas()
        ]
        groups = {
            "worker": self.actor_rollout_wg.workers,
            "rollout server": [server for replica in replicas for server in replica.servers],
            "agent loop": getattr(getattr(self, "agent_loop_manager", None), "agent_loop_workers", []),
        }
        actors = {
            f"{kind} {rank}": actor for kind, group in groups.items() for rank, actor in enumerate(group)
        }
        with_vllm = self.config.actor_rollout_ref.rollout.name == "vllm"
        return actors, [replica.server_address for replica in replicas] if with_vllm else []

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        rows = describe_rows(batch.keys, batch.tags)
        with watch_advantage_call(partial(self._take_in, batch, rows, metrics)) as call:
            batch = super()._compute_advantage(batch, metrics)
        taken: TakenIn = call.prepared
        tokens = Tokens(
            old_NT=call.batch["old_log_probs"],
            mask_NT=call.batch["response_mask"],
            advantage_NT=call.batch["advantages"],
            weight_NT=call.batch.get("rollout_is_weights", None),
            reference_NT=call.batch.get("ref_log_prob", None),
        )
        sums = read_tokens(tokens, verl_policy_gradient(self._policy_loss, self._actor_config, tokens))
        sound_N = sound_rows(rows, length_N=sums.length_N, broken_N=taken.broken_N)
        eligible_N = sound_N
        if self._amir.mask_truncated:
            limit, end = self.config.data.max_response_length, self.tokenizer.eos_token_id
            eligible_N = sound_N & ~cut_off(taken.responses, limit=limit, end_token=end)
        preferences = prefer(sums, taken.reward_N, rows, eligible_N, self._amir)
        without = self._no_pairs.after_step(
            pairs=int(preferences.metrics["amir/num_pairs"]),
            reward_N=taken.reward_N,
            group_N=rows.group_N,
            eligible_N=eligible_N,
        )
        if without:
            print(without, flush=True)
        metrics["amir/steps_without_pairs"] = float(self._no_pairs.steps)
        norms = gradient_norms(sums, preferences, policy_weight=self._amir.policy_weight)
        lambda_, lambda_metrics = set_lambda(self._lambda, norms)
        metrics |= preferences.metrics | lambda_metrics
        metrics |= degenerate_counts(rows, spoken_N=sums.length_N > 0, dropped_N=taken.broken_N)
        metrics |= right_answer_metrics(taken.responses, taken.right_N, sums.mean_N, rows, sound_N)
        return self._send(batch, preferences, lambda_, repaired=taken.repaired)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        batch = super()._update_actor(batch, metrics)
        # verl puts "actor/" before every metric of the actor's update.
        for name in [name for name in metrics if name.startswith("actor/amir/")]:
            metrics[name.removeprefix("actor/")] = metrics.pop(name)
        metrics["amir/grad_ratio"] = measured_ratio(
            batch.extra_info[LAMBDA],
            policy_square=metrics.pop(POLICY_SQUARE),
            preference_square=metrics.pop(PREFERENCE_SQUARE),
        )
        # The smallest drift of the step's mini-batches is that of the first: no weight has moved yet.
        metrics["amir/engine_gap"] = metrics.pop(FIRST_DRIFT)
        self._lambda.end_step(policy_loss=metrics["actor/pg_loss"], preference_loss=metrics["amir/loss"])
        return batch

    def _save_checkpoint(self) -> None:
        mark_unfinished(Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}")
        super()._save_checkpoint()  # ends with the callback, which marks the folder as complete

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps > 0:
            restore_lambda(self._lambda.load_state_dict, self.config.trainer, self.global_steps)

    def _take_in(self, batch: KVBatchMeta, rows: Rows, metrics: dict[str, Any], data: TensorDict) -> TakenIn:
        """Before verl computes advantages: log what the reward function said, and give rows whose reward is
        broken their group's mean.
        """
        reward_N = data["token_level_scores"].sum(-1)
        broken_N = broken_rewards(reward_N)
        queue = {"keys": batch.keys, "partition_id": batch.partition_id}
        more = tq.kv_batch_get(**queue, select_fields=["responses", "extra_fields"])
        # verl logs reward extras only in validation; log them here so timeouts show. A reward that is a bare
        # number, or a reward model's, has none.
        # list: a queue's backend decides whether these come as a list, an array or tensordict's stack.
        extras = list(more["extra_fields"]) if "extra_fields" in more else [{}] * len(batch)
        infos = [extra.get("reward_extra_info") for extra in extras]
        sound = (~rows.padding_N & ~broken_N).tolist()  # one NaN would be the mean of all
        metrics |= reward_metrics(info for info, kept in zip(infos, sound, strict=True) if info and kept)
        responses = as_jagged(more["responses"])
        repaired = None
        if bool(broken_N.any()):
            mask_NT = data["response_mask"]
            raw_NT, reward_NT = data["token_level_scores"], data["token_level_rewards"]
            data["token_level_scores"] = neutral_rewards(raw_NT, broken_N, rows.group_N, mask_NT)
            data["token_level_rewards"] = neutral_rewards(reward_NT, broken_N, rows.group_N, mask_NT)
            repaired = response_to_nested(data["token_level_scores"], responses)
        return TakenIn(reward_N, broken_N, right_rows(reward_N, infos), responses, repaired)

    def _send(
        self, batch: KVBatchMeta, preferences: Preferences, lambda_: float, *, repaired: Tensor | None
    ) -> KVBatchMeta:
        """Put each response's siblings into the queue, and what is one for all into the batch."""
        fields = {
            ANCHORS: preferences.jagged(preferences.anchor_M),
            WEIGHTS: preferences.jagged(preferences.signed_weight_M),
        }
        if repaired is not None:
            fields["rm_scores"] = repaired  # what verl logs of the rewards later
        # Workers read only the fields named by the latest put: keep its return value.
        batch = tq.kv_batch_put(
            keys=batch.keys,
            partition_id=batch.partition_id,
            fields=TensorDict(fields, batch_size=len(batch)),
        )
        batch.extra_info |= {
            LAMBDA: lambda_,
            BETA: preferences.beta,
            POLICY_WEIGHT: self._amir.policy_weight,
            ENDS: self._amir.moving_ends,
        }
        return batch


@register_trainer("amir_sync")
class AmirTrainerSync(AmirTrainer, PPOTrainerSync):
    """verl's synchronous PPO trainer plus AMIR."""


@register_trainer("amir_colocate_async")
class AmirTrainerColocateAsync(AmirTrainer, PPOTrainerColocateAsync):
    """verl's colocated asynchronous PPO trainer plus AMIR."""


@register_trainer("amir_separate_async")
class AmirTrainerSeparateAsync(AmirTrainer, PPOTrainerSeparateAsync):
    """verl's PPO trainer with separate rollout devices plus AMIR; lambda is set at every local update."""
