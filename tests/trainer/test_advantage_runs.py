"""The advantage form in a run of verl: rows as the V1 trainer hands them over, the preset, contradictions."""

import dataclasses

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.v1 import trainer_base

from amir_verl.config import AmirConfig
from amir_verl.objective.advantage import AdvantageForm
from amir_verl.trainer.preflight import check_run

# Of an advantage, which is of the order of 1: means and deviations of a group in float32.
ADVANTAGE = {"rtol": 1e-5, "atol": 1e-5}


def constant(beta, **settings):
    return AmirConfig(beta=beta, lambda_schedule="constant", lambda_value=0.3, **settings)


def run_config(*overrides):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=["actor_rollout_ref.rollout.n=4", *overrides])


def v1_batch(rows, *, kl=None):
    """verl's data of rows (key, reward, tokens), with rewards after a KL penalty where one is given."""
    longest = max(tokens for _, _, tokens in rows)
    mask = torch.arange(longest) < torch.tensor([tokens for _, _, tokens in rows])[:, None]
    scores = torch.zeros(len(rows), longest)
    scores[:, 0] = torch.tensor([reward for _, reward, _ in rows])
    rewards = scores.clone()
    if kl is not None:
        rewards[:, 0] -= torch.tensor(kl)
    tensors = {"response_mask": mask.long(), "token_level_scores": scores, "token_level_rewards": rewards}
    uids = np.array([key.rsplit("_", 2)[0] for key, _, _ in rows], dtype=object)
    data = DataProto.from_dict(tensors, non_tensors={"uid": uids})
    return data, [key for key, _, _ in rows]


def v1_advantages(rows, settings, *, kl=None, **form):
    """Through the function that verl's V1 trainer calls, as it calls it."""
    data, keys = v1_batch(rows, kl=kl)
    node = dataclasses.asdict(AdvantageForm(settings, **form))
    out = trainer_base.compute_advantage_for_multi_trajectories(
        data,
        batch_keys=keys,
        adv_estimator="amir_grpo",
        num_repeat=2,
        config=OmegaConf.create({"norm_adv_by_std_in_grpo": True, "amir": node}),
    )
    return out.batch["advantages"]


def test_of_a_session_the_last_row_stands_for_it():
    settings = constant(2.0, policy_weight=0.0)
    alone = v1_advantages([("a_0_0", 1.0, 3), ("a_1_0", 0.0, 3)], settings, loss_agg_mode="token-sum")
    rows = [("a_0_0", 7.0, 3), ("a_1_0", 0.0, 3), ("a_0_1", 1.0, 3)]  # 7.0 is not the session's reward
    ranks = v1_advantages(rows, settings, loss_agg_mode="token-sum", mini_batch_prompts=3)
    two = v1_advantages([rows[2], rows[1]], settings, loss_agg_mode="token-sum", mini_batch_prompts=2)
    torch.testing.assert_close(two, alone, **ADVANTAGE)
    torch.testing.assert_close(ranks[[2, 1]], alone, **ADVANTAGE)
    assert not ranks[0].any()


def test_the_rows_of_a_session_share_verls_grpo_advantage():
    rows = [("a_0_0", 0.0, 2), ("a_1_0", 0.0, 3), ("a_0_1", 1.0, 3), ("b_0_0", 0.0, 1), ("b_1_0", 2.0, 1)]
    ours = v1_advantages(rows, constant(2.0, reward_margin=10.0))
    data, keys = v1_batch(rows)
    verls = trainer_base.compute_advantage_for_multi_trajectories(
        data, batch_keys=keys, adv_estimator="grpo", config=OmegaConf.create({})
    )
    torch.testing.assert_close(ours, verls.batch["advantages"], **ADVANTAGE)
    assert float(ours[0, 0]) == pytest.approx(float(ours[2, 0]), rel=1e-5) and float(ours[0, 0]) > 0


def test_pairs_come_from_rewards_before_the_kl_penalty():
    """Two right answers are no pair, however far apart their penalties are."""
    rows = [("a_0_0", 1.0, 2), ("a_1_0", 1.0, 2), ("a_2_0", 0.0, 2)]
    settings = constant(2.0, policy_weight=0.0)
    with_penalty = v1_advantages(rows, settings, kl=[0.0, 0.5, 0.1])
    torch.testing.assert_close(with_penalty, v1_advantages(rows, settings), **ADVANTAGE)
    first, second = with_penalty[:2, 0].tolist()
    assert first == pytest.approx(second, rel=1e-5) and first > 0


