"""step_preferences: what the driver sends to each response carries the whole gradient of L_pref."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_batches import loss_and_gradient, rollout_batch

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import step_preferences
from amir_verl.objective.loss import amir_loss, anchored_terms, mean_log_prob

RAGGED = [1, 2, 5, 8, 3, 4]
CONFIG = AmirConfig(beta=4.0, rank_weighting="linear")


def preferences_of(batch, config=CONFIG, *, reference=False):
    return step_preferences(
        mean_log_prob(batch.old_log_prob, batch.mask),
        batch.rewards,
        batch.groups,
        torch.isfinite(batch.rewards) & batch.mask.any(-1),
        config,
        ref_mean_N=mean_log_prob(batch.ref_log_prob, batch.mask) if reference else None,
    )


def row_of_entries(preferences):
    return torch.repeat_interleave(torch.arange(len(preferences.count_N)), preferences.count_N)


def both_ends(preferences, mean_N):
    """Sum over all entries, divided by the responses: the workers' sum."""
    row_M = row_of_entries(preferences)
    terms = anchored_terms(
        mean_N[row_M],
        preferences.anchor_M.double(),
        preferences.signed_weight_M.double(),
        preferences.beta,
    )
    return terms.sum() / len(mean_N)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("scale", ["raw", "group_std"])
@pytest.mark.parametrize("drift", [0.0, 0.2])
@pytest.mark.parametrize("pull", ["both", "chosen", "rejected"])
def test_entries_give_the_loss_and_gradient_of_the_anchored_form(reference, scale, drift, pull):
    config = AmirConfig(beta=2.0, beta_scale=scale, rank_weighting="log", pull=pull)
    batch = rollout_batch(RAGGED, seed=3, empty=2, broken=2, drift=drift)
    preferences = preferences_of(batch, config, reference=reference)

    live = batch.log_prob.clone().requires_grad_()
    sent = both_ends(preferences, mean_log_prob(live, batch.mask))
    (gradient,) = torch.autograd.grad(sent, live)

    loss, expected, _ = loss_and_gradient(batch, config, anchored=True, reference=reference)
    # Entries travel in float32.
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)
    assert float(sent.detach()) / config.moving_ends == pytest.approx(float(loss), rel=1e-6)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("pull", ["both", "chosen", "rejected"])
def test_gradient_at_the_old_policy_is_that_of_the_live_form(reference, pull):
    config = AmirConfig(beta=4.0, rank_weighting="linear", pull=pull)
    batch = rollout_batch(RAGGED, seed=5, empty=2, broken=2)
    at_old = batch._replace(log_prob=batch.old_log_prob)
    _, expected, _ = loss_and_gradient(at_old, config, reference=reference)
    preferences = preferences_of(batch, config, reference=reference)
    torch.testing.assert_close(preferences.gradient_N, expected.sum(-1), rtol=1e-9, atol=1e-12)


def test_metrics_are_those_of_amir_loss_at_the_old_policy():
    batch = rollout_batch(RAGGED, seed=7, empty=2, broken=2)
    _, metrics = amir_loss(batch.old_log_prob, batch.mask, batch.rewards, batch.groups, CONFIG)
    for name, value in preferences_of(batch).metrics.items():
        assert metrics[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_every_response_has_a_row_and_its_own_entries():
    """Three responses: one beats the other two, which tie; a fourth is alone in its group."""
    mean = torch.tensor([-1.0, -2.0, -3.0, -4.0])
    rewards, group = torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([0, 0, 0, 1])
    preferences = step_preferences(mean, rewards, group, torch.ones(4, dtype=torch.bool), AmirConfig())
    assert preferences.count_N.tolist() == [2, 1, 1, 1]
    anchors = [sorted(row.tolist()) for row in preferences.jagged(preferences.anchor_M).unbind()]
    weights = [row.tolist() for row in preferences.jagged(preferences.signed_weight_M).unbind()]
    # Four responses, two pairs: each weighs 2; above 0 for the chosen end, below for the rejected.
    assert anchors == [[-3.0, -2.0], [-1.0], [-1.0], [0.0]]
    assert weights == [[2.0, 2.0], [-2.0], [-2.0], [0.0]]


def test_anchors_stand_on_the_responses_own_scale():
    """With a reference, beta * (l_i - anchor) is beta * ((l_i - ref_i) - (l_j - ref_j))."""
    mean, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.75])
    preferences = step_preferences(
        mean,
        torch.tensor([1.0, 0.0]),
        torch.zeros(2, dtype=torch.long),
        torch.ones(2, dtype=torch.bool),
        AmirConfig(),
        ref_mean_N=ref,
    )
    difference = (-1.0 + 1.5) - (-2.0 + 1.75)
    assert (mean - preferences.anchor_M).tolist() == pytest.approx([difference, -difference], rel=1e-5)


