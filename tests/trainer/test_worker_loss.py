"""The worker's loss inside verl's own actor update: right for every loss and setting."""

import pytest
import torch
from actor_update import AGGREGATIONS, actor_config, update_actor
from bigram_rollouts import LAMBDA_VALUE, Rollouts, bigram_log_probs, padded
from closeness import FLOAT32, METRIC, assert_same
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, get_policy_loss_fn
from verl.utils import tensordict_utils as tu
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import response_from_nested

from amir_verl.config import AmirConfig
from amir_verl.objective.loss import mean_log_prob
from amir_verl.trainer import worker_loss
from amir_verl.trainer.worker_loss import preference_loss_fn, with_preferences

AMIR_LOSSES = sorted(name for name in POLICY_LOSS_REGISTRY if name.startswith("amir_"))


pytestmark = pytest.mark.usefixtures("one_rank")


@pytest.fixture(scope="module")
def rollouts():
    return Rollouts()


def plain_name(name):
    return "vanilla" if name == "amir_grpo" else name.removeprefix("amir_")


def test_the_batch_is_what_the_tests_need(rollouts):
    preferences = rollouts.preferences()
    assert preferences.metrics["amir/num_pairs"] > 10
    halves = rollouts.group.chunk(2)
    assert len(set(halves[0].tolist()) & set(halves[1].tolist())) >= 3, "groups lie on both ranks"
    # The empty row and the one that pads the batch weigh nothing.
    idle = [row for row in range(16) if not rollouts.eligible[row]]
    weights = preferences.jagged(preferences.signed_weight_M).unbind()
    assert len(idle) == 2 and all(weights[row].tolist() == [0.0] for row in idle)


def test_every_loss_of_verl_has_its_amir_twin():
    plain = {name for name in POLICY_LOSS_REGISTRY if not name.startswith("amir_")}
    assert len(plain) >= 12
    assert set(AMIR_LOSSES) == {f"amir_{name}" for name in plain} | {"amir_grpo"}


@pytest.mark.parametrize("split", [{}, {"micro_batch_size": 4}], ids=["whole", "four rows"])
@pytest.mark.parametrize("name", AMIR_LOSSES)
def test_gradient_is_verls_own_plus_lambda_times_amir_loss(rollouts, name, split):
    batch = rollouts.actor_batch()
    gradient, metrics = update_actor(rollouts, batch, actor_config(name), **split)
    plain_gradient, plain_metrics = update_actor(rollouts, batch, actor_config(plain_name(name)), **split)
    preference_gradient = rollouts.one_process_gradient()
    assert_same(gradient, plain_gradient + LAMBDA_VALUE * preference_gradient, relative=FLOAT32)
    assert_same((gradient - plain_gradient) / LAMBDA_VALUE, preference_gradient, relative=FLOAT32)
    # What verl reports of its own loss is its own loss.
    for metric, value in plain_metrics.items():
        assert metrics[metric] == pytest.approx(value, **METRIC), metric
    assert set(metrics) == set(plain_metrics) | {
        "amir/loss",
        "amir/drift",
        worker_loss.FIRST_DRIFT,
        worker_loss.POLICY_SQUARE,
        worker_loss.PREFERENCE_SQUARE,
    }


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("factor", [None, 10])
def test_how_verl_aggregates_its_own_loss_means_nothing_to_the_preferences(rollouts, mode, factor):
    batch = rollouts.actor_batch()
    gradients = [
        update_actor(
            rollouts,
            batch,
            actor_config(name, loss_agg_mode=mode, loss_scale_factor=factor),
            micro_batch_size=4,
        )[0]
        for name in ("amir_grpo", "vanilla")
    ]
    assert_same(
        (gradients[0] - gradients[1]) / LAMBDA_VALUE, rollouts.one_process_gradient(), relative=FLOAT32
    )


