"""What sets lambda and what `amir/grad_ratio` measures, against verl's own loss on a real model's tokens."""

from functools import partial

import pytest
import torch
from actor_update import AGGREGATIONS, actor_config
from bigram_rollouts import jagged, padded
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, get_policy_loss_fn
from verl.utils import tensordict_utils as tu
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import response_from_nested

from amir_verl.config import AmirConfig
from amir_verl.demo.model import build_model, build_tokenizer
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.loss import amir_loss
from amir_verl.trainer.rows import Rows
from amir_verl.trainer.step import (
    Tokens,
    gradient_norms,
    measured_ratio,
    prefer,
    read_tokens,
    set_lambda,
    verl_policy_gradient,
)
from amir_verl.trainer.worker_loss import (
    ANCHORS,
    BETA,
    ENDS,
    LAMBDA,
    POLICY_SQUARE,
    POLICY_WEIGHT,
    PREFERENCE_SQUARE,
    WEIGHTS,
    preference_loss_fn,
)

pytestmark = pytest.mark.usefixtures("cpu_platform")

AMIR_LOSSES = sorted(name for name in POLICY_LOSS_REGISTRY if name.startswith("amir_"))
CHOOSE_TOKENS = {"amir_clip_cov", "amir_kl_cov"}  # by all that they are given: a chunk chooses for itself
CONFIG = AmirConfig(beta=3.0, rank_weighting="linear", lambda_target=0.7, lambda_max=1e9)
# Norms of some sixty float64 tokens, added up in another order.
NORM = 1e-9


class Rollouts:
    """Answers of several turns by a two-layer Qwen2, float64, in three groups of four.

    Rows rise in length, as chunks do, so that a loss that draws tokens at random draws the same ones.
    """

    def __init__(self):
        draw = torch.Generator().manual_seed(3)
        tokenizer = build_tokenizer()
        model = build_model("qwen2", tokenizer, hidden_size=32, seed=1).double()
        lengths = torch.arange(12) // 2 + 2
        prompts = [torch.randint(3, len(tokenizer), (2 + row % 3,), generator=draw) for row in range(12)]
        responses = [torch.randint(3, len(tokenizer), (n,), generator=draw) for n in lengths.tolist()]
        masks = [torch.ones_like(response) for response in responses]
        masks[0].zero_()  # no token of the policy's own
        for row in (5, 8, 11):
            masks[row][1:3] = 0  # a tool's
        self.group = torch.arange(12) % 3
        self.reward = torch.randint(0, 3, (12,), generator=draw).float()
        advantage = torch.randn(12, generator=draw, dtype=torch.float64)
        weights = [torch.rand(n, generator=draw, dtype=torch.float64) + 0.5 for n in lengths.tolist()]
        inputs = jagged([torch.cat(pair) for pair in zip(prompts, responses, strict=True)])
        with torch.no_grad():
            logits = model(input_ids=padded(inputs)).logits.log_softmax(-1)  # padding stands on the right
        rows = []
        for row, tokens in enumerate(inputs.unbind()):
            known = logits[row, : len(tokens) - 1].gather(-1, tokens[1:, None])[:, 0]
            rows.append(torch.cat([known, known.new_zeros(1)]))
        self.log_probs = jagged(rows)
        self.moved = jagged([row + 0.3 * torch.randn(len(row), generator=draw) for row in rows])
        mask = jagged(masks)
        old = response_from_nested(self.log_probs, mask)
        self.data = tu.get_tensordict({"prompts": jagged(prompts), "responses": jagged(responses)})
        self.data["response_mask"], self.data["old_log_probs"] = mask, old
        self.data["advantages"] = jagged([a * row for a, row in zip(advantage, masks, strict=True)])
        self.data["rollout_is_weights"] = jagged(weights)
        tu.assign_non_tensor(
            self.data, dp_size=1, batch_num_tokens=int(mask.values().sum()), global_batch_size=12
        )
        self.mask, self.old = padded(mask).bool(), padded(old)
        self.eligible = self.mask.any(-1)

    def tokens(self):
        advantage, weight = padded(self.data["advantages"]), padded(self.data["rollout_is_weights"])
        return Tokens(self.old, self.mask, advantage, weight)

    def preferences(self, sums):
        rows = Rows(self.group, torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool))
        return prefer(sums, self.reward, rows, self.eligible, CONFIG)

    def policy_gradient(self, name, log_probs, **settings):
        """dL_policy/dlogp of each token in the mask, by verl's loss function on the whole batch."""
        values = log_probs.values().clone().requires_grad_()
        live = torch.nested.nested_tensor_from_jagged(values, offsets=log_probs.offsets())
        plain = "vanilla" if name == "amir_grpo" else name.removeprefix("amir_")
        torch.manual_seed(3)  # some of verl's losses draw tokens
        loss, _ = ppo_loss(actor_config(plain, **settings), {"log_probs": live}, self.data.copy())
        (gradient,) = torch.autograd.grad(loss, values)
        gradient = torch.nested.nested_tensor_from_jagged(gradient, offsets=log_probs.offsets())
        return padded(response_from_nested(gradient, self.data["response_mask"])) * self.mask

    def preference_gradient(self, log_probs, *, anchored):
        live = padded(response_from_nested(log_probs, self.data["response_mask"])).requires_grad_()
        old = self.old if anchored else None
        arguments = (live, self.mask, self.reward, self.group, CONFIG)
        loss, _ = amir_loss(*arguments, old_log_prob=old, eligible=self.eligible)
        return torch.autograd.grad(loss, live)[0]


