"""The study's trainer of one process samples, scores and updates as verl's does."""

import subprocess
import sys

import pandas as pd
import pytest
import torch

from amir_verl import AmirConfig, amir_loss
from amir_verl.objective.anchors import step_preferences
from benchmarks.study.grid import ARMS, CELLS, Run
from benchmarks.study.loop import Trainer, preference_term, train
from benchmarks.study.measures import read_problems
from benchmarks.study.policy import Policy
from benchmarks.study.report import RUNS
from benchmarks.study.training import SAMPLED, Length, composed_run_of, make_model

CELL = CELLS["easy-20-right_wrong"]
GROUP_N = torch.arange(4).repeat_interleave(4)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A study's folder with a model that a few steps have taught the format."""
    folder = tmp_path_factory.mktemp("study")
    model = folder / "models" / "easy-20-0"
    command = [sys.executable, "scripts/make_tiny.py", f"--out={model}", "--steps=60", "--carry-share=1"]
    subprocess.run([*command, "--train=64", "--validation=8"], check=True, capture_output=True)
    assert make_model(Run(CELL, ARMS["grpo"], 0), folder) == model  # kept, as it is there
    assert len(pd.read_parquet(model / SAMPLED)) == 64
    return folder


@pytest.fixture()
def policy(out):
    return Policy(out / "models" / "easy-20-0")


def sampled(policy, seed=0):
    questions = ["17+25=?", "48+36=?", "5+9=?", "66+77=?"]
    return policy.sample(questions, 4, max_tokens=24, generator=torch.Generator().manual_seed(seed))


def test_samples_end_where_they_end_and_come_again_with_the_same_numbers(policy):
    first, again, other = sampled(policy), sampled(policy), sampled(policy, seed=1)
    assert first.texts == again.texts != other.texts
    eos, length = policy.tokenizer.eos_token_id, first.mask_NT.shape[1]
    for token_L, mask_T in zip(first.token_NL, first.mask_NT, strict=True):
        token_T = token_L[-length:]
        assert not mask_T.int().diff().gt(0).any()  # one stretch from the first token on
        last = int(mask_T.sum()) - 1
        assert token_T[last] == eos or last + 1 == 24
        assert eos not in token_T[:last]


def test_log_probabilities_are_those_of_each_response_alone(policy):
    responses = sampled(policy)
    with torch.no_grad():
        log_prob_NT, entropy_NT = policy.log_probs(responses)
        for index, mask_T in enumerate(responses.mask_NT):
            token_L = responses.token_NL[index, responses.attention_NL[index].bool()]
            log_softmax_LV = policy.model(input_ids=token_L[None]).logits[0].log_softmax(-1)
            alone_L = log_softmax_LV[:-1].gather(-1, token_L[1:, None])[:, 0]
            length = int(mask_T.sum())
            assert torch.allclose(log_prob_NT[index, :length], alone_L[-length:], atol=1e-5)
    assert bool((entropy_NT[responses.mask_NT] > 0).all())


def test_the_term_has_the_gradient_of_the_loss():
    live_N = torch.tensor([-0.2, -0.5, -0.1, -0.9]).requires_grad_()
    reward_N, group_N = torch.tensor([1.0, 0.0, 0.5, 0.0]), torch.zeros(4, dtype=torch.long)
    config, mask_NT = AmirConfig(beta=3.0), torch.ones(4, 1, dtype=torch.bool)
    found = step_preferences(live_N.detach(), reward_N, group_N, mask_NT.any(-1), config)
    (term_N,) = torch.autograd.grad(preference_term(found, live_N), live_N)
    loss, _ = amir_loss(live_N[:, None], mask_NT, reward_N, group_N, config)
    (loss_N,) = torch.autograd.grad(loss, live_N)
    assert torch.allclose(term_N, loss_N, atol=1e-6) and bool(loss_N.abs().max() > 0.01)


