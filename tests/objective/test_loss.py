"""amir_loss against the float64 oracle."""

import pytest
import torch
from oracle import preference_loss, preference_pairs, response_means, spread
from rollout_batches import MININGS, assert_close, loss_and_gradient, rollout_batch

from amir_verl.config import AmirConfig
from amir_verl.objective.comparison import spread_in_groups
from amir_verl.objective.loss import amir_loss, mean_log_prob

RAGGED = [1, 2, 5, 8, 3, 4]


def oracle_of(batch, config, *, anchored=False, reference=False, log_prob=None):
    loss, gradient = preference_loss(
        (batch.log_prob if log_prob is None else log_prob).tolist(),
        batch.mask.tolist(),
        batch.rewards.tolist(),
        batch.groups.tolist(),
        config,
        old_log_prob=batch.old_log_prob.tolist() if anchored else None,
        ref_log_prob=batch.ref_log_prob.tolist() if reference else None,
    )
    return loss, torch.tensor(gradient, dtype=torch.float64)


@pytest.mark.parametrize("reference", [False, True], ids=["free", "reference"])
@pytest.mark.parametrize("anchored", [False, True], ids=["live", "anchored"])
@pytest.mark.parametrize("margin_and_cap", [(0.0, None), (0.5, None), (0.5, 3)], ids=str)
@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic", "log"])
@pytest.mark.parametrize("mining", MININGS)
def test_loss_and_gradient_are_the_oracles(mining, weighting, margin_and_cap, anchored, reference):
    margin, cap = margin_and_cap
    config = AmirConfig(
        beta=2.5,
        reward_margin=margin,
        max_pairs_per_group=cap,
        rank_weighting=weighting,
        **MININGS[mining],
    )
    # Under a cap the gaps differ, so that the definition alone names the kept pairs.
    batch = rollout_batch(
        RAGGED, seed=7, levels=4 if cap is None else None, empty=2, broken=3, drift=0.3 if anchored else 0.0
    )
    loss, gradient, metrics = loss_and_gradient(batch, config, anchored=anchored, reference=reference)
    expected_loss, expected_gradient = oracle_of(batch, config, anchored=anchored, reference=reference)

    assert expected_loss > 0 and bool((expected_gradient != 0).any())
    assert float(loss) == pytest.approx(expected_loss, rel=1e-10)
    assert metrics["amir/loss"] == pytest.approx(expected_loss, rel=1e-10)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("beta", [0.2, 1.0, 30.0])
@pytest.mark.parametrize("beta_scale", ["raw", "group_std"])
@pytest.mark.parametrize("anchored", [False, True])
def test_beta_and_its_scale_are_the_oracles(beta, beta_scale, anchored):
    config = AmirConfig(beta=beta, beta_scale=beta_scale)
    batch = rollout_batch(RAGGED, seed=11, empty=2, broken=4, drift=0.1)
    loss, gradient, metrics = loss_and_gradient(batch, config, anchored=anchored)
    expected_loss, expected_gradient = oracle_of(batch, config, anchored=anchored)
    assert float(loss) == pytest.approx(expected_loss, rel=1e-10)
    assert_close(gradient, expected_gradient)
    means = response_means((batch.old_log_prob if anchored else batch.log_prob).tolist(), batch.mask.tolist())
    width = spread(batch.rewards.tolist(), batch.groups.tolist(), means)
    assert metrics["amir/beta_spread"] == pytest.approx(beta if beta_scale == "group_std" else beta * width)


