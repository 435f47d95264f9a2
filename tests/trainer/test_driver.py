"""The mixin's own order of calls in verl's trainer, against a queue in memory: no Ray."""

from types import SimpleNamespace

import pytest
import torch
from actor_update import actor_config, update_actor
from bigram_rollouts import EMPTY_ROW, Rollouts, jagged, padded
from hydra import compose, initialize_config_module
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.v1 import PPOTrainerSync, trainer_base
from verl.utils import tensordict_utils as tu

from amir_verl.config import AmirConfig
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.trainer import driver
from amir_verl.trainer.no_pairs import NoPairsWatch
from amir_verl.trainer.worker_loss import ANCHORS, BETA, ENDS, LAMBDA, POLICY_WEIGHT, WEIGHTS
from benchmarks.memory_queue import MemoryQueue

END_TOKEN = 6
LIMIT = 4


pytestmark = pytest.mark.usefixtures("one_rank")  # verl's engine asks for a process group


@pytest.fixture(scope="module")
def run_config():
    overrides = [
        "+amir=grpo",
        "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        f"data.max_response_length={LIMIT}",
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=overrides)


class Workers:
    """verl's worker group with one worker in this process: its update of the actor, from the queue."""

    def __init__(self, rollouts, queue, actor):
        self._rollouts, self._queue, self._actor = rollouts, queue, actor

    def update_actor(self, batch):
        assert {ANCHORS, WEIGHTS, "advantages"} <= set(batch.fields)
        data = self._queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id)
        settings = {key: batch.extra_info[key] for key in (LAMBDA, BETA, POLICY_WEIGHT, ENDS)}
        data = tu.get_tensordict(
            {name: data[name] for name in [*dict(self._rollouts.data.items()), ANCHORS, WEIGHTS]}
        )
        tu.assign_non_tensor(data, **settings, global_batch_size=batch.extra_info["global_batch_size"])
        self.gradient, metrics = update_actor(self._rollouts, data, self._actor, micro_batch_size=4)
        metrics.pop("micro_batches")
        metrics |= {"mfu": 0.0}
        lists = {name.removeprefix("actor/"): [value] for name, value in metrics.items()}
        return tu.get_tensordict({}, {"metrics": lists})


def rewards_of(rollouts):
    return rollouts.rewards.tolist()


def trainer_on(rollouts, run_config, monkeypatch, *, rewards=None, infos=None, plain=False, **settings):
    """The mixin over verl's trainer, as `_setup` leaves it, and its queue."""
    rewards = rewards_of(rollouts) if rewards is None else rewards
    rows = len(rewards)
    group = rollouts.group.tolist()
    padding = [not ok and row != EMPTY_ROW for row, ok in enumerate(rollouts.eligible.tolist())]
    keys = [f"prompt-{group[row]}_{row}_0" for row in range(rows)]
    queue = MemoryQueue(keys, [{"is_padding": flag} for flag in padding])
    columns = {name: column for name, column in rollouts.data.items() if name != "advantages"}
    lengths = columns["responses"].offsets().diff().tolist()
    scores = [torch.zeros(n) for n in lengths]
    for score, reward in zip(scores, rewards, strict=True):
        score[-1] = reward
    columns["rm_scores"] = jagged(scores)
    columns["uid"] = [key.rsplit("_", 2)[0] for key in keys]
    columns["extra_fields"] = infos or [{"reward_extra_info": {"acc": float(r == 2)}} for r in rewards]
    queue.kv_batch_put(keys=keys, partition_id="train", fields=columns)
    queue.calls.clear(), queue.names.clear()
    for module in (trainer_base, driver):
        monkeypatch.setattr(module, "tq", queue)

    actor = actor_config("amir_grpo")
    trainer = object.__new__(PPOTrainerSync if plain else driver.AmirTrainerSync)
    trainer.config = run_config
    trainer.distillation_config = None
    trainer.tokenizer = SimpleNamespace(eos_token_id=END_TOKEN)
    trainer._amir = AmirConfig(beta=3.0, **settings)
    trainer._lambda = LambdaController(trainer._amir)
    trainer._no_pairs = NoPairsWatch(trainer._amir.reward_margin)
    trainer._actor_config = actor
    trainer._policy_loss = get_policy_loss_fn("vanilla")
    trainer.actor_rollout_wg = Workers(rollouts, queue, actor)
    return trainer, queue


def one_step(trainer, queue):
    metrics = {}
    batch = trainer._compute_advantage(queue.batch(), metrics)
    return trainer._update_actor(batch, metrics), metrics


def test_one_get_and_one_put_more_than_verls(run_config, monkeypatch):
    rollouts = Rollouts()
    plain, queue = trainer_on(rollouts, run_config, monkeypatch, plain=True)
    plain._compute_advantage(queue.batch(), {})
    verls = dict(queue.calls)
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch)
    trainer._compute_advantage(queue.batch(), {})
    assert verls == {"get": 1, "put": 1}
    assert dict(queue.calls) == {"get": 2, "put": 2}
    assert queue.names[1] == ("get", ["responses", "extra_fields"])
    assert queue.names[3] == ("put", [ANCHORS, WEIGHTS])


def test_steps_without_a_pair_are_counted_and_said(run_config, monkeypatch, capsys):
    trainer, queue = trainer_on(Rollouts(), run_config, monkeypatch, reward_margin=100.0)
    for step in (1, 2, 3):
        assert "no pair" not in capsys.readouterr().out
        metrics = {}
        trainer._compute_advantage(queue.batch(), metrics)
        assert metrics["amir/steps_without_pairs"] == step
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("amir-verl: no pair in the last 3 steps, so AMIR did nothing: ")
    assert line.endswith("amir.reward_margin is 100")


