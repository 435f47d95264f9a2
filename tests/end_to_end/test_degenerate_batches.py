"""A real training whose batches are as hostile as they come."""

import math

import pytest
from prompt_sets import final_scores, train_on
from trainings import BY_MINI_BATCHES, SEQUENCE_MEAN, not_finite

pytestmark = pytest.mark.slow

FSDP1 = [
    f"actor_rollout_ref.{role}.{setting}=fsdp"
    for role in ("actor", "ref")
    for setting in ("strategy", "fsdp_config.strategy")
]
BROKEN = [
    (4, "digits", "whole"),
    (3, "digits", "whole"),
    (4, "equal", "whole"),
    (3, "nan", "whole"),
    (2, "inf", "whole"),
    (4, "one nan", "whole"),
    (1, "digits", "whole"),
    (3, "digits", "by a tool"),
    (4, "error", "whole"),
    (2, "digits", "nothing"),
]
IN_PLACE_OF_THE_FAILED = [(2, "digits", "in parts"), (2, "digits", "in parts")]
WITHOUT_A_PAIR = [
    (4, "equal", "whole"),
    (4, "equal", "in parts"),
    (3, "nan", "whole"),
    (2, "-inf", "whole"),
    (3, "0.25", "whole"),
    (1, "digits", "whole"),
    (3, "digits", "by a tool"),
    (2, "1e30", "whole"),
    (4, "equal", "whole"),
    (4, "equal", "whole"),
]


@pytest.fixture(scope="module")
def degenerate(tiny_models, tmp_path_factory):
    """amir_colocate_async on FSDP1 with two mini-batches, two epochs and both KL terms. Step 1 and 3 have
    broken groups of every kind, step 2 has no pair.
    """
    return train_on(
        BROKEN + IN_PLACE_OF_THE_FAILED + WITHOUT_A_PAIR,
        tiny_models("qwen2"),
        tmp_path_factory.mktemp("degenerate"),
        *FSDP1,
        "trainer.v1.trainer_mode=amir_colocate_async",
        "trainer.v1.colocate_async.num_warmup_batches=0",  # no prompt of the next step in this one
        "actor_rollout_ref.actor.ppo_mini_batch_size=5",
        SEQUENCE_MEAN,
        "actor_rollout_ref.actor.ppo_epochs=2",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "algorithm.use_kl_in_reward=True",
        STEPS=3,
        PROMPTS=10,
        GROUP=4,
    )


def test_training_goes_on_and_every_metric_is_a_number(degenerate):
    metrics, _ = degenerate
    assert sorted(metrics) == [1, 2, 3]
    assert {step: not_finite(data) for step, data in metrics.items()} == {1: [], 2: [], 3: []}
    assert all(data["actor/grad_norm"] > 0 for data in metrics.values())


def test_what_can_join_no_pair_is_counted_by_reason(degenerate):
    metrics, rows = degenerate
    names = ("dropped_rewards", "empty_responses", "groups_of_one", "padding_rows")
    seen = {step: [data[f"amir/{name}"] for name in names] for step, data in metrics.items()}
    padding = {step: sum(row["uid"].startswith("pad") for row in found) for step, found in rows.items()}
    assert seen == {1: [6, 3, 1, padding[1]], 2: [7, 3, 1, padding[2]], 3: [6, 3, 1, padding[3]]}
    assert padding[1] > 0


def test_failed_rollouts_are_replaced(degenerate):
    metrics, _ = degenerate
    name = "training/rollout_failure/evicted_samples"
    assert [metrics[step].get(name, 0) for step in (1, 2, 3)] == [2, 0, 2]


def test_broken_groups_leave_the_pairs_of_the_others_alone(degenerate):
    """Groups of a single value give none, so only the digits and the three that are left of one NaN count."""
    metrics, rows = degenerate
    for step in (1, 3):
        sizes = sorted(len(scores) for scores in final_scores(rows[step]))
        assert sizes == sorted([4, 3, 4, 3, 2, 4, 1, 3, 2, 2])
        assert 0 < metrics[step]["amir/num_pairs"] <= 6 + 3 + 3 + 1 + 1


def test_a_batch_without_a_pair_has_no_preference_loss_and_keeps_lambda(degenerate):
    metrics, _ = degenerate
    assert metrics[2]["amir/num_pairs"] == metrics[2]["amir/loss"] == metrics[2]["amir/grad_ratio"] == 0
    assert metrics[2]["amir/lambda"] == metrics[1]["amir/lambda"]


def test_lambda_holds_its_target_beside_broken_groups(degenerate):
    metrics, _ = degenerate
    assert metrics[3]["amir/lambda"] != metrics[1]["amir/lambda"]
    for step in (1, 3):
        assert metrics[step]["amir/grad_ratio"] == pytest.approx(1, rel=BY_MINI_BATCHES)


def test_a_second_epoch_counts_the_preference_loss_once(degenerate):
    metrics, _ = degenerate
    for step in (1, 3):
        assert metrics[step]["amir/loss"] == pytest.approx(math.log(2), abs=0.15)
        assert metrics[step]["amir/drift"] > 0