@pytest.mark.parametrize("anchored", [False, True], ids=["live", "anchored"])
@pytest.mark.parametrize("pull", ["both", "chosen", "rejected"])
def test_a_pull_moves_the_ends_it_names(pull, anchored):
    """One-sided: the value is still L_pref's, the other end of a pair gets no gradient."""
    config = AmirConfig(beta=2.5, pull=pull, rank_weighting="linear")
    batch = rollout_batch(RAGGED, seed=11, levels=4, empty=2, broken=4, drift=0.1 if anchored else 0.0)
    loss, gradient, metrics = loss_and_gradient(batch, config, anchored=anchored)
    expected_loss, expected_gradient = oracle_of(batch, config, anchored=anchored)
    assert float(loss) == pytest.approx(expected_loss, rel=1e-10)
    assert metrics["amir/loss"] == pytest.approx(expected_loss, rel=1e-10)
    assert_close(gradient, expected_gradient)
    signs = {sign for sign in gradient.sign().flatten().tolist() if sign}
    assert signs == {"both": {-1.0, 1.0}, "chosen": {-1.0}, "rejected": {1.0}}[pull]


@pytest.mark.parametrize("anchored", [False, True])
def test_the_oracles_gradient_is_the_slope_of_its_loss(anchored):
    """The oracle stands on its own feet: central differences. An anchored pair counts from both ends, so the
    slope of the value is half the gradient."""
    config = AmirConfig(beta=3.0, rank_weighting="linear")
    batch = rollout_batch([3, 4], seed=3, drift=0.2)
    _, gradient = oracle_of(batch, config, anchored=anchored)
    for row, token in batch.mask.nonzero().tolist():
        values = []
        for step in (1e-5, -1e-5):
            moved = batch.log_prob.clone()
            moved[row, token] += step
            values.append(oracle_of(batch, config, anchored=anchored, log_prob=moved)[0])
        slope = (values[0] - values[1]) / 2e-5
        assert slope * (2 if anchored else 1) == pytest.approx(float(gradient[row, token]), abs=1e-8)


def test_live_form_passes_gradcheck():
    batch = rollout_batch([4, 3, 2], seed=5, empty=1, broken=1)
    config = AmirConfig(beta=2.0, rank_weighting="linear")
    clean = torch.where(batch.mask, batch.log_prob, -1.0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda tokens: amir_loss(tokens, batch.mask, batch.rewards, batch.groups, config)[0], clean
    )


@pytest.mark.parametrize("reference", [False, True])
def test_at_the_old_policy_anchored_and_live_form_agree(reference):
    config = AmirConfig(beta=5.0, rank_weighting="log")
    batch = rollout_batch(RAGGED, seed=13, empty=2, broken=2)
    live = loss_and_gradient(batch, config, reference=reference)
    anchored = loss_and_gradient(batch, config, anchored=True, reference=reference)
    assert_close(anchored[0], live[0])
    assert_close(anchored[1], live[1])
    assert anchored[2] == pytest.approx(live[2])


def test_anchors_follow_the_design_figures_as_the_policy_drifts():
    """At a drift of 0.01 in l the gradient is off by 1 % at beta 5, at 0.1 by 5 %."""
    config = AmirConfig(beta=5.0)
    for drift, bound in ((0.01, 0.02), (0.1, 0.12)):
        batch = rollout_batch([8] * 6, seed=17, levels=2, max_length=1, drift=drift)
        _, live, _ = loss_and_gradient(batch, config)
        _, anchored, _ = loss_and_gradient(batch, config, anchored=True)
        off = float((anchored - live).norm() / live.norm())
        assert 0 < off < bound
        assert float((anchored * live).sum() / anchored.norm() / live.norm()) > 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("anchored", [False, True])
