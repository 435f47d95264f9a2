"""The rank advantage: the push of L_pref where every sigmoid is 1/2, under every way to add up tokens."""

import dataclasses
import math

import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_batches import rollout_batch

from amir_verl.config import AmirConfig
from amir_verl.objective.advantage import LOSS_AGG_MODE, AdvantageForm
from amir_verl.objective.rank_advantage import rank_advantage, rank_push

CONSTANT = AmirConfig(beta=0.5, lambda_schedule="constant", lambda_value=0.3)
LENGTH = torch.tensor([4, 1, 0, 3, 2, 6])
SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def test_right_and_wrong_answers_push_by_wins_minus_losses():
    # Two right answers against one wrong: |S| = 2. The second group has no pair.
    push = rank_push(
        torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0]), torch.tensor([0, 0, 0, 1, 1]), AmirConfig(beta=4.0)
    )
    assert push.tolist() == [1.0, -2.0, 1.0, 0.0, 0.0]


def test_a_one_sided_push_counts_wins_or_losses_alone():
    rewards, groups = torch.tensor([1.0, 0.0, 1.0, 2.0]), torch.tensor([0, 0, 0, 1])
    wins = rank_push(rewards, groups, AmirConfig(beta=2.0, pull="chosen"))
    losses = rank_push(rewards, groups, AmirConfig(beta=2.0, pull="rejected"))
    assert wins.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert losses.tolist() == [0.0, -1.0, 0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(
    sizes=SIZES,
    seed=st.integers(0, 10**6),
    weighting=st.sampled_from(["none", "linear", "quadratic", "log"]),
    beta=st.sampled_from([1e-3, 0.2, 5.0]),
)
def test_the_push_is_within_the_bound_of_the_oracles_gradient(sizes, seed, weighting, beta):
    config = AmirConfig(beta=beta, rank_weighting=weighting, max_pairs_per_group=None)
    batch = rollout_batch(sizes, seed=seed, broken=1)
    rewards, groups = batch.rewards.tolist(), batch.groups.tolist()
    mask = batch.mask.tolist()
    _, by_token = oracle.preference_loss(batch.old_log_prob.tolist(), mask, rewards, groups, config)
    means = oracle.response_means(batch.old_log_prob.tolist(), mask)
    bound = [0.0] * len(rewards)
    pairs = oracle.preference_pairs(rewards, groups, means, config)
    for i, j, weight in pairs:
        for end in (i, j):  # beta * |sigmoid(-x) - 1/2| with x = beta * (l_i - l_j)
            bound[end] += weight / len(pairs) * beta**2 * abs(means[i] - means[j]) / 4
    push = rank_push(batch.rewards, batch.groups, config)
    for row, length in enumerate(batch.mask.sum(-1).tolist()):
        assert abs(push[row].item() + sum(by_token[row])) <= bound[row] * (1 + 1e-9) + 1e-12, (row, length)


@given(sizes=SIZES, seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_push_of_a_group_adds_up_to_nothing(sizes, seed):
    batch = rollout_batch(sizes, seed=seed)
    push = rank_push(batch.rewards, batch.groups, AmirConfig(rank_weighting="log"))
    for group in batch.groups.unique():
        assert math.isclose(push[batch.groups == group].sum().item(), 0.0, abs_tol=1e-12)


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
def test_the_advantage_of_a_token_times_its_share_is_the_push(mode):
    """Whatever the aggregation, lambda * push is what a response's mean log-probability feels."""
    form = AdvantageForm(CONSTANT, loss_agg_mode=mode, loss_scale_factor=50)
    push = torch.tensor([0.5, -1.0, 0.0, 0.25, 0.5, -0.25], dtype=torch.float64)
    share = form.token_share_N(LENGTH, horizon=8)
    rank = rank_advantage(torch.ones(6), push, LENGTH, share, CONSTANT)
    felt = rank * share * LENGTH
    torch.testing.assert_close(felt[LENGTH > 0], 0.3 * push[LENGTH > 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "shares"),
    [
        ("token-mean", [1 / 16] * 6),
        ("token-sum", [1.0] * 6),
        ("seq-mean-token-sum", [1 / 6] * 6),
        ("seq-mean-token-mean", [1 / 24, 1 / 6, 1 / 6, 1 / 18, 1 / 12, 1 / 36]),
        ("seq-mean-token-sum-norm", [1 / 48] * 6),
    ],
)
def test_shares_of_a_token(mode, shares):
    share = AdvantageForm(loss_agg_mode=mode).token_share_N(LENGTH, horizon=8)
    torch.testing.assert_close(share, torch.tensor(shares, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_fixed_scale_factor_takes_the_place_of_the_padded_length():
    form = AdvantageForm(loss_agg_mode="seq-mean-token-sum-norm", loss_scale_factor=100)
    assert form.token_share_N(LENGTH, horizon=8).unique().item() == pytest.approx(1 / 600)


def test_a_token_sum_is_worth_less_where_a_step_has_more_mini_batches():
    form = AdvantageForm(loss_agg_mode="token-sum", mini_batch_prompts=1, responses_per_prompt=3)
    assert form.token_share_N(LENGTH, horizon=8).unique().item() == 0.5


@pytest.mark.parametrize("mode", ["token-mean", "token-sum"])
@pytest.mark.parametrize("loss", ["sapo", "geo_mean"])
def test_losses_with_an_aggregation_of_their_own(loss, mode):
    own = AdvantageForm(loss_mode=loss, loss_agg_mode=mode).token_share_N(LENGTH, horizon=8)
    mean = AdvantageForm(loss_agg_mode="seq-mean-token-mean").token_share_N(LENGTH, horizon=8)
    torch.testing.assert_close(own, mean, rtol=1e-9, atol=0)


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
@pytest.mark.parametrize("beta", [0.2, 5.0])
def test_grad_ratio_holds_the_ratio_of_norms_whatever_beta_is(mode, beta):
    config = AmirConfig(beta=beta, lambda_target=0.7, lambda_max=1e9)
    share = AdvantageForm(config, loss_agg_mode=mode).token_share_N(LENGTH, horizon=8)
    policy = torch.tensor([1.0, -1.0, 3.0, 0.5, 0.0, -2.0])
    push = beta * torch.tensor([0.5, -1.0, 0.0, 0.25, 0.5, -0.25], dtype=torch.float64)
    rank = rank_advantage(policy, push, LENGTH, share, config)

    def norm(advantage):
        tokens = [s * a for s, a, n in zip(share, advantage, LENGTH, strict=True) for _ in range(n)]
        return math.sqrt(sum(float(token) ** 2 for token in tokens))

    assert norm(rank) == pytest.approx(0.7 * norm(policy))


def test_grad_ratio_stays_within_its_bounds():
    push, share = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64)
    length, policy = torch.tensor([1, 1]), torch.tensor([100.0, -100.0])
    free = rank_advantage(policy, push, length, share, AmirConfig(lambda_max=1000.0))
    # The norms behind lambda are square roots of sums, rounded otherwise on every processor.
    assert free.tolist() == pytest.approx([100.0, -100.0], rel=1e-9)
    bounded = rank_advantage(policy, push, length, share, AmirConfig(lambda_max=3.0))
    assert bounded.tolist() == pytest.approx([6.0, -6.0], rel=1e-9)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"lambda_schedule": "loss_ratio"}, "needs the losses of a step: set constant or grad_ratio"),
        ({"lambda_warmup_steps": 5}, "an estimator does not know the step: set 0"),
        ({"beta_scale": "group_std"}, "the spread needs log-probabilities: set raw"),
        ({"reference": "policy"}, "no log-probability enters it: set auto"),
        ({"mask_truncated": True}, "it needs the tokens: set false"),
    ],
)
def test_settings_without_an_advantage_form_are_refused(setting, line):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"^amir.{name}={value} has no advantage form: .*{line}$"):
        AdvantageForm(AmirConfig(**setting))


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (None, r"amir_grpo has no settings: add \+amir@_global_=advantage"),
        ({"deviation": "none"}, "algorithm.amir.deviation must be one of group, batch, got 'none'"),
        ({"loss_agg_mode": "mean"}, "algorithm.amir.loss_agg_mode must be one of token-mean, .*, got 'mean'"),
        ({"loss_scale_factor": 0}, "algorithm.amir.loss_scale_factor must be a number above 0, got 0"),
        ({"mini_batch_prompts": "8"}, "algorithm.amir.mini_batch_prompts must be a number above 0, got '8'"),
        ({"beta": 1.0}, "algorithm.amir.beta is no setting; known: settings, deviation, .*"),
        ({"settings": {"beta": -1}}, "amir.beta must be above 0, got -1"),
        ({"settings": {"betaa": 1}}, "amir.betaa is no setting of AMIR"),
    ],
)
def test_a_wrong_node_names_the_field(node, line):
    with pytest.raises(ValueError, match=line):
        AdvantageForm.from_algorithm({"amir": node})


def test_the_node_carries_the_settings():
    node = {"settings": {"beta": 0.7, "pair_mining": "topk"}, "deviation": "batch"}
    form = AdvantageForm.from_algorithm({"amir": node})
    assert form.settings == dataclasses.replace(AmirConfig(), beta=0.7, pair_mining="topk")
    assert form.deviation == "batch"
