"""The advantage that makes verl's policy loss the likelihood of the best-ranked responses."""

import torch
from verl.trainer.ppo.core_algos import agg_loss, get_adv_estimator_fn

from amir_verl.ranked.best_of_group import best_of_group_advantage

REWARDS = torch.tensor([0.0, -1.0, -2.0, 0.0, -3.0, -1.0, -1.0])
PROMPTS = ["a", "a", "a", "b", "b", "c", "c"]


def advantages(mask):
    scores = torch.zeros(mask.shape)
    scores[:, 0] = REWARDS
    found, returns = best_of_group_advantage(scores, mask, PROMPTS, config=None)
    assert torch.equal(found, returns)
    return found


def test_the_best_share_their_groups_size_and_the_others_get_nothing():
    found = advantages(torch.ones(7, 2))
    assert found[:, 0].tolist() == [3, 0, 0, 2, 0, 1, 1]
    assert torch.equal(found[:, 0], found[:, 1])


def test_masked_tokens_get_nothing():
    mask = torch.ones(7, 3)
    mask[:, 2] = 0
    assert advantages(mask)[:, 2].tolist() == [0] * 7


def test_verls_policy_loss_has_the_gradient_of_the_likelihood_of_the_best():
    mask = torch.ones(7, 4)
    log_prob = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ratio = (log_prob - log_prob.detach()).exp()
    loss = agg_loss(loss_mat=-advantages(mask) * ratio, loss_mask=mask, loss_agg_mode="token-mean")
    (gradient,) = torch.autograd.grad(loss, log_prob)
    # Mean over the groups of the mean over the best, each group as large as its share of the batch.
    expected = -(3 * log_prob[0].mean() + 2 * log_prob[3].mean() + 2 * log_prob[5:].mean()) / 7
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, log_prob)[0], rtol=1e-5, atol=1e-6)


def test_verl_knows_it_by_name():
    assert get_adv_estimator_fn("best_of_group") is best_of_group_advantage
