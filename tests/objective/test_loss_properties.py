"""Properties of amir_loss on any batch: what must change neither the loss nor the gradient."""

import dataclasses

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx
from rollout_batches import MININGS, assert_close, loss_and_gradient, rollout_batch

from amir_verl.config import AmirConfig

configs = st.builds(
    lambda mining, weighting, margin, cap, scale: AmirConfig(
        beta=3.0,
        beta_scale=scale,
        reward_margin=margin,
        rank_weighting=weighting,
        max_pairs_per_group=cap,
        **MININGS[mining],
    ),
    st.sampled_from(sorted(MININGS)),
    st.sampled_from(["none", "linear", "quadratic", "log"]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from(["raw", "group_std"]),
)
batches = st.builds(
    lambda sizes, seed, empty, broken: rollout_batch(
        sizes, seed=seed, levels=3, empty=min(empty, sum(sizes)), broken=min(broken, sum(sizes)), drift=0.1
    ),
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.integers(0, 2**31),
    st.integers(0, 2),
    st.integers(0, 2),
)


@settings(max_examples=40, deadline=None)
@given(batch=batches, config=configs, anchored=st.booleans(), seed=st.integers(0, 2**31))
def test_the_order_of_rows_means_nothing(batch, config, anchored, seed):
    """Tied rewards under a cap included."""
    order = torch.randperm(len(batch.rewards), generator=torch.Generator().manual_seed(seed))
    loss, gradient, metrics = loss_and_gradient(batch, config, anchored=anchored)
    shuffled = loss_and_gradient(batch.rows(order), config, anchored=anchored)
    assert_close(shuffled[0], loss)
    assert_close(shuffled[1], gradient[order])
    assert shuffled[2] == approx(metrics)


@settings(max_examples=40, deadline=None)
@given(batch=batches, config=configs, anchored=st.booleans(), constant=st.integers(-80, 80))
def test_a_constant_on_all_rewards_means_nothing(batch, config, anchored, constant):
    loss, gradient, metrics = loss_and_gradient(batch, config, anchored=anchored)
    moved = batch._replace(rewards=batch.rewards + constant / 8)
    moved_loss, moved_gradient, moved_metrics = loss_and_gradient(moved, config, anchored=anchored)
    assert_close(moved_loss, loss)
    assert_close(moved_gradient, gradient)
    assert moved_metrics == approx(metrics)


@settings(max_examples=40, deadline=None)
@given(batch=batches, config=configs, anchored=st.booleans(), reward=st.integers(-4, 4))
def test_groups_of_equal_rewards_are_worth_nothing(batch, config, anchored, reward):
    """Alone they give zero; beside others they change neither the loss nor the others' gradient."""
    config = dataclasses.replace(config, beta_scale="raw")  # the spread is measured on every group
    flat = batch._replace(rewards=torch.full_like(batch.rewards, float(reward)))
    loss, gradient, _ = loss_and_gradient(flat, config, anchored=anchored)
    assert float(loss) == 0.0 and not bool(gradient.any())

    alone_loss, alone_gradient, _ = loss_and_gradient(batch, config, anchored=anchored)
    flat = flat._replace(groups=flat.groups + 1000)
    both = type(batch)(*(torch.cat(fields) for fields in zip(batch, flat, strict=True)))
    loss, gradient, _ = loss_and_gradient(both, config, anchored=anchored)
    assert_close(loss, alone_loss)
    assert_close(gradient[: len(alone_gradient)], alone_gradient)
    assert not bool(gradient[len(alone_gradient) :].any())


@settings(max_examples=40, deadline=None)
@given(batch=batches, config=configs, anchored=st.booleans())
def test_a_step_down_the_gradient_raises_the_chosen_over_the_rejected(batch, config, anchored):
    """The sum of the gradient over a group is 0 in the live form, and winners of every pair gain."""
    _, gradient, _ = loss_and_gradient(batch, config, anchored=anchored)
    by_response = gradient.sum(-1)
    if not anchored:
        totals = torch.zeros(2000, dtype=torch.float64).index_add_(0, batch.groups, by_response)
        assert float(totals.abs().max()) < 1e-10  # beside entries of beta, 3 a nat
    usable = torch.isfinite(batch.rewards) & batch.mask.any(-1)
    for group in batch.groups.unique():
        rows = torch.nonzero((batch.groups == group) & usable).flatten()
        if len(rows):
            best = rows[batch.rewards[rows] == batch.rewards[rows].max()]
            worst = rows[batch.rewards[rows] == batch.rewards[rows].min()]
            if batch.rewards[best[0]] > batch.rewards[worst[0]]:
                assert bool((by_response[best] <= 0).all()) and bool((by_response[worst] >= 0).all())
