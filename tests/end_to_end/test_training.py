"""Real trainings of a few steps. Each start of verl costs about a minute, so each run answers many
questions.
"""

import json
import math

import pytest
from trainings import train

from amir_verl.recovery.checkpoint_mark import why_incomplete

pytestmark = pytest.mark.slow

EVERY_STEP = {
    "amir/loss",
    "amir/lambda",
    "amir/grad_ratio",
    "amir/num_pairs",
    "amir/pair_coverage",
    "amir/pair_accuracy",
    "amir/margin",
    "amir/reward_gap",
    "amir/beta_spread",
    "amir/cos_policy",
    "amir/drift",
    "amir/dropped_rewards",
    "amir/empty_responses",
    "amir/groups_of_one",
    "amir/padding_rows",
}


@pytest.fixture(scope="module")
def two_ranks(tiny_models, tmp_path_factory):
    """AMIR-GRPO on two FSDP2 ranks, two mini-batches a step, two steps, a checkpoint each step."""
    out = tmp_path_factory.mktemp("two_ranks")
    overrides = [
        "trainer.save_freq=1",
        "trainer.val_before_train=False",
        "trainer.test_freq=2",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.actor.use_dynamic_bsz=False",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
        "amir.lambda_warmup_steps=4",
    ]
    metrics = train(
        tiny_models("qwen2"), out, *overrides, ALGO="amir_grpo", STEPS=2, RANKS=2, PROMPTS=8, GROUP=4
    )
    return out, metrics


def test_two_ranks_log_every_metric_at_every_step(two_ranks):
    _, metrics = two_ranks
    assert sorted(metrics) == [1, 2]
    for data in metrics.values():
        assert set(data) >= EVERY_STEP
        assert all(math.isfinite(data[name]) for name in EVERY_STEP)
        assert not [name for name in data if name.startswith("actor/amir/")]


def test_pairs_are_found_and_lambda_holds_its_target_under_warm_up(two_ranks):
    _, metrics = two_ranks
    assert metrics[1]["amir/num_pairs"] > 0
    for step, data in metrics.items():
        assert data["amir/grad_ratio"] == pytest.approx(step / 4, rel=1e-6)


def test_what_the_reward_function_says_is_logged(two_ranks):
    _, metrics = two_ranks
    for data in metrics.values():
        assert data["reward/score"] == pytest.approx(data["critic/score/mean"], abs=1e-6)
        assert data["reward/acc"] <= 1


def test_a_second_mini_batch_has_drifted_from_the_anchors(two_ranks):
    _, metrics = two_ranks
    assert metrics[1]["amir/drift"] > 0


def test_weights_reach_vllm(two_ranks):
    # Fresh rollouts carry the log-probabilities of the engine: they must be those of the trained weights.
    _, metrics = two_ranks
    assert metrics[2]["training/rollout_probs_diff_max"] < 1e-4


def test_validation_reports_accuracy(two_ranks):
    _, metrics = two_ranks
    assert 0 <= metrics[2]["val-core/arithmetic/acc/mean@1"] <= 1


def test_a_checkpoint_is_marked_as_whole_with_the_files_of_both_ranks(two_ranks):
    out, _ = two_ranks
    folder = out / "checkpoints" / "global_step_2"
    record = json.loads((folder / "amir.json").read_text())
    assert record["steps"] == 2
    assert {f"actor/optim_world_size_2_rank_{rank}.pt" for rank in (0, 1)} < set(record["files"])
    assert why_incomplete(folder) is None


def test_gspo_with_reference_and_dynamic_batches_on_gemma_beside_a_separate_engine(tiny_models, tmp_path):
    metrics = train(
        tiny_models("gemma3"),
        tmp_path,
        "trainer.v1.trainer_mode=amir_separate_async",
        "trainer.v1.separate_async.parameter_sync_step=2",
        "trainer.v1.separate_async.num_warmup_batches=0",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        "actor_rollout_ref.rollout.nnodes=1",
        "actor_rollout_ref.rollout.n_gpus_per_node=1",
        "actor_rollout_ref.rollout.checkpoint_engine.backend=gloo",
        "ray_kwargs.ray_init.num_gpus=2",
        "amir.reference=policy",
        "amir.pair_mining=topk",
        "amir.max_pairs_per_group=3",
        "amir.lambda_schedule=constant",
        "amir.lambda_value=0.5",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=512",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        ALGO="amir_gspo",
        STEPS=2,
        PROMPTS=4,
        GROUP=4,
    )
    assert sorted(metrics) == [1, 2]
    for data in metrics.values():
        assert data["amir/lambda"] == 0.5
        assert 0 < data["amir/num_pairs"] <= 4 * 3
        assert data["amir/loss"] > 0
        assert "actor/kl_loss" in data or "kl_loss" in data
        # Both updates of a step start from the policy that generated: the weights reach the engine, and the
        # second update's old log-probabilities are of that policy, which the first has moved away from.
        assert data["training/rollout_probs_diff_max"] < 1e-4
        assert data["amir/drift"] > 0
        assert math.isfinite(data["actor/grad_norm"])
