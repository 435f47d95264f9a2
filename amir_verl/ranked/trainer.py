"""The trainer mode `amir_ranked`: `amir_sync` on given responses, validated by ranking metrics.

Shape suffixes: _N responses, _T tokens.
"""

import uuid
from collections import defaultdict

import numpy as np
import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import register_trainer
from verl.utils import tensordict_utils as tu

from amir_verl.evaluation.metrics.ranking import ranking_metrics
from amir_verl.objective.loss import mean_log_prob
from amir_verl.trainer.driver import AmirTrainerSync

PREFIX = "val-ranked/"


@register_trainer("amir_ranked")
class RankedTrainer(AmirTrainerSync):
    """Samples nothing, so it starts no rollout engine and sends weights to none."""

    # verl's own switch (trainer_base.py:366): the agent loops get a client without servers.
    _enable_hybrid_replicas = False

    def on_init_end(self) -> None:
        return

    def on_sample_end(self) -> None:
        return

    def on_step_end(self) -> None:
        return

    def _validate(self) -> dict[str, float]:
        """Score the validation set's given responses with the policy, and compare with their ranks."""
        scores, ranks, relative = [], [], []
        for rows in self.val_dataloader:
            batch = self._replay(rows)
            score_N, rank_N, relative_N = self._score(batch)
            groups: dict[str, list[int]] = defaultdict(list)
            for row, (key, tag) in enumerate(zip(batch.keys, batch.tags, strict=True)):
                if not tag.get("is_padding", False):
                    groups[key.rsplit("_", 2)[0]].append(row)
            scores += [score_N[members].tolist() for members in groups.values()]
            ranks += [rank_N[members].tolist() for members in groups.values()]
            relative += [relative_N[members].tolist() for members in groups.values()]
            tq.kv_clear(keys=batch.keys, partition_id=batch.partition_id)
        return validation_metrics(scores, ranks, relative=relative if self.use_reference_policy else None)

    def _replay(self, rows: dict) -> KVBatchMeta:
        """Put the given responses of `rows` into the queue, through the agent loop as in training."""
        uids = [str(uuid.uuid4()) for _ in rows["raw_prompt"]]
        prompts = tu.get_tensordict(rows | {"uid": np.array(uids, dtype=object)})
        tu.assign_non_tensor_data(prompts, "global_steps", self.global_steps)
        tu.assign_non_tensor_data(prompts, "validate", True)
        tag = {"is_prompt": True, "status": "pending", "global_steps": self.global_steps}
        tq.kv_batch_put(keys=uids, partition_id="val", tags=[dict(tag) for _ in uids])
        self.agent_loop_manager.generate_sequences(prompts)
        batch, _ = self.replay_buffer.sample(
            global_steps=self.global_steps, partition_id="val", batch_size=len(uids)
        )
        return self._balance_batch(batch, metrics={})

    def _score(self, batch: KVBatchMeta) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each response, (N,): mean log-probability under the policy, its rank, and the former minus that
        of the reference policy (if there is one).
        """
        self._compute_old_log_prob(batch, metrics={})
        fields = ["old_log_probs", "response_mask", "rm_scores"]
        if self.use_reference_policy:
            self._compute_ref_log_prob(batch, metrics={})
            fields.append("ref_log_prob")
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        data = data.to_padded_tensor()
        score_N = mean_log_prob(data["old_log_probs"], data["response_mask"])
        relative_N = score_N
        if self.use_reference_policy:
            relative_N = score_N - mean_log_prob(data["ref_log_prob"], data["response_mask"])
        return score_N, -data["rm_scores"].sum(-1), relative_N


def validation_metrics(
    scores: list[list[float]], ranks: list[list[float]], *, relative: list[list[float]] | None = None
) -> dict[str, float]:
    """`ranking_metrics` as verl logs them, and two figures that tell how the policy came by its order.

    `log_prob_of_best`: mean log-probability of the best-ranked responses. It falls if the policy learns the
    order by giving up on all responses alike. `relative_pairwise_accuracy`: pairwise accuracy of `relative`,
    the scores minus those of the reference policy: what DPO trainers report, and what the loss improves.
    """
    metrics = {f"{PREFIX}{name}": value for name, value in ranking_metrics(scores, ranks).items()}
    if relative is not None:
        metrics[f"{PREFIX}relative_pairwise_accuracy"] = ranking_metrics(relative, ranks)["pairwise_accuracy"]
    best = [
        score
        for group, places in zip(scores, ranks, strict=True)
        for score, place in zip(group, places, strict=True)
        if place == min(places)
    ]
    metrics[f"{PREFIX}log_prob_of_best"] = float(np.mean(best)) if best else float("nan")
    return metrics
