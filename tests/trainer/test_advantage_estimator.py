"""`amir_grpo` inside verl: its gradient is the loss form's, for every loss and every way to add up tokens."""

import dataclasses

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo import core_algos
from verl.workers.config import FSDPActorConfig, PolicyLossConfig

from amir_verl.config import AmirConfig
from amir_verl.objective.advantage import LOSS_AGG_MODE, AdvantageForm
from amir_verl.objective.loss import amir_loss, mean_log_prob
from amir_verl.objective.pairs import mine_pairs

SCALE = 40
LOSSES = [name for name in core_algos.POLICY_LOSS_REGISTRY if not name.startswith("amir_")]
LAMBDA = 0.3
# Of an advantage, which is of the order of 1: means and deviations of a group in float32.
ADVANTAGE = {"rtol": 1e-5, "atol": 1e-5}


class Rollouts:
    """Ragged groups in shuffled rows, float64: rewards in four grades, one response without a token."""

    def __init__(self, sizes=(5, 8, 2, 1, 6), longest=9):
        draw = torch.Generator().manual_seed(11)
        total = sum(sizes)
        group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        self.group = group[torch.randperm(total, generator=draw)]
        self.uid = np.array([f"prompt-{g}" for g in self.group.tolist()], dtype=object)
        self.length = torch.randint(1, longest + 1, (total,), generator=draw)
        self.length[3] = 0
        self.mask = torch.arange(longest) < self.length[:, None]
        self.reward = torch.randint(0, 4, (total,), generator=draw).double() / 2
        self.token_rewards = torch.zeros(total, longest, dtype=torch.float64)
        self.token_rewards[:, -1] = self.reward
        self.old = -2 * torch.rand(total, longest, generator=draw, dtype=torch.float64)

    def policy_gradient(self, advantages, *, loss="vanilla", mode="token-mean", rows=slice(None)):
        """dL/dlogp at the old policy by verl's own loss on a mini-batch of rows."""
        config = FSDPActorConfig(
            rollout_n=4,
            ppo_micro_batch_size_per_gpu=1,
            policy_loss=PolicyLossConfig(loss_mode=loss, dro_beta=0.5),
            loss_agg_mode=mode,
            loss_scale_factor=SCALE,
        )
        mask = self.mask[rows]
        config.global_batch_info.update(
            dp_size=1,
            batch_num_tokens=int(mask.sum()),
            global_batch_size=len(mask),
            loss_scale_factor=SCALE,
        )
        live = self.old[rows].clone().requires_grad_()
        torch.manual_seed(3)  # some of verl's losses draw tokens
        value, _ = core_algos.get_policy_loss_fn(loss)(
            old_log_prob=self.old[rows],
            log_prob=live,
            advantages=advantages[rows],
            response_mask=mask,
            loss_agg_mode=mode,
            config=config,
        )
        return torch.autograd.grad(value, live)[0]

    def preference_gradient(self, config):
        """dL_pref/dlogp at the old policy, by the loss form."""
        live = self.old.clone().requires_grad_()
        loss, _ = amir_loss(live, self.mask, self.reward, self.group, config, old_log_prob=self.old)
        return torch.autograd.grad(loss, live)[0]

    def bound(self, config):
        """What the advantage form may be off by at each token: beta^2 |l_i - l_j| / 4 a pair."""
        eligible = self.length > 0
        pairs = mine_pairs(self.reward, self.group, config, eligible_N=eligible)
        mean = mean_log_prob(self.old, self.mask)
        gap = (mean[pairs.chosen_P] - mean[pairs.rejected_P]).abs()
        of_pair = pairs.weight_P * config.beta**2 * gap / 4 / len(pairs)
        bound = torch.zeros(len(self.reward), dtype=torch.float64)
        bound.index_add_(0, pairs.chosen_P, of_pair).index_add_(0, pairs.rejected_P, of_pair)
        return (bound / self.length.clamp(min=1))[:, None] * self.mask

    def grpo(self, *, by_std=True):
        return core_algos.get_adv_estimator_fn("grpo")(
            self.token_rewards, self.mask, self.uid, norm_adv_by_std_in_grpo=by_std
        )[0]

    def amir(self, form, *, rewards=None, by_std=True, rows=slice(None)):
        """The advantages of the registered estimator, called as verl calls it."""
        node = dataclasses.asdict(form)
        config = OmegaConf.create({"norm_adv_by_std_in_grpo": by_std, "amir": node})
        advantages, returns = core_algos.get_adv_estimator_fn("amir_grpo")(
            token_level_rewards=self.token_rewards[rows] if rewards is None else rewards,
            response_mask=self.mask[rows],
            index=self.uid[rows],
            config=config,
        )
        torch.testing.assert_close(advantages, returns, **ADVANTAGE)
        return advantages