def test_verls_advantages_are_its_own(run_config, monkeypatch):
    rollouts = Rollouts()
    found = []
    for plain in (True, False):
        trainer, queue = trainer_on(rollouts, run_config, monkeypatch, plain=plain)
        trainer._compute_advantage(queue.batch(), {})
        found.append(padded(queue.kv_batch_get(keys=queue.batch().keys, partition_id="train")["advantages"]))
    # Of an advantage, in float32.
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_a_step_logs_what_the_update_had(run_config, monkeypatch):
    """lambda from the driver's norms; the ratio from the workers' gradients, at the policy that they hold."""
    rollouts = Rollouts(drift=0.0)
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch, lambda_target=0.5)
    _, metrics = one_step(trainer, queue)
    assert metrics["amir/num_pairs"] > 10
    assert metrics["amir/lambda"] > 0
    # lambda is float32 tokens' on the driver, the update runs in float64.
    assert metrics["amir/grad_ratio"] == pytest.approx(0.5, rel=1e-5)
    assert metrics["amir/drift"] == pytest.approx(0.0, abs=1e-12)
    assert -1 <= metrics["amir/cos_policy"] <= 1
    assert not [name for name in metrics if name.startswith("actor/amir/") or "square" in name]


def test_the_ratio_is_measured_where_the_policy_has_moved(run_config, monkeypatch):
    """Under drift the update's gradients are not those that lambda was set by: the metric says so."""
    trainer, queue = trainer_on(Rollouts(drift=1.0), run_config, monkeypatch)
    _, metrics = one_step(trainer, queue)
    assert abs(metrics["amir/grad_ratio"] - 1.0) > 0.01
    assert metrics["amir/engine_gap"] == metrics["amir/drift"] > 0.1


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 1e20])
def test_a_broken_reward_is_repaired_before_advantages_and_counted(run_config, monkeypatch, broken):
    rollouts = Rollouts()
    row = int(torch.nonzero(rollouts.group == 0)[0])
    rewards = rewards_of(rollouts)
    rewards[row] = broken
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch, rewards=rewards)
    _, metrics = one_step(trainer, queue)
    data = queue.kv_batch_get(keys=queue.batch().keys, partition_id="train")
    advantages = padded(data["advantages"])
    assert metrics["amir/dropped_rewards"] == 1
    assert bool(torch.isfinite(advantages).all())
    # The mean of a handful of rewards from 0 to 2 in float32, over their deviation.
    assert float(advantages[row].abs().max()) < 1e-4
    assert bool(torch.isfinite(data["rm_scores"].values()).all()), "verl logs the rewards later"
    assert data[WEIGHTS].unbind()[row].tolist() == [0.0]


def test_truncated_responses_are_told_by_the_response_not_by_its_mask(run_config, monkeypatch):
    """The mask of a response of several turns leaves out the tool's tokens; the limit counts them."""
    rollouts = Rollouts()
    lengths = rollouts.data["responses"].offsets().diff()
    last = rollouts.data["responses"].values()[rollouts.data["responses"].offsets()[1:] - 1]
    cut = (lengths >= LIMIT) & (last != END_TOKEN) & rollouts.eligible
    assert cut.any() and not cut.all()
    masks = [row.clone() for row in rollouts.data["response_mask"].unbind()]
    for row in torch.nonzero(cut).flatten().tolist():
        masks[row][0] = 0  # a tool's token: the mask's sum falls below the limit
    rollouts.data["response_mask"] = jagged(masks)
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch, mask_truncated=True)
    _, metrics = one_step(trainer, queue)
    weights = queue.kv_batch_get(keys=queue.batch().keys, partition_id="train")[WEIGHTS].unbind()
    for row in torch.nonzero(cut).flatten().tolist():
        assert weights[row].tolist() == [0.0]
    kept = rollouts.eligible & ~cut
    pairs = sum(
        float(rollouts.rewards[i] > rollouts.rewards[j])
        for i in torch.nonzero(kept).flatten()
        for j in torch.nonzero(kept).flatten()
        if rollouts.group[i] == rollouts.group[j]
    )
    assert metrics["amir/num_pairs"] == pairs > 0


def test_right_answers_are_those_that_the_reward_function_calls_so(run_config, monkeypatch):
    rollouts = Rollouts()
    rows = range(len(rollouts.rewards))
    everyone = [{"reward_extra_info": {"acc": True}} for _ in rows]
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch, infos=everyone)
    _, metrics = one_step(trainer, queue)
    answers = {
        (int(rollouts.group[row]), tuple(rollouts.data["responses"].unbind()[row].tolist()))
        for row in rows
        if rollouts.eligible[row]
    }
    assert metrics["amir/distinct_right"] == pytest.approx(len(answers) / 3, rel=1e-9)
    assert metrics["amir/unlikely_right"] == 0.0
    assert metrics["reward/acc"] == 1.0


@pytest.mark.parametrize("pull", ["both", "chosen", "rejected"])
def test_the_update_has_the_pull_of_the_settings(run_config, monkeypatch, pull):
    settings = {"lambda_schedule": "constant", "lambda_value": 1.0, "policy_weight": 0.0, "pull": pull}
    rollouts = Rollouts(config=AmirConfig(beta=3.0, **settings))
    trainer, queue = trainer_on(rollouts, run_config, monkeypatch, **settings)
    _, metrics = one_step(trainer, queue)
    expected = rollouts.one_process_gradient()
    # Anchors and weights travel in float32.
    torch.testing.assert_close(
        trainer.actor_rollout_wg.gradient, expected, rtol=0, atol=1e-6 * float(expected.abs().max())
    )
    assert metrics["amir/grad_ratio"] == 0.0  # nothing to compare with
