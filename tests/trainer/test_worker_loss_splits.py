"""The worker's loss gives one gradient, however micro-batches, ranks and Ulysses split the batch."""

import pytest
import torch
import torch.multiprocessing as mp
from actor_update import (
    AGGREGATIONS,
    RANKS,
    SPLIT_LOSSES,
    actor_config,
    loss_function,
    rank_process,
    split_updates,
    update_actor,
)
from bigram_rollouts import Rollouts, bigram_log_probs
from closeness import FLOAT32, METRIC, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from verl.utils import tensordict_utils as tu

from amir_verl.trainer.worker_loss import POLICY_SQUARE, PREFERENCE_SQUARE

# Metrics that are sums over the batch, whatever its parts.
SUMS = {"amir/loss", "amir/drift", "actor/pg_loss", POLICY_SQUARE, PREFERENCE_SQUARE}

pytestmark = pytest.mark.usefixtures("one_rank")


@pytest.fixture(scope="module")
def one_rank_updates():
    return split_updates()


@pytest.fixture(scope="module")
def updates_of_ranks(tmp_path_factory):
    """What every split gives on several ranks, by the name in RANKS."""
    folder = tmp_path_factory.mktemp("ranks")
    # Forked: this process has imported torch and verl, which would take each rank longer than its work.
    mp.start_processes(rank_process, args=(str(folder),), nprocs=4, start_method="fork")
    return {name: torch.load(folder / f"{name}.pt", weights_only=False) for name in RANKS}


@pytest.fixture(scope="module")
def one_rank(updates_of_ranks, one_rank):
    """This process joins its group behind them: a forked rank would be born a member."""


def assert_same_update(update, expected):
    (gradient, metrics), (whole, whole_metrics) = update, expected
    assert_same(gradient, whole)
    for metric in SUMS & set(whole_metrics):
        assert metrics[metric] == pytest.approx(whole_metrics[metric], **METRIC), metric


@pytest.mark.parametrize(("name", "split"), SPLIT_LOSSES, ids=str)
def test_micro_batches_add_up_to_the_whole_batch(one_rank_updates, name, split):
    update = one_rank_updates[name, "token-mean", split]
    assert_same_update(update, one_rank_updates[name, "token-mean", 0])
    assert (update[1]["micro_batches"] > 1) == (split > 0)


@pytest.mark.parametrize(
    ("ranks", "name", "split"), [(ranks, *split) for ranks in RANKS for split in RANKS[ranks][2]], ids=str
)
def test_ranks_give_the_gradient_and_the_metrics_of_one(
    one_rank_updates, updates_of_ranks, ranks, name, split
):
    update = updates_of_ranks[ranks][name, "token-mean", split]
    assert_same_update(update, one_rank_updates[name, "token-mean", 0])


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("ranks", RANKS)
def test_ranks_give_the_update_of_one_in_every_aggregation(one_rank_updates, updates_of_ranks, ranks, mode):
    place = ("amir_grpo", mode, "two rows")
    assert_same_update(updates_of_ranks[ranks][place], one_rank_updates[place])


@settings(max_examples=15, deadline=None)
@given(
    places=st.lists(st.integers(0, 5), min_size=16, max_size=16),
    name=st.sampled_from(["amir_grpo", "amir_gspo"]),
)
def test_rows_may_fall_into_micro_batches_in_any_way(places, name):
    """Any partition, any order: the sum of the gradients is the same."""
    rollouts = Rollouts()
    batch = tu.assign_non_tensor(
        rollouts.actor_batch(), dp_size=1, batch_num_tokens=int(rollouts.data["loss_mask"].sum())
    )
    loss_fn = loss_function(actor_config(name))

    def gradient(parts):
        weight = rollouts.weight.clone().requires_grad_()
        for rows in parts:
            data = tu.index_select_tensor_dict(batch, torch.tensor(rows))
            log_probs = bigram_log_probs(weight, data["input_ids"])
            loss_fn(model_output={"log_probs": log_probs}, data=data)[0].backward()
        return weight.grad

    parts = [[row for row in range(16) if places[row] == place] for place in range(6)]
    assert_same(gradient([part for part in parts if part]), gradient([list(range(16))]))


def test_mini_batches_average_to_the_whole_batch():
    """Two optimizer steps of half a batch each: their mean, at one policy, is the gradient of L_pref."""
    rollouts = Rollouts()
    batch = rollouts.actor_batch(lambda_=1.0)
    gradients = []
    for half in tu.chunk_tensordict(batch, 2):
        tu.assign_non_tensor(half, global_batch_size=8)
        both = [update_actor(rollouts, half, actor_config(name))[0] for name in ("amir_grpo", "vanilla")]
        gradients.append(both[0] - both[1])
    assert_same(sum(gradients) / 2, rollouts.one_process_gradient(), relative=FLOAT32)


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "token-mean"])
def test_mini_batches_keep_the_measured_ratio_where_they_weigh_alike(mode):
    """By token-mean a mini-batch weighs by its own count of tokens, and the ratio is another one."""
    rollouts = Rollouts(drift=0.0)
    batch = rollouts.actor_batch()
    halves = tu.chunk_tensordict(batch, 2)
    first, second = (int(half["loss_mask"].values().sum()) for half in halves)
    assert first < 0.7 * second

    def squares(data):
        tu.assign_non_tensor(data, global_batch_size=len(data))
        _, metrics = update_actor(rollouts, data, actor_config("amir_grpo", loss_agg_mode=mode))
        return torch.tensor([metrics[POLICY_SQUARE], metrics[PREFERENCE_SQUARE]], dtype=torch.float64)

    policy, preference = ((squares(halves[0]) + squares(halves[1])) / 2 / squares(batch)).sqrt().tolist()
    if mode == "token-mean":
        assert abs(preference / policy - 1) > 0.05
    else:
        assert preference / policy == pytest.approx(1, rel=1e-6)