def constant(beta, **settings):
    return AmirConfig(beta=beta, lambda_schedule="constant", lambda_value=LAMBDA, **settings)


def form_of(config, **actor):
    return AdvantageForm(config, loss_scale_factor=SCALE, **actor)


@pytest.fixture(scope="module")
def rollouts():
    return Rollouts()


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
@pytest.mark.parametrize("beta", [0.2, 2.0])
def test_its_gradient_is_the_loss_forms_within_the_bound(rollouts, mode, beta):
    config = constant(beta, rank_weighting="linear")
    both_losses = rollouts.policy_gradient(rollouts.grpo(), mode=mode)
    both_losses = both_losses + LAMBDA * rollouts.preference_gradient(config)
    as_advantage = rollouts.policy_gradient(rollouts.amir(form_of(config, loss_agg_mode=mode)), mode=mode)
    error = (as_advantage - both_losses).abs()
    allowed = LAMBDA * rollouts.bound(config)
    assert bool((error <= allowed * (1 + 1e-6) + 1e-12).all())
    # The bound is not idle, nor is the term itself small beside it.
    assert error.max() > 0.1 * allowed.max()
    assert (LAMBDA * rollouts.preference_gradient(config)).norm() > 10 * error.norm() * min(1, 0.2 / beta)


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
def test_it_converges_to_the_loss_form_as_beta_falls(rollouts, mode):
    """Half the beta, half the relative error."""
    relative = []
    for beta in (0.4, 0.2, 0.1):
        config = constant(beta)
        term = LAMBDA * rollouts.preference_gradient(config)
        as_advantage = rollouts.policy_gradient(rollouts.amir(form_of(config, loss_agg_mode=mode)), mode=mode)
        rank_part = as_advantage - rollouts.policy_gradient(rollouts.grpo(), mode=mode)
        relative.append(float((rank_part - term).norm() / term.norm()))
    assert relative[1] / relative[0] == pytest.approx(0.5, abs=0.02)
    assert relative[2] / relative[1] == pytest.approx(0.5, abs=0.02)
    assert relative[2] < 0.03


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-sum-norm"])
def test_it_holds_under_every_loss_of_verl(rollouts, loss, mode):
    config = constant(1e-6)
    form = form_of(config, loss_mode=loss, loss_agg_mode=mode)
    plain = rollouts.policy_gradient(rollouts.grpo() * 0, loss=loss, mode=mode)
    zero_policy = dataclasses.replace(form, settings=dataclasses.replace(config, policy_weight=0.0))
    rank_part = rollouts.policy_gradient(rollouts.amir(zero_policy), loss=loss, mode=mode) - plain
    term = LAMBDA * rollouts.preference_gradient(config)
    assert float((rank_part - term).norm() / term.norm()) < 1e-5


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
def test_mini_batches_follow_the_loss_form(rollouts, mode):
    """The loss form gives a mini-batch of G rows the gradient (N/G) dL_pref of its rows."""
    config = constant(1e-6, policy_weight=0.0)
    form = form_of(config, loss_agg_mode=mode, mini_batch_prompts=11, responses_per_prompt=1)
    advantages = rollouts.amir(form)
    term = LAMBDA * rollouts.preference_gradient(config)
    assert len(term) == 22
    for rows in (slice(0, 11), slice(11, 22)):
        expected = 2 * term[rows]
        if mode == "token-mean":  # the step's mean length stands for the mini-batch's
            expected = expected * (rollouts.length.double().mean() / rollouts.length[rows].double().mean())
        gradient = rollouts.policy_gradient(advantages, mode=mode, rows=rows)
        assert float((gradient - expected).norm() / expected.norm()) < 1e-5


