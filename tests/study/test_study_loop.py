"""The loop: its model is Qwen2, its gradient that of policy loss and `amir_loss`; it may stop anywhere."""

import copy

import pytest
import torch

from amir_verl import AmirConfig, amir_loss
from amir_verl.demo import countdown
from benchmarks.study.arms import Arm, arm
from benchmarks.study.loop import Training, group_advantages, policy_loss
from benchmarks.study.measures import Grader, right_counts, row_of
from benchmarks.study.policy import Responses
from benchmarks.study.rivals import rare_rewards
from benchmarks.study.run_state import go_on, state_of

PROBLEMS = countdown.problems(0, 4)
GROUP, TOKENS = 4, 8


def rewards(problems, responses):
    """Some reward that differs inside groups, from the tokens alone."""
    return (responses.token_NT[:, 0] % 3).float() / 2


def training(policy, arm, seed=0):
    return Training(policy, arm, rewards, group=GROUP, tokens=TOKENS, seed=seed)


def test_logits_are_those_of_transformers(policy):
    prompt_QL = policy.encode([problem.question for problem in PROBLEMS])
    with torch.no_grad():
        ours, theirs = policy(prompt_QL)[0], policy.qwen(input_ids=prompt_QL).logits
    # float32 sums of a hundred terms in another order
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_log_probs_of_samples_are_those_of_a_pass_over_prompt_and_response(policy):
    prompt_QL = policy.encode([problem.question for problem in PROBLEMS])
    responses = policy.sample(prompt_QL, GROUP, tokens=TOKENS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found_NT, entropy_NT = policy.log_probs(prompt_QL, responses)
        whole_NL = torch.cat([prompt_QL.repeat_interleave(GROUP, 0), responses.token_NT], 1)
        logits_NTV = policy.qwen(input_ids=whole_NL).logits[:, prompt_QL.shape[1] - 1 : -1]
    log_softmax_NTV = logits_NTV.log_softmax(-1)
    wanted_NT = log_softmax_NTV.gather(-1, responses.token_NT[..., None])[..., 0]
    mask_NT = responses.mask_NT
    torch.testing.assert_close(found_NT[mask_NT], wanted_NT[mask_NT], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(responses.log_prob_NT[mask_NT], wanted_NT[mask_NT], atol=1e-4, rtol=1e-4)
    wanted_NT = torch.distributions.Categorical(logits=logits_NTV).entropy()
    torch.testing.assert_close(entropy_NT[mask_NT], wanted_NT[mask_NT], atol=1e-4, rtol=1e-4)


def test_samples_are_drawn_as_often_as_their_probability_says(policy):
    prompt_QL = policy.encode([PROBLEMS[0].question])
    count = 20_000
    drawn = policy.sample(prompt_QL, count, tokens=1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted_V = policy(prompt_QL)[0][0, -1].softmax(-1)
    found_V = torch.bincount(drawn.token_NT[:, 0], minlength=len(wanted_V)) / count
    # Five standard deviations of a share among 20,000.
    assert bool(((found_V - wanted_V).abs() < 5 * (wanted_V / count).sqrt() + 1e-4).all())


def test_nothing_is_sampled_behind_the_end(policy):
    prompt_QL = policy.encode([problem.question for problem in PROBLEMS])
    responses = policy.sample(prompt_QL, 200, tokens=TOKENS, generator=torch.Generator().manual_seed(0))
    ended_NT = (responses.token_NT == policy.end).cumsum(1) - (responses.token_NT == policy.end).int() > 0
    assert ended_NT.any()
    assert bool((responses.token_NT[ended_NT] == policy.pad).all())


@pytest.mark.parametrize("pull", ["both", "chosen", "rejected"])
@pytest.mark.parametrize("scale", ["raw", "group_std"])
def test_the_gradient_of_a_step_is_policy_loss_plus_lambda_times_amir_loss(policy, monkeypatch, pull, scale):
    config = AmirConfig(beta=2.0, pull=pull, lambda_target=3.0, beta_scale=scale)
    found = training(policy, Arm(amir=config))
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    monkeypatch.setattr(found.optimizer, "step", lambda: None)
    metrics = found.step(PROBLEMS)

    other = copy.deepcopy(policy)
    other.zero_grad()
    prompt_QL = other.encode([problem.question for problem in PROBLEMS])
    responses = other.sample(prompt_QL, GROUP, tokens=TOKENS, generator=torch.Generator().manual_seed(0))
    live_NT, _ = other.log_probs(prompt_QL, responses)
    reward_N = rewards(PROBLEMS, responses)
    advantage_N = group_advantages(reward_N.view(-1, GROUP), Arm())
    loss = policy_loss(live_NT, live_NT.detach(), advantage_N, responses.mask_NT, Arm())
    group_N = torch.arange(len(PROBLEMS)).repeat_interleave(GROUP)
    term, _ = amir_loss(live_NT, responses.mask_NT, reward_N, group_N, config, old_log_prob=live_NT.detach())
    (policy_NT,) = torch.autograd.grad(loss, live_NT, retain_graph=True)
    (term_NT,) = torch.autograd.grad(term, live_NT, retain_graph=True)
    assert metrics["amir/lambda"] == pytest.approx(
        min(10.0, 3.0 * float(policy_NT.norm() / term_NT.norm())), rel=1e-4
    )
    (loss + metrics["amir/lambda"] * term).backward()
    for ours, wanted in zip(policy.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, atol=1e-6, rtol=1e-3)


def test_mini_batches_together_hold_every_pair_once(policy, monkeypatch):
    """Without a step between them, the gradients of the term over two parts average to the whole's."""
    sums = {}
    for updates in (1, 2):
        arm_ = Arm(amir=AmirConfig(policy_weight=0.0, lambda_schedule="constant"), updates=updates)
        model = copy.deepcopy(policy)
        found = training(model, arm_)
        seen = []
        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
        monkeypatch.setattr(
            found.optimizer,
            "step",
            lambda model=model, seen=seen: seen.append([p.grad.clone() for p in model.parameters()]),
        )
        found.step(PROBLEMS)
        assert len(seen) == updates
        sums[updates] = [torch.stack(parts).mean(0) for parts in zip(*seen, strict=True)]
    for whole, halves in zip(sums[1], sums[2], strict=True):
        torch.testing.assert_close(whole, halves, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    ["grpo", "chosen_b2_r3+entropy_0.03", "published", "grpo+kl_0.1+updates_2", "grpo+clipcov_0.1+updates_2"],
)
def test_a_training_that_was_stopped_goes_on_to_the_same_policy(policy, name):
    straight = training(copy.deepcopy(policy), arm(name))
    for _ in range(3):
        straight.step(PROBLEMS)
    broken = training(copy.deepcopy(policy), arm(name))
    broken.step(PROBLEMS)
    resumed = training(copy.deepcopy(policy), arm(name))
    go_on(resumed, copy.deepcopy(state_of(broken)))
    for _ in range(2):
        resumed.step(PROBLEMS)
    for ours, wanted in zip(resumed.policy.parameters(), straight.policy.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-5)


def test_arms_of_a_seed_share_their_samples(policy):
    """GRPO and AMIR without a term's weight are one training."""
    weightless = Arm(amir=AmirConfig(lambda_schedule="constant", lambda_value=0.0))
    one, other = training(copy.deepcopy(policy), Arm()), training(copy.deepcopy(policy), weightless)
    for _ in range(2):
        one.step(PROBLEMS)
        other.step(PROBLEMS)
    for ours, wanted in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("change", ["gspo_0.001", "klcov_0.1", "high_0.001"])
def test_before_the_policy_has_moved_these_are_grpo_and_after_it_they_are_not(policy, change):
    """So they can differ from GRPO only where a batch gives several updates."""
    for updates, same in ((1, True), (4, False)):
        one = training(copy.deepcopy(policy), arm(f"grpo+lr_0.03+updates_{updates}"))
        other = training(copy.deepcopy(policy), arm(f"grpo+lr_0.03+{change}+updates_{updates}"))
        one.step(PROBLEMS)
        other.step(PROBLEMS)
        pairs = list(zip(one.policy.parameters(), other.policy.parameters(), strict=True))
        # An update of Adam moves a weight by up to 0.03, rounding by a hundred-thousandth of that.
        close = [torch.allclose(ours, theirs, atol=1e-4, rtol=0) for ours, theirs in pairs]
        assert all(close) == same


def test_rare_right_answers_keep_their_reward():
    reward_QK, mean_QK = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[-1.0, -3.0, -2.0]])
    torch.testing.assert_close(rare_rewards(reward_QK, mean_QK, 0.5), torch.tensor([[0.5, 1.0, 0.0]]))


def test_names_of_arms():
    assert arm("grpo") == Arm()
    assert arm("chosen_b2_r3+lr_1e-4").amir == AmirConfig(beta=2.0, lambda_target=3.0, pull="chosen")
    assert arm("both_s1_r1").amir == AmirConfig(beta=1.0, beta_scale="group_std")
    assert arm("grpo+lr_1e-4+updates_4") == Arm(learning_rate=1e-4, updates=4)
    assert arm("grpo+clipcov_0.02") == Arm(loss="clip_cov", loss_value=0.02)
    for wrong in ("ppo", "chosen_b2", "grpo+speed_3", "grpo+entropy"):
        with pytest.raises(ValueError, match="names no arm"):
            arm(wrong)


def test_measures_count_right_and_distinct_answers(policy):
    class Short:
        """Right: an answer that begins with a word of one letter."""

        question = PROBLEMS[0].question

        def is_right(self, response: str) -> bool:
            return bool(response) and len(response.split()[0]) == 1

    problems = [Short(), Short()]
    grader = Grader(policy, "right_wrong", 0)
    right_Q, distinct_Q, averages = right_counts(
        policy, problems, grader, tokens=2, generator=torch.Generator().manual_seed(0)
    )
    prompt_QL = policy.encode([problem.question for problem in problems])
    responses = policy.sample(prompt_QL, 64, tokens=2, generator=torch.Generator().manual_seed(0))
    rows = [tuple(row) for row in responses.token_NT.tolist()]
    for place in range(2):
        good = [r for r in rows[64 * place : 64 * place + 64] if problems[0].is_right(policy.decode(r))]
        assert (right_Q[place], distinct_Q[place]) == (len(good), len(set(good)))
    # Four of a problem's samples are looked at for this.
    some_NT = responses.token_NT.view(2, 64, 2)[:, :4].flatten(0, 1)
    ended_N = ((some_NT == policy.end) | (some_NT == policy.pad)).any(-1)
    assert averages["cut_off"] == pytest.approx(1 - ended_N.float().mean().item())
    assert averages["cut_off"] > 0
    row = row_of(right_Q, distinct_Q, averages, first_Q=right_Q * 0 + [0, 3])
    assert row["pass@1"] == pytest.approx(right_Q.mean() / 64)
    assert (row["pass@64"], row["lost"], row["gained"]) == pytest.approx((1.0, 0.0, 1.0), abs=1e-9)
    assert 0.0 < row["entropy"] < 5.0


def test_noise_turns_one_verdict_in_ten_and_goes_on_where_it_stopped(policy):
    class Always:
        question = PROBLEMS[0].question

        def is_right(self, response: str) -> bool:
            return True

    grader = Grader(policy, "noisy", 0)
    token_NT = torch.zeros(4000, 2, dtype=torch.long)
    responses = Responses(token_NT, token_NT == 0, token_NT.float())
    state = grader.state_dict()
    first_N = grader([Always()], responses)
    # Five standard deviations of a share of 0.1 among 4,000.
    assert float(first_N.mean()) == pytest.approx(0.9, abs=0.024)
    grader.load_state_dict(state)
    assert torch.equal(grader([Always()], responses), first_N)
    with pytest.raises(ValueError, match="reward must be"):
        Grader(policy, "kind", 0)