@pytest.fixture(scope="module")
def rollouts():
    return Rollouts()


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("name", AMIR_LOSSES)
def test_lambda_is_set_by_the_norms_of_both_losses(rollouts, name, mode):
    policy = rollouts.policy_gradient(name, rollouts.log_probs, loss_agg_mode=mode)
    preference = rollouts.preference_gradient(rollouts.log_probs, anchored=False)
    assert float(policy.norm()) > 0 and float(preference.norm()) > 0

    tokens = rollouts.tokens()
    for chunk_tokens in (10**6,) if name in CHOOSE_TOKENS else (10**6, 16):
        actor = actor_config(name, loss_agg_mode=mode)
        gradient = verl_policy_gradient(get_policy_loss_fn(name).__wrapped__, actor, tokens)
        torch.manual_seed(3)
        sums = read_tokens(tokens, gradient, chunk_tokens=chunk_tokens)
        norms = gradient_norms(sums, rollouts.preferences(sums), policy_weight=0.5)
        assert norms.policy == pytest.approx(0.5 * float(policy.norm()), rel=NORM)
        assert norms.preference == pytest.approx(float(preference.norm()), rel=NORM)
        largest = norms.policy * norms.preference
        assert norms.dot == pytest.approx(0.5 * float((policy * preference).sum()), abs=NORM * largest)

        lambda_, metrics = set_lambda(LambdaController(CONFIG), norms)
        reached = lambda_ * float(preference.norm()) / (0.5 * float(policy.norm()))
        assert reached == pytest.approx(CONFIG.lambda_target, rel=NORM)
        cosine = float((policy * preference).sum() / policy.norm() / preference.norm())
        assert metrics["amir/cos_policy"] == pytest.approx(cosine, abs=NORM)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("name", AMIR_LOSSES)
def test_the_logged_ratio_is_that_of_the_gradients_in_the_update(rollouts, name, mode):
    """At a policy that has moved: what lambda was set by is no help there."""
    policy = 0.5 * rollouts.policy_gradient(name, rollouts.moved, loss_agg_mode=mode)
    preference = rollouts.preference_gradient(rollouts.moved, anchored=True)

    sums = read_tokens(rollouts.tokens(), None)
    preferences, data = rollouts.preferences(sums), rollouts.data.copy()
    data[ANCHORS] = preferences.jagged(preferences.anchor_M)
    data[WEIGHTS] = preferences.jagged(preferences.signed_weight_M)
    tu.assign_non_tensor(data, **{LAMBDA: 0.37, BETA: preferences.beta, POLICY_WEIGHT: 0.5, ENDS: 2})
    values = rollouts.moved.values().clone().requires_grad_()
    live = torch.nested.nested_tensor_from_jagged(values, offsets=rollouts.moved.offsets())
    loss_fn = partial(ppo_loss, config=actor_config(name, loss_agg_mode=mode))
    torch.manual_seed(3)
    _, metrics = preference_loss_fn(loss_fn=loss_fn, model_output={"log_probs": live}, data=data)
    squares = {key: metrics[key].aggregate() for key in (POLICY_SQUARE, PREFERENCE_SQUARE)}
    ratio = measured_ratio(
        0.37, policy_square=squares[POLICY_SQUARE], preference_square=squares[PREFERENCE_SQUARE]
    )
    # Anchors and weights travel in float32, whose rounding is 6e-8.
    assert ratio == pytest.approx(0.37 * float(preference.norm() / policy.norm()), rel=1e-6)