def test_without_pairs_it_is_verls_grpo(rollouts):
    form = form_of(constant(2.0, reward_margin=10.0))
    for by_std in (True, False):
        torch.testing.assert_close(
            rollouts.amir(form, by_std=by_std), rollouts.grpo(by_std=by_std), **ADVANTAGE
        )


def test_the_deviation_of_the_batch(rollouts):
    form = form_of(constant(2.0, reward_margin=10.0), deviation="batch")
    deviation = rollouts.reward[rollouts.length > 0].std()
    centred = rollouts.grpo(by_std=False)
    torch.testing.assert_close(rollouts.amir(form), centred / (deviation + 1e-6), **ADVANTAGE)
    # Not scaled at all is not scaled by the batch either.
    torch.testing.assert_close(rollouts.amir(form, by_std=False), centred, **ADVANTAGE)


@pytest.mark.parametrize("mode", LOSS_AGG_MODE)
def test_grad_ratio_is_the_loss_forms(rollouts, mode):
    config = AmirConfig(beta=1e-3, lambda_target=0.5, lambda_max=1e9)
    policy = rollouts.policy_gradient(rollouts.grpo(), mode=mode)
    total = rollouts.policy_gradient(rollouts.amir(form_of(config, loss_agg_mode=mode)), mode=mode)
    assert float((total - policy).norm() / policy.norm()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_broken_reward_stays_with_its_row(rollouts, broken):
    """It gets advantage 0; its siblings are compared as if it were not there."""
    rewards = rollouts.token_rewards.clone()
    row = int(torch.nonzero(rollouts.group == 1)[2])
    rewards[row, -1] = broken
    form = form_of(constant(2.0))
    advantages = rollouts.amir(form, rewards=rewards)
    assert bool(torch.isfinite(advantages).all())
    assert not advantages[row].any()
    siblings = (rollouts.group == 1) & (torch.arange(len(rewards)) != row) & (rollouts.length > 0)
    assert bool(advantages[siblings].any())
    # Rank part alone: that of a batch without the row, token-mean's count of tokens aside.
    only_ranks = form_of(constant(2.0, policy_weight=0.0), loss_agg_mode="token-sum")
    rest = [i for i in range(len(rewards)) if i != row]
    without = rollouts.amir(only_ranks, rows=rest)
    torch.testing.assert_close(
        rollouts.amir(only_ranks, rewards=rewards)[rest] * len(rest), without * len(rest), **ADVANTAGE
    )


def test_a_batch_of_broken_rewards_has_no_advantage(rollouts):
    rewards = torch.full_like(rollouts.token_rewards, float("nan"))
    assert not rollouts.amir(form_of(constant(2.0)), rewards=rewards).any()


def test_rewards_all_equal_and_empty_responses_have_none(rollouts):
    form = form_of(AmirConfig(beta=2.0))
    equal = torch.zeros_like(rollouts.token_rewards)
    equal[:, -1] = 0.5
    lone = rollouts.group == 3  # verl's GRPO leaves a lone response its reward
    assert rollouts.amir(form, rewards=equal)[~lone].abs().max() < 1e-6
    assert not rollouts.amir(form)[rollouts.length == 0].any()