def test_the_dtype_that_comes_in_goes_out(dtype, anchored):
    batch = rollout_batch(RAGGED, seed=19, empty=1, broken=1, drift=0.1)
    config = AmirConfig(beta=2.0)
    live = batch.log_prob.to(dtype).requires_grad_()
    old = batch.old_log_prob.to(dtype)
    loss, metrics = amir_loss(
        live, batch.mask, batch.rewards, batch.groups, config, old_log_prob=old if anchored else None
    )
    loss.backward()
    assert loss.dtype == dtype and live.grad.dtype == dtype and isinstance(metrics["amir/loss"], float)
    # What rounding of the input costs, and no more: sums run in float32 or wider.
    exact = batch._replace(log_prob=live.detach().double(), old_log_prob=old.double())
    expected_loss, expected_gradient = oracle_of(exact, config, anchored=anchored)
    step = torch.finfo(dtype).eps
    assert float(loss.detach()) == pytest.approx(expected_loss, rel=max(2 * step, 1e-10))
    assert metrics["amir/loss"] == pytest.approx(expected_loss, rel=1e-5)
    assert_close(live.grad.double(), expected_gradient, max(4 * step, 1e-10))


@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int64, torch.float32])
def test_masks_of_any_dtype_mean_the_same(mask_dtype):
    batch = rollout_batch([4, 4], seed=23)
    config = AmirConfig()
    expected, _ = amir_loss(batch.log_prob, batch.mask, batch.rewards, batch.groups, config)
    loss, _ = amir_loss(batch.log_prob, batch.mask.to(mask_dtype), batch.rewards, batch.groups, config)
    assert_close(loss, expected)


def test_names_of_groups_serve_as_well_as_numbers():
    batch = rollout_batch(RAGGED, seed=29)
    names = [f"prompt-{group}" for group in batch.groups.tolist()]
    by_name, _ = amir_loss(batch.log_prob, batch.mask, batch.rewards, names, AmirConfig())
    by_number, _ = amir_loss(batch.log_prob, batch.mask, batch.rewards, batch.groups, AmirConfig())
    assert_close(by_name, by_number)


def test_padding_rows_change_nothing():
    """Rows that pad a batch, as verl's: a group of their own, told by `eligible` or by an empty mask."""
    batch = rollout_batch([4, 3], seed=31)
    config = AmirConfig(rank_weighting="linear")
    loss, gradient, metrics = loss_and_gradient(batch, config)
    padded = batch._replace(
        **{
            name: torch.cat([getattr(batch, name), getattr(batch, name)[:3]])
            for name in ("log_prob", "old_log_prob", "ref_log_prob", "mask")
        },
        rewards=torch.cat([batch.rewards, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)]),
        groups=torch.cat([batch.groups, torch.full((3,), 999)]),
    )
    live = padded.log_prob.clone().requires_grad_()
    padded_loss, padded_metrics = amir_loss(
        live, padded.mask, padded.rewards, padded.groups, config, eligible=torch.arange(10) < 7
    )
    padded_loss.backward()
    assert_close(padded_loss.detach(), loss)
    assert_close(live.grad[:7], gradient)
    assert not bool(live.grad[7:].any())
    assert padded_metrics["amir/num_pairs"] == metrics["amir/num_pairs"]

    unmasked = padded._replace(mask=padded.mask & (torch.arange(10) < 7)[:, None])
    assert_close(loss_and_gradient(unmasked, config)[0], loss)


def test_a_response_with_a_log_probability_that_is_not_finite_joins_no_pair():
    batch = rollout_batch([4, 4], seed=37)
    batch.log_prob[2, 0] = float("-inf")
    loss, gradient, _ = loss_and_gradient(batch, AmirConfig())
    without = batch._replace(mask=batch.mask & (torch.arange(8) != 2)[:, None])
    assert_close(loss, loss_and_gradient(without, AmirConfig())[0])
    assert not bool(gradient[2].any()) and bool(torch.isfinite(gradient).all())


def test_no_gradient_reaches_the_old_policy_or_the_reference():
    batch = rollout_batch([4, 4], seed=41)
    live, old, ref = (field.clone().requires_grad_() for field in batch[:3])
    loss, _ = amir_loss(
        live, batch.mask, batch.rewards, batch.groups, AmirConfig(), old_log_prob=old, ref_log_prob=ref
    )
    loss.backward()
    assert live.grad is not None and old.grad is None and ref.grad is None