@pytest.mark.parametrize("name", ["amir_grpo", "amir_gspo"])
def test_at_the_old_policy_the_gradient_is_that_of_the_live_form(name):
    rollouts = Rollouts(drift=0.0)
    batch = rollouts.actor_batch()
    gradient, metrics = update_actor(rollouts, batch, actor_config(name), micro_batch_size=2)
    plain_gradient, _ = update_actor(rollouts, batch, actor_config(plain_name(name)), micro_batch_size=2)
    live = rollouts.one_process_gradient(anchored=False)
    assert_same((gradient - plain_gradient) / LAMBDA_VALUE, live, relative=FLOAT32)
    assert metrics["amir/drift"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("scale", ["raw", "group_std"])
@pytest.mark.parametrize("mining", ["all", "topk", "adjacent", "best_worst"])
def test_every_mining_reaches_the_workers(mining, scale):
    rollouts = Rollouts(
        config=AmirConfig(beta=2.0, beta_scale=scale, pair_mining=mining, max_pairs_per_group=5)
    )
    batch = rollouts.actor_batch()
    gradient, _ = update_actor(rollouts, batch, actor_config("amir_grpo"), micro_batch_size=2)
    plain_gradient, _ = update_actor(rollouts, batch, actor_config("vanilla"), micro_batch_size=2)
    expected = rollouts.one_process_gradient()
    assert_same((gradient - plain_gradient) / LAMBDA_VALUE, expected, relative=FLOAT32)


@pytest.mark.parametrize("split", [{}, {"micro_batch_size": 2}, {"max_tokens": 14}], ids=str)
def test_reported_loss_is_the_preference_loss_and_drift_its_distance(rollouts, split):
    _, metrics = update_actor(rollouts, rollouts.actor_batch(), actor_config("amir_grpo"), **split)
    with torch.no_grad():
        expected = float(rollouts.one_process_loss(rollouts.weight))
        mask = padded(rollouts.data["response_mask"]).bool()
        live = response_from_nested(
            bigram_log_probs(rollouts.weight, rollouts.data["input_ids"]), rollouts.data["response_mask"]
        )
        old = mean_log_prob(padded(rollouts.data["old_log_probs"]), mask)
        drift = (mean_log_prob(padded(live), mask) - old).abs().mean()
    assert metrics["amir/loss"] == pytest.approx(expected, rel=1e-6)
    assert metrics["amir/drift"] == pytest.approx(float(drift), rel=1e-6)


def test_with_lambda_zero_verl_trains_as_without_the_plugin(rollouts):
    batch = rollouts.actor_batch(lambda_=0.0)
    gradient, _ = update_actor(rollouts, batch, actor_config("amir_grpo"), micro_batch_size=4)
    plain_gradient, _ = update_actor(rollouts, batch, actor_config("vanilla"), micro_batch_size=4)
    assert_same(gradient, plain_gradient)


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_policy_weight_scales_verls_own_loss_alone(rollouts, weight):
    batch = rollouts.actor_batch(policy_weight=weight)
    gradient, metrics = update_actor(rollouts, batch, actor_config("amir_grpo"), micro_batch_size=4)
    plain_gradient, plain_metrics = update_actor(rollouts, batch, actor_config("vanilla"), micro_batch_size=4)
    expected = weight * plain_gradient + LAMBDA_VALUE * rollouts.one_process_gradient()
    assert_same(gradient, expected, relative=FLOAT32)
    assert metrics["actor/pg_loss"] == pytest.approx(weight * plain_metrics["actor/pg_loss"], **METRIC)


def test_the_kl_loss_stays_as_verl_adds_it(rollouts):
    """verl adds its KL loss in place to what the policy loss returned; pg_loss may not change by it."""
    data = rollouts.actor_batch()
    data["ref_log_prob"] = data["old_log_probs"] - 0.1
    settings = {"use_kl_loss": True, "kl_loss_coef": 0.5, "kl_loss_type": "k2"}
    results = [
        update_actor(rollouts, data, actor_config(name, **settings), micro_batch_size=4)
        for name in ("amir_grpo", "vanilla")
    ]
    difference = (results[0][0] - results[1][0]) / LAMBDA_VALUE
    assert_same(difference, rollouts.one_process_gradient(), relative=FLOAT32)
    for metric in ("actor/pg_loss", "kl_loss"):
        assert results[0][1][metric] == pytest.approx(results[1][1][metric], **METRIC)


def test_entries_that_a_queue_has_stacked_are_read_too(rollouts):
    """Rows of one length may come back as a plain tensor; entries of weight 0 stand for nothing."""
    jagged_gradient, _ = update_actor(rollouts, rollouts.actor_batch(), actor_config("amir_grpo"))
    batch = rollouts.actor_batch(stacked=True)
    assert not batch[worker_loss.ANCHORS].is_nested
    gradient, _ = update_actor(rollouts, batch, actor_config("amir_grpo"), micro_batch_size=4)
    assert_same(gradient, jagged_gradient)


@pytest.mark.parametrize("name", ["amir_grpo", "amir_gspo", "amir_vanilla"])
def test_outside_an_amir_trainer_the_loss_refuses_to_run(rollouts, name):
    """verl's own trainer modes give the workers plain ppo_loss: no silent training without preferences."""
    data = tu.assign_non_tensor(rollouts.actor_batch(), dp_size=1, batch_num_tokens=10)
    model_output = {"log_probs": bigram_log_probs(rollouts.weight, data["input_ids"])}
    with pytest.raises(ValueError, match=f"^the policy loss {name} needs AMIR's trainer, "):
        ppo_loss(config=actor_config(name), model_output=model_output, data=data)


def test_a_loss_that_fails_leaves_no_preferences_open(rollouts):
    def failing(**_):
        raise RuntimeError("out of memory")

    data = tu.assign_non_tensor(rollouts.actor_batch(), dp_size=1)
    with pytest.raises(RuntimeError, match="out of memory"):
        preference_loss_fn(loss_fn=failing, model_output={}, data=data)
    with pytest.raises(ValueError, match="needs AMIR's trainer"):
        get_policy_loss_fn("amir_grpo")(torch.zeros(1, 1), torch.zeros(1, 1), None, None)


class Kept:
    """Stands for verl's Metric, which reads its value from the device."""

    def __init__(self, value, aggregation):
        self.value, self.aggregation = value, aggregation


def on_the_meta_device(rollouts, monkeypatch, **moved):
    """The loss and its metrics with every tensor on `meta`, where none can be read; `moved` elsewhere."""
    monkeypatch.setattr("verl.utils.metric.Metric", Kept)
    data = rollouts.actor_batch()
    fields = {name: data[name].to("meta") for name in (worker_loss.ANCHORS, worker_loss.WEIGHTS)}
    names = (worker_loss.LAMBDA, worker_loss.BETA, worker_loss.POLICY_WEIGHT, worker_loss.ENDS)
    fields |= {name: tu.get_non_tensor_data(data, key=name, default=None) for name in names}
    fields |= {"dp_size": 1, "global_batch_size": len(data)} | moved
    live = padded(data["old_log_probs"]).to("meta").requires_grad_()
    mask = padded(data["response_mask"]).to("meta")

    def policy_loss(old_log_prob, log_prob, advantages, response_mask):
        return -(log_prob * response_mask).mean(), {}

    term = with_preferences(policy_loss, name="amir_mean")

    def loss_fn(*, model_output, data, dp_group):
        return term(live.detach(), model_output, None, mask)

    return preference_loss_fn(loss_fn=loss_fn, model_output=live, data=fields)


def test_the_loss_never_waits_for_the_device(rollouts, monkeypatch):
    """No `.item()`, no copy from the host: a GPU would stand still for either, once a micro-batch."""
    loss, metrics = on_the_meta_device(rollouts, monkeypatch)
    loss.backward()
    assert loss.device.type == "meta"
    assert {metric.value.device.type for metric in metrics.values()} == {"meta"} and len(metrics) == 5


def test_anchors_on_the_host_are_refused(rollouts, monkeypatch):
    anchors = rollouts.actor_batch()[worker_loss.ANCHORS]
    with pytest.raises(RuntimeError, match="meta"):
        on_the_meta_device(rollouts, monkeypatch, **{worker_loss.ANCHORS: anchors})