def test_a_batch_without_a_pair_sends_entries_that_weigh_nothing():
    batch = rollout_batch([1, 1, 1], seed=9)
    preferences = preferences_of(batch)
    assert preferences.count_N.tolist() == [1, 1, 1]
    assert preferences.signed_weight_M.tolist() == [0.0, 0.0, 0.0]
    assert preferences.anchor_M.tolist() == [0.0, 0.0, 0.0]
    assert not bool(preferences.gradient_N.any())


def test_rows_with_a_log_probability_that_is_not_finite_send_nothing_that_is_not_finite():
    mean = torch.tensor([-1.0, float("nan"), -2.0, float("-inf")])
    rewards, group = torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.zeros(4, dtype=torch.long)
    preferences = step_preferences(mean, rewards, group, torch.ones(4, dtype=torch.bool), AmirConfig())
    assert preferences.metrics["amir/num_pairs"] == 1.0
    for sent in (preferences.anchor_M, preferences.signed_weight_M, preferences.gradient_N):
        assert bool(torch.isfinite(sent).all())


def test_coverage_is_a_share_of_the_groups_that_are_named():
    batch = rollout_batch([4, 4, 1, 1], seed=1, levels=None)
    mean, eligible = mean_log_prob(batch.old_log_prob, batch.mask), torch.ones(10, dtype=torch.bool)
    arguments = (mean, batch.rewards, batch.groups, eligible, CONFIG)
    assert step_preferences(*arguments).metrics["amir/pair_coverage"] == 2 / 4
    assert step_preferences(*arguments, groups=3).metrics["amir/pair_coverage"] == pytest.approx(2 / 3)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    cap=st.sampled_from([None, 1, 3]),
)
def test_the_order_of_rows_means_nothing(sizes, seed, cap):
    """Each response gets the same entries wherever its row lies, tied rewards under a cap included."""
    config = AmirConfig(max_pairs_per_group=cap, rank_weighting="linear")
    batch = rollout_batch(sizes, seed=seed, levels=3)
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    plain, shuffled = preferences_of(batch, config), preferences_of(batch.rows(order), config)
    torch.testing.assert_close(shuffled.gradient_N, plain.gradient_N[order], rtol=1e-9, atol=1e-12)

    def entries(preferences):
        pairs = zip(preferences.anchor_M.tolist(), preferences.signed_weight_M.tolist(), strict=True)
        rows = [[] for _ in range(len(order))]
        for row, entry in zip(row_of_entries(preferences).tolist(), pairs, strict=True):
            rows[row].append(entry)
        return [sorted(row) for row in rows]

    assert shuffled.count_N.tolist() == plain.count_N[order].tolist()
    here, there = entries(shuffled), entries(plain)
    for row, expected in zip(here, (there[row] for row in order.tolist()), strict=True):
        # Nats and weights of the order of 1, in float32.
        torch.testing.assert_close(torch.tensor(row), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    constant=st.integers(-80, 80),
)
def test_a_constant_on_all_rewards_means_nothing(sizes, seed, constant):
    batch = rollout_batch(sizes, seed=seed, levels=3)
    plain = preferences_of(batch)
    moved = preferences_of(batch._replace(rewards=batch.rewards + constant / 8))
    # Nats and weights of the order of 1, in float32.
    torch.testing.assert_close(moved.anchor_M, plain.anchor_M, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved.signed_weight_M, plain.signed_weight_M, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved.gradient_N, plain.gradient_N, rtol=1e-9, atol=1e-12)
    assert moved.metrics == pytest.approx(plain.metrics)