@pytest.mark.parametrize(
    "arm", ["grpo", "paper", "amir_s1_r0.3", "gspo_amir", "advantage_l0.3", "grpo_kl0.1"]
)
def test_an_arm_trains_with_its_own_settings(arm, out):
    folder = out / "models" / "easy-20-0"
    policy = Policy(folder)
    before = [parameter.clone() for parameter in policy.model.parameters()]
    trainer = Trainer(policy, composed_run_of(Run(CELL, ARMS[arm], 0), folder, Length(2, 1)))
    responses = sampled(policy)
    reward_N = torch.tensor([1.0, 0.0, 0.0, 0.0] * 4)
    metrics = trainer.step(responses, reward_N, GROUP_N)
    moved = max(
        (parameter - old).abs().max().item()
        for parameter, old in zip(policy.model.parameters(), before, strict=True)
    )
    # Adam's first step moves each weight by the learning rate, and decays it by a hundredth of that.
    assert 0.9 * ARMS[arm].learning_rate < moved < 1.1 * ARMS[arm].learning_rate
    expected = {"grpo": 0.0, "grpo_kl0.1": 0.0, "amir_s1_r0.3": 0.3, "gspo_amir": 1.0}
    if arm in expected:
        assert metrics["amir/grad_ratio"] == pytest.approx(expected[arm], abs=1e-4)
        assert metrics["amir/num_pairs"] == 12
    assert ("amir/grad_ratio" in metrics) == (arm != "advantage_l0.3")


@pytest.mark.parametrize("arm, loss_mode", [("grpo", "vanilla"), ("grpo", "amir_gspo"), ("gspo", "gspo")])
def test_a_baseline_takes_the_step_of_its_loss_alone_and_gspos_first_step_is_grpos(arm, loss_mode, out):
    folder = out / "models" / "easy-20-0"
    policies = [Policy(folder), Policy(folder)]
    config = composed_run_of(Run(CELL, ARMS[arm], 0), folder, Length(2, 1))
    reward_N = torch.tensor([1.0, 0.0, 0.0, 1.0] * 4)
    Trainer(policies[0], config).step(sampled(policies[0]), reward_N, GROUP_N)
    config.actor_rollout_ref.actor.policy_loss.loss_mode = loss_mode
    Trainer(policies[1], config).step(sampled(policies[1]), reward_N, GROUP_N)
    for ours, plain in zip(*(policy.model.parameters() for policy in policies), strict=True):
        assert torch.equal(ours, plain)


def test_a_run_has_the_figures_of_verls(out):
    figures = train(Run(CELL, ARMS["amir_b5_r1"], 0), out, Length(2, 1))
    settings = {"trainer", "cell", "arm", "seed", "num_steps", "overrides", "learning_rate"}
    assert set(figures) == set(pd.read_parquet(RUNS).columns) - settings
    assert figures["steps"] == [0, 1, 2] and len(figures["pass@1"]) == 3 and len(figures["lambda"]) == 2
    again = train(Run(CELL, ARMS["amir_b5_r1"], 0), out, Length(2, 1))
    assert again["pass@1"] == figures["pass@1"]
    assert len(read_problems(out / "models" / "easy-20-0" / "validation.parquet")) == 8


def test_a_grid_goes_on_where_it_was_stopped(out):
    command = [sys.executable, "-m", "benchmarks.study", "--grid=small", "--trainer=loop", f"--out={out}"]
    command += ["--steps=1", "--validate-every=1", "--seeds=0", "--cells", CELL.name, "--arms"]
    first = subprocess.run([*command, "grpo"], check=True, capture_output=True, text=True).stdout
    assert first.startswith("1 runs, 0 of them done") and f"{CELL.name}/grpo/0: " in first
    again = subprocess.run([*command, "grpo", "paper"], check=True, capture_output=True, text=True).stdout
    assert again.startswith("2 runs, 1 of them done")
    rows = pd.read_parquet(out / "runs.parquet")
    assert list(zip(rows["trainer"], rows["arm"], strict=True)) == [("loop", "grpo"), ("loop", "paper")]