def test_a_batch_without_a_pair_is_zero_and_can_still_run_backward():
    batch = rollout_batch([1, 1, 1], seed=43, empty=1)
    loss, gradient, metrics = loss_and_gradient(batch, AmirConfig())
    assert float(loss) == 0.0 and not bool(gradient.any())
    assert metrics["amir/num_pairs"] == 0.0 and metrics["amir/pair_coverage"] == 0.0


def test_metrics_are_those_of_the_mined_pairs():
    batch = rollout_batch(RAGGED, seed=47, empty=2, broken=2, drift=0.2)
    config = AmirConfig(reward_margin=0.5)
    _, _, metrics = loss_and_gradient(batch, config, anchored=True)
    means = response_means(batch.log_prob.tolist(), batch.mask.tolist())
    old = response_means(batch.old_log_prob.tolist(), batch.mask.tolist())
    rewards, groups = batch.rewards.tolist(), batch.groups.tolist()
    pairs = preference_pairs(rewards, groups, old, config)
    margins = [means[i] - means[j] for i, j, _ in pairs]
    assert metrics["amir/num_pairs"] == len(pairs)
    assert metrics["amir/pair_coverage"] == pytest.approx(len({groups[i] for i, _, _ in pairs}) / 6)
    assert metrics["amir/pair_accuracy"] == pytest.approx(sum(m > 0 for m in margins) / len(pairs))
    assert metrics["amir/margin"] == pytest.approx(sum(margins) / len(pairs))
    assert metrics["amir/reward_gap"] == pytest.approx(
        sum(rewards[i] - rewards[j] for i, j, _ in pairs) / len(pairs)
    )
    assert metrics["amir/dropped_rewards"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_prob": torch.zeros(3)}, r"log_prob must have shape \(N, T\), got \(3,\)"),
        (
            {"response_mask": torch.ones(3, 4)},
            r"response_mask must have log_prob's shape \(3, 5\), got \(3, 4\)",
        ),
        (
            {"old_log_prob": torch.ones(2, 5)},
            r"old_log_prob must have log_prob's shape \(3, 5\), got \(2, 5\)",
        ),
        ({"ref_log_prob": torch.ones(3)}, r"ref_log_prob must have log_prob's shape \(3, 5\), got \(3,\)"),
        ({"rewards": torch.ones(4)}, r"rewards must hold one entry a response \(3\), got 4"),
        ({"groups": ["a", "b"]}, r"groups must hold one entry a response \(3\), got 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(change, message):
    arguments = {
        "log_prob": torch.zeros(3, 5),
        "response_mask": torch.ones(3, 5),
        "rewards": torch.ones(3),
        "groups": torch.zeros(3, dtype=torch.long),
    }
    with pytest.raises(ValueError, match=f"^{message}$"):
        amir_loss(**(arguments | change), config=AmirConfig())


def test_mean_log_prob_is_zero_for_an_empty_response_and_wide_for_half_precision():
    tokens = torch.full((2, 300), -1.001953125, dtype=torch.bfloat16)
    mask = torch.tensor([[1], [0]]).expand(2, 300)
    mean = mean_log_prob(tokens, mask)
    assert mean.dtype == torch.float32
    assert mean.tolist() == pytest.approx([float(tokens[0, 0]), 0.0], rel=1e-6)


def test_spread_leaves_out_groups_of_one_and_rows_that_are_not_eligible():
    values, group = torch.tensor([1.0, 3.0, 100.0, 50.0]), torch.tensor([0, 0, 1, 0])
    eligible = torch.tensor([True, True, True, False])
    assert float(spread_in_groups(values, group, eligible)) == pytest.approx(1.0, rel=1e-5)  # float32
    assert spread_in_groups(values, torch.arange(4), eligible) == 0.0
    assert spread_in_groups(values, group, torch.zeros(4, dtype=torch.bool)) == 0.0
