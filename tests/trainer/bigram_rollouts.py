"""One step's rollouts on a bigram model whose every probability can be followed by hand."""

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.workers.utils.padding import response_from_nested

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.loss import amir_loss, mean_log_prob
from amir_verl.trainer.worker_loss import ANCHORS, BETA, ENDS, LAMBDA, POLICY_WEIGHT, WEIGHTS

VOCABULARY = 7
LAMBDA_VALUE = 0.37
CONFIG = AmirConfig(beta=3.0, rank_weighting="linear")
# Sixteen rows: ragged groups, the last one a row that pads the batch. Row 5 has no token in its mask.
GROUP_SIZES = (6, 5, 4, 1)
EMPTY_ROW = 5


class Rollouts:
    """One step's rollouts as the driver sees them, and the policies that made and learn from them."""

    def __init__(self, *, drift: float = 0.3, config: AmirConfig = CONFIG) -> None:
        draw = torch.Generator().manual_seed(5)
        total = sum(GROUP_SIZES)
        self.config = config
        self.old_weight = torch.randn(VOCABULARY, VOCABULARY, generator=draw, dtype=torch.float64)
        noise = torch.randn(VOCABULARY, VOCABULARY, generator=draw, dtype=torch.float64)
        self.weight = self.old_weight + drift * noise
        # The rows of a group lie anywhere, so that ranks and micro-batches split every group.
        group = torch.repeat_interleave(torch.arange(len(GROUP_SIZES)), torch.tensor(GROUP_SIZES))
        self.group = group[torch.randperm(total, generator=draw)]
        self.eligible = self.group != len(GROUP_SIZES) - 1
        self.rewards = torch.randint(0, 3, (total,), generator=draw).float()
        lengths = torch.randint(1, 7, (total, 2), generator=draw).tolist()
        prompts = [torch.randint(0, VOCABULARY, (p,), generator=draw) for p, _ in lengths]
        responses = [torch.randint(0, VOCABULARY, (r,), generator=draw) for _, r in lengths]
        masks = [torch.ones_like(response) for response in responses]
        masks[EMPTY_ROW].zero_()
        advantages = torch.randn(total, generator=draw, dtype=torch.float64)
        self.eligible[EMPTY_ROW] = False
        data = {
            "prompts": jagged(prompts),
            "responses": jagged(responses),
            "input_ids": jagged([torch.cat(pair) for pair in zip(prompts, responses, strict=True)]),
            "response_mask": jagged(masks),
            "loss_mask": jagged(masks),
            "advantages": jagged([a * mask for a, mask in zip(advantages, masks, strict=True)]),
        }
        log_probs = bigram_log_probs(self.old_weight, data["input_ids"])
        data["old_log_probs"] = response_from_nested(log_probs, data["response_mask"])
        self.data = tu.get_tensordict(data)
        self.data["old_log_probs"] = data["old_log_probs"]

    def preferences(self) -> Preferences:
        mask = padded(self.data["response_mask"]).bool()
        mean = mean_log_prob(padded(self.data["old_log_probs"]), mask)
        return step_preferences(mean, self.rewards, self.group, self.eligible, self.config)

    def actor_batch(
        self, *, lambda_: float = LAMBDA_VALUE, policy_weight: float = 1.0, stacked: bool = False
    ) -> TensorDict:
        """The whole batch with AMIR's fields, as the actors receive it."""
        preferences = self.preferences()
        data = self.data.copy()
        anchors = preferences.jagged(preferences.anchor_M)
        weights = preferences.jagged(preferences.signed_weight_M)
        if stacked:
            anchors, weights = padded(anchors), padded(weights)
        data[ANCHORS], data[WEIGHTS] = anchors, weights
        settings = {
            LAMBDA: lambda_,
            BETA: preferences.beta,
            POLICY_WEIGHT: policy_weight,
            ENDS: self.config.moving_ends,
        }
        return tu.assign_non_tensor(data, **settings, global_batch_size=len(data))

    def one_process_loss(self, weight: Tensor, *, anchored: bool = True) -> Tensor:
        """L_pref of the batch by `amir_loss`."""
        mask = self.data["response_mask"]
        live = response_from_nested(bigram_log_probs(weight, self.data["input_ids"]), mask)
        loss, _ = amir_loss(
            padded(live),
            padded(mask),
            self.rewards,
            self.group,
            self.config,
            old_log_prob=padded(self.data["old_log_probs"]) if anchored else None,
            eligible=self.eligible,
        )
        return loss

    def one_process_gradient(self, *, anchored: bool = True) -> Tensor:
        weight = self.weight.clone().requires_grad_()
        return torch.autograd.grad(self.one_process_loss(weight, anchored=anchored), weight)[0]


def jagged(rows: list[Tensor]) -> Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def padded(values: Tensor) -> Tensor:
    return torch.nested.to_padded_tensor(values, 0)


def bigram_log_probs(weight: Tensor, input_ids: Tensor) -> Tensor:
    """Log-probability of each next token, nested over prompt and response as verl's engines give it."""
    tokens = input_ids.values()
    table = torch.log_softmax(weight, dim=-1)
    # The last token's successor is the next row's first: a place that verl never reads.
    return torch.nested.nested_tensor_from_jagged(table[tokens, tokens.roll(-1)], offsets=input_ids.offsets())
