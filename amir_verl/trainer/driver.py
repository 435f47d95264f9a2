"""The driver's side: what AMIR adds to a step of verl's PPO trainers.

One mixin over verl's trainer classes. After verl has computed the advantages, the mixin mines the step's
pairs, puts each response's siblings into the TransferQueue, and sets lambda.

Shape suffixes: _N responses of the batch, _T tokens.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
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

from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.loss import mean_log_prob
from amir_verl.recovery.checkpoint_mark import MarkingCallback, mark_unfinished
from amir_verl.recovery.resume_point import choose_resume_point, restore_lambda
from amir_verl.recovery.watchdog import Watchdog
from amir_verl.trainer.broken_rewards import broken_rewards, neutral_rewards
from amir_verl.trainer.preflight import TRAINER_MODES, amir_config, check_run
from amir_verl.trainer.rows import degenerate_counts, describe_rows
from amir_verl.trainer.worker_loss import (
    ANCHORS,
    BETA,
    ENDS,
    LAMBDA,
    POLICY_WEIGHT,
    WEIGHTS,
    preference_loss_fn,
)
from reward_fns.reward_metrics import reward_metrics


class AmirTrainer(PPOTrainer):
    """Mixin over a verl trainer: `class AmirSync(AmirTrainer, PPOTrainerSync)`."""

    def __init__(self, config: DictConfig) -> None:
        check_run(config)
        choose_resume_point(config.trainer)
        self._amir = amir_config(config)
        self._lambda = LambdaController(self._amir)
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
        dropped_N = self._take_in_rewards(batch, metrics)
        batch = super()._compute_advantage(batch, metrics)

        fields = [
            "response_mask",
            "rm_scores",
            "old_log_probs",
            "advantages",
            "ref_log_prob",
            "rollout_is_weights",
        ]
        if self._amir.mask_truncated:
            fields.append("responses")
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        data = data.to_padded_tensor()
        preferences = self._mine(batch, data, dropped_N)
        policy_NT = self._policy_gradient(data)
        lambda_ = self._set_lambda(preferences, policy_NT, data["response_mask"], metrics)

        entries = {
            ANCHORS: preferences.jagged(preferences.anchor_M),
            WEIGHTS: preferences.jagged(preferences.signed_weight_M),
        }
        # The workers see the fields that the batch names: those of the newest put.
        batch = tq.kv_batch_put(
            keys=batch.keys,
            partition_id=batch.partition_id,
            fields=TensorDict(entries, batch_size=len(batch)),
        )
        batch.extra_info[LAMBDA], batch.extra_info[BETA] = lambda_, preferences.beta
        batch.extra_info[POLICY_WEIGHT] = self._amir.policy_weight
        batch.extra_info[ENDS] = self._amir.moving_ends
        metrics.update(preferences.metrics)
        rows = describe_rows(batch.keys, batch.tags)
        spoken_N = data["response_mask"].bool().any(-1)
        metrics.update(degenerate_counts(rows, spoken_N=spoken_N, dropped_N=dropped_N))
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        batch = super()._update_actor(batch, metrics)
        # verl puts "actor/" before every metric of the actor's update.
        for name in [name for name in metrics if name.startswith("actor/amir/")]:
            metrics[name.removeprefix("actor/")] = metrics.pop(name)
        self._lambda.end_step(policy_loss=metrics["actor/pg_loss"], preference_loss=metrics["amir/loss"])
        return batch

    def _save_checkpoint(self) -> None:
        mark_unfinished(Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}")
        super()._save_checkpoint()  # ends with the callback, which marks the folder as complete

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps > 0:
            restore_lambda(self._lambda.load_state_dict, self.config.trainer, self.global_steps)

    def _take_in_rewards(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> Tensor:
        """Log what the reward function said, and give rows whose reward is broken their group's mean
        before verl computes advantages; which rows, (N,).
        """
        fields = ["rm_scores", "extra_fields"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        scores = data["rm_scores"]
        # verl logs these in validation alone; without them nobody sees a reward that times out. A reward that
        # is a bare number, or a reward model's, leaves none.
        # list: a queue's backend decides whether these come as a list, an array or tensordict's stack.
        extras = list(data["extra_fields"]) if "extra_fields" in data else [{}] * len(batch)
        rows = describe_rows(batch.keys, batch.tags)
        reward_N = scores.to_padded_tensor(0.0).sum(-1) if scores.is_nested else scores.sum(-1)
        broken_N = broken_rewards(reward_N)
        sound = (~rows.padding_N & ~broken_N).tolist()  # one NaN would be the mean of all
        infos = [extra.get("reward_extra_info") for extra, kept in zip(extras, sound, strict=True) if kept]
        metrics.update(reward_metrics(info for info in infos if info))
        if bool(broken_N.any()):
            fields = {"rm_scores": neutral_rewards(scores, reward_N, rows.group_N)}
            tq.kv_batch_put(
                keys=batch.keys,
                partition_id=batch.partition_id,
                fields=TensorDict(fields, batch_size=len(batch)),
            )
        return broken_N

    def _mine(self, batch: KVBatchMeta, data: TensorDict, dropped_N: Tensor) -> Preferences:
        mask_NT = data["response_mask"].bool()
        rows = describe_rows(batch.keys, batch.tags)
        eligible_N = rows.final_N & ~rows.padding_N & ~dropped_N & mask_NT.any(-1)
        if self._amir.mask_truncated:
            full_N = mask_NT.sum(-1) >= self.config.data.max_response_length
            last_N = data["responses"][torch.arange(len(batch)), mask_NT.sum(-1).clamp(min=1) - 1]
            eligible_N &= ~(full_N & (last_N != self.tokenizer.eos_token_id))
        use_reference = self._amir.reference != "none" and "ref_log_prob" in data
        return step_preferences(
            mean_log_prob(data["old_log_probs"], mask_NT),
            data["rm_scores"].sum(-1),
            rows.group_N,
            eligible_N,
            self._amir,
            ref_mean_N=mean_log_prob(data["ref_log_prob"], mask_NT) if use_reference else None,
            groups=int(rows.group_N[~rows.padding_N].unique().numel()),
        )

    def _policy_gradient(self, data: TensorDict) -> Tensor:
        """dL_policy/dlogp at the old policy, (N, T), by verl's own policy loss on the driver, times its
        weight: no model pass.
        """
        actor = self._actor_config
        mask_NT = data["response_mask"].bool()
        actor.global_batch_info.update(
            dp_size=1,
            batch_num_tokens=int(mask_NT.sum()),
            global_batch_size=len(data),
            loss_scale_factor=actor.loss_scale_factor,
        )
        old_NT = data["old_log_probs"]
        live_NT = old_NT.clone().requires_grad_()
        policy_loss = get_policy_loss_fn(actor.policy_loss.loss_mode).__wrapped__
        # clip_cov and others draw random tokens: the driver's own stream stays as it was.
        with torch.random.fork_rng(devices=[]):
            loss, _ = policy_loss(
                old_log_prob=old_NT,
                log_prob=live_NT,
                advantages=data["advantages"],
                response_mask=mask_NT,
                loss_agg_mode=actor.loss_agg_mode,
                config=actor,
                rollout_is_weights=data.get("rollout_is_weights", None),
            )
        (gradient_NT,) = torch.autograd.grad(loss, live_NT, allow_unused=True)
        return (
            torch.zeros_like(old_NT)
            if gradient_NT is None
            else self._amir.policy_weight * gradient_NT * mask_NT
        )

    def _set_lambda(
        self, preferences: Preferences, policy_NT: Tensor, mask_NT: Tensor, metrics: dict[str, Any]
    ) -> float:
        length_N = mask_NT.bool().sum(-1).clamp(min=1)
        preference_N = preferences.gradient_N / length_N  # dL_pref/dlogp of each token of the response
        policy_norm = float(policy_NT.double().square().sum().sqrt())
        preference_norm = float((preference_N.square() * length_N).sum().sqrt())
        dot = float((policy_NT.double().sum(-1) * preference_N).sum())
        lambda_ = self._lambda.begin_step(policy_norm=policy_norm, preference_norm=preference_norm)
        metrics["amir/lambda"] = lambda_
        metrics["amir/grad_ratio"] = lambda_ * preference_norm / policy_norm if policy_norm else 0.0
        norms = policy_norm * preference_norm
        metrics["amir/cos_policy"] = dot / norms if norms else 0.0
        return lambda_


@register_trainer("amir_sync")
class AmirTrainerSync(AmirTrainer, PPOTrainerSync):
    """verl's synchronous PPO trainer plus AMIR."""


@register_trainer("amir_colocate_async")
class AmirTrainerColocateAsync(AmirTrainer, PPOTrainerColocateAsync):
    """verl's colocated asynchronous PPO trainer plus AMIR."""


@register_trainer("amir_separate_async")
class AmirTrainerSeparateAsync(AmirTrainer, PPOTrainerSeparateAsync):
    """verl's PPO trainer with separate rollout devices plus AMIR; lambda is set at every local update."""
