"""The recipes of the large models train two real steps on tiny models of the same architectures."""

import itertools

import pytest
from trainings import BY_ROUNDING, DIGIT_REWARD, EVERY_STEP, TWO_STEPS, json_lines, not_finite, train

pytestmark = pytest.mark.slow

ACCURACY = "val-core/gsm8k/acc/mean@2"


@pytest.fixture(scope="module")
def train_recipe(questions, tiny_models, tmp_path_factory):
    """Two steps of a recipe without a GPU; returns its folder and step -> metrics."""

    def train_two_steps(recipe, architecture, *overrides, **variables):
        out = tmp_path_factory.mktemp(recipe)
        inputs = {
            "MODEL": tiny_models(architecture),
            "TRAIN": questions / "gsm8k_train.parquet",
            "VAL": questions / "gsm8k_test.parquet",
        }
        return out, train(recipe, out, *overrides, **(TWO_STEPS | inputs | variables))

    return train_two_steps


@pytest.fixture(scope="module")
def qwen(train_recipe):
    """All parameters, packed sequences, the calibrated reward, micro-batches of a fixed size."""
    return train_recipe(
        "qwen2.5_3b",
        "qwen2",
        "actor_rollout_ref.actor.use_dynamic_bsz=False",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
        ALGO="amir_grpo",
        SAVE_FREQ=-1,
    )


@pytest.fixture(scope="module")
def gemma(train_recipe):
    """The published settings on GSPO beside a separate engine, pairs of the best alone, the reference policy
    in preferences and KL loss, two updates before the engine gets new weights, a checkpoint.
    """
    return train_recipe(
        "gemma3_4b",
        "gemma3",
        "trainer.v1.trainer_mode=amir_separate_async",
        "trainer.v1.separate_async.parameter_sync_step=2",
        "trainer.v1.separate_async.num_warmup_batches=0",
        "actor_rollout_ref.rollout.nnodes=1",
        "actor_rollout_ref.rollout.n_gpus_per_node=1",
        "actor_rollout_ref.rollout.checkpoint_engine.backend=gloo",
        "ray_kwargs.ray_init.num_gpus=2",
        "amir.reference=policy",
        "amir.pair_mining=topk",
        "amir.max_pairs_per_group=3",
        ALGO="amir_gspo",
        AMIR_PRESET="paper",
        AMIR_REWARD_MARGIN=0,  # the share of digits in a response differs by less than the published margin
        REWARD=DIGIT_REWARD,
        MINI_BATCH=2,
        KL_COEF=0.001,
        TOKENS=4096,
        SAVE_FREQ=2,
    )


@pytest.fixture(params=["qwen", "gemma"])
def recipe_run(request):
    return request.getfixturevalue(request.param)


def test_every_metric_is_logged_at_every_step(recipe_run):
    _, metrics = recipe_run
    assert sorted(metrics) == [1, 2]
    for step, data in metrics.items():
        assert data["training/global_step"] == step
        assert set(data) >= EVERY_STEP
        assert not_finite({name: data[name] for name in EVERY_STEP}) == []


def test_training_moves_at_the_recipes_learning_rate(recipe_run):
    _, metrics = recipe_run
    # Groups of an untrained model may tie, but not all of them.
    assert sum(data["amir/num_pairs"] for data in metrics.values()) > 0
    assert sum(data["actor/grad_norm"] for data in metrics.values()) > 0
    assert any(data["critic/score/max"] > data["critic/score/min"] for data in metrics.values())
    # Warm-up is a tenth of two steps, none: the cosine goes down from the full rate.
    assert metrics[2]["actor/lr"] < metrics[1]["actor/lr"] <= 5e-6


def test_the_engine_samples_with_the_weights_that_were_trained(recipe_run):
    """Attention, chat template and packing agree."""
    _, metrics = recipe_run
    assert metrics[2]["training/rollout_probs_diff_max"] < 1e-4


def test_what_the_reward_function_says_is_logged(recipe_run):
    _, metrics = recipe_run
    for data in metrics.values():
        # Of a reward, in float32.
        assert data["reward/score"] == pytest.approx(data["critic/score/mean"], abs=1e-5)
        assert 0 <= data["reward/acc"] <= 1


def test_validation_asks_for_a_confidence_and_reports_accuracy(recipe_run):
    out, metrics = recipe_run
    rows = json_lines(out / "validation/2.jsonl")
    assert len(rows) == TWO_STEPS["VAL_PROBLEMS"] * TWO_STEPS["VAL_SAMPLES"]
    assert all("<confidence>" in row["input"] and 0 <= row["acc"] <= 1 for row in rows)
    accuracy = sum(row["acc"] for row in rows) / len(rows)
    assert metrics[2][ACCURACY] == pytest.approx(accuracy, abs=1e-6)
    assert (out / ".hydra/config.yaml").exists()


def test_lambda_holds_its_target(qwen):
    _, metrics = qwen
    with_pairs = [data for data in metrics.values() if data["amir/num_pairs"]]
    assert with_pairs
    for data in with_pairs:
        assert data["amir/grad_ratio"] == pytest.approx(1, rel=BY_ROUNDING)


def test_the_published_rule_moves_lambda_by_its_factors(gemma):
    """A step logs the mean of its two updates. In the first of all the policy is the one that sampled: its
    loss is next to nothing, so that the term's share is far above the band.
    """
    _, metrics = gemma
    assert metrics[1]["amir/lambda"] == pytest.approx((0.01 + 0.008) / 2, rel=1e-6)
    factors = itertools.product((1.25, 1, 0.8), repeat=2)
    means = [0.008 * first * (1 + second) / 2 for first, second in factors]
    assert any(metrics[2]["amir/lambda"] == pytest.approx(mean, rel=1e-6) for mean in means)


def test_pairs_are_those_of_the_best_up_to_the_limit(gemma):
    _, metrics = gemma
    for data in metrics.values():
        assert 0 < data["amir/num_pairs"] <= TWO_STEPS["PROMPTS"] * 3
        assert data["amir/loss"] > 0


def test_the_kl_loss_against_the_reference_is_there(gemma):
    _, metrics = gemma
    assert metrics[1]["actor/kl_coef"] == 0.001
    # k3 of float32 log-probabilities: above 0 once the policy has moved away from the reference, not by much.
    assert all(0 < data["actor/kl_loss"] < 0.01 for data in metrics.values())


def test_both_updates_of_a_step_are_anchored_at_the_policy_that_sampled(gemma):
    """The weights reach the engine, and the second update's old log-probabilities are of that policy, which
    the first has moved away from.
    """
    _, metrics = gemma
    for data in metrics.values():
        assert data["training/rollout_probs_diff_max"] < 1e-4
        assert data["amir/drift"] > 0


def test_a_checkpoint_is_the_latest(gemma):
    out, _ = gemma
    assert (out / "checkpoints/latest_checkpointed_iteration.txt").read_text() == "2"