def test_padding_rows_change_no_one_else():
    rows = [("a_0_0", 1.0, 2), ("a_1_0", 0.0, 4), ("b_0_0", 3.0, 1), ("b_1_0", 1.0, 2)]
    padding = [("padf00_0_0", 0.0, 0), ("padf00_1_0", 0.0, 0)]
    for settings, deviation in ((AmirConfig(), "batch"), (constant(2.0), "group")):
        padded = v1_advantages(rows + padding, settings, deviation=deviation)
        expected = v1_advantages(rows, settings, deviation=deviation)
        torch.testing.assert_close(padded[:4], expected, **ADVANTAGE)
        assert not padded[4:].any()


def test_other_estimators_are_verls_own():
    rows = [("a_0_0", 1.0, 2), ("a_1_0", 0.0, 2)]
    data, keys = v1_batch(rows)
    out = trainer_base.compute_advantage_for_multi_trajectories(
        data, batch_keys=keys, adv_estimator="rloo", config=OmegaConf.create({})
    )
    assert out.batch["advantages"][:, 0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus_baseline", "opo"])
def test_other_estimators_are_verls_to_the_bit(estimator):
    """Also on a batch without raw scores, which AMIR's own estimator alone asks for."""
    rows = [("a_0_0", 1.0, 2), ("a_1_0", 0.0, 4), ("b_0_0", 3.0, 1), ("b_1_0", 1.0, 2)]
    wrapped = trainer_base.compute_advantage_for_multi_trajectories
    advantages = []
    for compute in (wrapped, wrapped.__wrapped__):
        data, keys = v1_batch(rows)
        if "token_level_scores" in data.batch:
            del data.batch["token_level_scores"]
        out = compute(data, batch_keys=keys, adv_estimator=estimator, config=OmegaConf.create({}))
        advantages.append(out.batch["advantages"])
    assert torch.equal(*advantages) and advantages[0].any()


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_the_preset_leaves_trainer_and_loss_alone(mode):
    actor = "actor_rollout_ref.actor"
    config = run_config(
        "+amir=advantage",
        "amir.beta=0.3",
        f"trainer.v1.trainer_mode={mode}",
        f"{actor}.loss_agg_mode=token-sum",
        f"{actor}.policy_loss.loss_mode=gspo",
        f"{actor}.ppo_mini_batch_size=16",
    )
    check_run(config)
    assert config.trainer.v1.trainer_mode == mode
    assert AdvantageForm.from_algorithm(config.algorithm) == AdvantageForm(
        AmirConfig(beta=0.3),
        loss_mode="gspo",
        loss_agg_mode="token-sum",
        mini_batch_prompts=16,
        responses_per_prompt=4,
    )


def test_verls_old_trainer_takes_it_too():
    check_run(run_config("+amir=advantage", "trainer.use_v1=False"))


def test_the_settings_survive_the_trip_to_the_driver():
    """verl resolves the run's settings before the trainer sees them, and hands on the node alone."""
    config = run_config("+amir=advantage", "algorithm.amir.deviation=batch")
    OmegaConf.resolve(config)
    algorithm = OmegaConf.create(OmegaConf.to_container(config.algorithm))
    assert AdvantageForm.from_algorithm(algorithm).deviation == "batch"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["+amir=grpo", "algorithm.adv_estimator=amir_grpo"],
            "take one, +amir@_global_=advantage or +amir@_global_=grpo",
        ),
        (
            ["+amir=advantage", "trainer.v1.trainer_mode=amir_sync"],
            "trainer.v1.trainer_mode=amir_sync with policy_loss.loss_mode=vanilla into the loss: take one",
        ),
        (
            ["+amir=advantage", "actor_rollout_ref.actor.policy_loss.loss_mode=amir_gspo"],
            "with policy_loss.loss_mode=amir_gspo into the loss: take one",
        ),
        (["algorithm.adv_estimator=amir_grpo"], "amir_grpo has no settings: add +amir@_global_=advantage"),
        (["+amir=advantage", "amir.lambda_schedule=loss_ratio"], "set constant or grad_ratio"),
        (["+amir=advantage", "amir.beta=0"], "amir.beta must be above 0, got 0"),
        (["+amir=advantage", "algorithm.amir.deviation=all"], "must be one of group, batch, got 'all'"),
        (["+amir=advantage", "actor_rollout_ref.rollout.n=1"], "rollout.n must be 2 or more, got 1"),
        (
            ["+amir=advantage", "trainer.use_v1=False", "algorithm.use_kl_in_reward=True"],
            "hides the raw reward from amir_grpo in verl's old trainer: set trainer.use_v1=True",
        ),
    ],
)
def test_contradictions_end_in_one_line(overrides, line):
    with pytest.raises(ValueError) as refused:
        check_run(run_config(*overrides))
    assert line in str(refused.value) and "\n" not in str(refused.value)
