"""Figures of docs/method.md: what the published rule does to lambda, and what the preference gradient adds.

    python scripts/method_figures.py [--out docs/figures]

Random groups and a table of logits replace the language model; losses, advantages, lambda and preferences are
verl's and the plugin's own. It prints the numbers that docs/method.md states.
"""

import argparse
from pathlib import Path
from statistics import mean, median, stdev
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor
from verl.trainer.ppo import core_algos
from verl.workers.config import FSDPActorConfig

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import step_preferences
from amir_verl.objective.comparison import spread_in_groups
from amir_verl.objective.lambda_schedule import LOSS_RATIO_BAND, LambdaController
from amir_verl.objective.loss import amir_loss
from amir_verl.objective.rank_advantage import rank_push

PROMPTS, GROUP, VOCABULARY, LONGEST, STEPS = 16, 8, 12, 24, 40
PAPER = AmirConfig(beta=0.2, lambda_schedule="loss_ratio", lambda_value=0.01)
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#777777"


class Rollout(NamedTuple):
    """Tokens and mask, (N, T); rewards and prompt of each response, (N,)."""

    token_NT: Tensor
    mask_NT: Tensor
    reward_N: Tensor
    prompt_N: Tensor


def sample(logits_QV: Tensor, draw: torch.Generator) -> Rollout:
    """Responses of 4 to 24 tokens; the reward is their share of tokens from the first third, in fifths."""
    prompt_N = torch.arange(PROMPTS).repeat_interleave(GROUP)
    length_N = torch.randint(4, LONGEST + 1, (len(prompt_N),), generator=draw)
    mask_NT = torch.arange(LONGEST) < length_N[:, None]
    token_NT = torch.multinomial(logits_QV.softmax(-1)[prompt_N], LONGEST, replacement=True, generator=draw)
    share_N = ((token_NT < VOCABULARY // 3) & mask_NT).sum(-1) / length_N
    return Rollout(token_NT, mask_NT, (share_N * 5).floor() / 5, prompt_N)


def log_probs(logits_QV: Tensor, rollout: Rollout) -> Tensor:
    return logits_QV.log_softmax(-1)[rollout.prompt_N].gather(-1, rollout.token_NT)


def grpo_advantages(reward_N: Tensor, mask_NT: Tensor, group_N: Tensor, *, by_std: bool = True) -> Tensor:
    """verl's GRPO advantages, (N, T)."""
    rewards_NT = torch.zeros(mask_NT.shape).index_fill(1, torch.tensor([0]), 1.0) * reward_N[:, None]
    return core_algos.compute_grpo_outcome_advantage(
        rewards_NT, mask_NT, group_N.tolist(), norm_adv_by_std_in_grpo=by_std
    )[0]


def train(
    config: AmirConfig, *, aggregation: str, mini_batches: int, rate: float = 0.02
) -> dict[str, list[float]]:
    """Train a table of logits by verl's clipped loss plus lambda times `amir_loss`.

    Returns of each step lambda, the size of the policy loss, the ratio of losses and that of gradient norms.
    """
    draw = torch.Generator().manual_seed(0)
    logits_QV = (0.5 * torch.randn(PROMPTS, VOCABULARY, generator=draw)).requires_grad_()
    optimizer = torch.optim.Adam([logits_QV], lr=rate)
    actor = FSDPActorConfig(rollout_n=GROUP, ppo_micro_batch_size_per_gpu=1, loss_agg_mode=aggregation)
    controller = LambdaController(config)
    history: dict[str, list[float]] = {"lambda": [], "policy loss": [], "ratio": [], "gradients": []}
    for _ in range(STEPS):
        rollout = sample(logits_QV.detach(), draw)
        old_NT = log_probs(logits_QV, rollout).detach()
        advantage_NT = grpo_advantages(rollout.reward_N, rollout.mask_NT, rollout.prompt_N)

        def losses(
            rows: Tensor, live_NT: Tensor, step=(rollout, old_NT, advantage_NT)
        ) -> tuple[Tensor, Tensor]:
            rollout, old_NT, advantage_NT = step
            mask_NT = rollout.mask_NT[rows]
            actor.global_batch_info.update(
                dp_size=1, batch_num_tokens=int(mask_NT.sum()), global_batch_size=len(rows)
            )
            policy, _ = core_algos.compute_policy_loss_vanilla(
                old_NT[rows], live_NT, advantage_NT[rows], mask_NT, aggregation, actor
            )
            groups, rewards = rollout.prompt_N[rows], rollout.reward_N[rows]
            preference, _ = amir_loss(live_NT, mask_NT, rewards, groups, config, old_log_prob=old_NT[rows])
            return policy, preference

        everyone = torch.arange(len(old_NT))
        live_NT = old_NT.clone().requires_grad_()
        norms = [
            float(torch.autograd.grad(loss, live_NT, retain_graph=True)[0].norm())
            for loss in losses(everyone, live_NT)
        ]
        lambda_ = controller.begin_step(policy_norm=norms[0], preference_norm=norms[1])
        seen = []
        for rows in everyone.chunk(mini_batches):
            policy, preference = losses(rows, log_probs(logits_QV, rollout)[rows])
            optimizer.zero_grad()
            (policy + lambda_ * preference).backward()
            optimizer.step()
            seen.append((float(policy.detach()), float(preference.detach())))
        policy, preference = (mean(values) for values in zip(*seen, strict=True))
        controller.end_step(policy_loss=policy, preference_loss=preference)
        history["lambda"].append(lambda_)
        history["policy loss"].append(abs(policy))
        history["ratio"].append(lambda_ * preference / abs(policy) if policy else float("inf"))
        history["gradients"].append(lambda_ * norms[1] / norms[0])
    return history


def lambda_figure(path: Path) -> None:
    kinds = {
        "1 update a step, seq-mean-token-mean": ("seq-mean-token-mean", 1, BLUE, "-", 3.0),
        "4 updates a step, seq-mean-token-mean": ("seq-mean-token-mean", 4, ORANGE, "-", 1.2),
        "1 update a step, token-mean": ("token-mean", 1, BLUE, "--", 1.2),
        "4 updates a step, token-mean": ("token-mean", 4, ORANGE, "--", 1.2),
    }
    runs = {
        f"published rule, {name}": (
            train(PAPER, aggregation=aggregation, mini_batches=count),
            colour,
            line,
            width,
        )
        for name, (aggregation, count, colour, line, width) in kinds.items()
    }
    default = train(AmirConfig(), aggregation="seq-mean-token-mean", mini_batches=1)
    runs["grad_ratio with target 1, beta 5"] = (default, GREEN, "-", 1.2)
    for name, (history, *_) in runs.items():
        print(
            f"{name}: lambda {[round(value, 4) for value in history['lambda'][:6]]}, "
            f"{min(history['lambda']):.4g} to {max(history['lambda']):.4g}; "
            f"medians: policy loss {median(history['policy loss']):.2g}, "
            f"ratio of losses {median(history['ratio']):.2g}; "
            f"ratio of gradients {min(history['gradients']):.2g} to {max(history['gradients']):.2g}"
        )
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    steps = range(1, STEPS + 1)
    for name, (history, colour, line, width) in runs.items():
        if not name.startswith("grad_ratio"):
            left.plot(steps, history["lambda"], line, color=colour, lw=width, label=name)
        right.plot(steps, history["gradients"], line, color=colour, lw=width, label=name)
    for bound in PAPER.lambda_bounds:
        left.axhline(bound, color=GREY, lw=0.8, ls=":")
    left.set(xlabel="step", title="lambda of the published rule, and its bounds", yscale="log")
    ticks = (0.005, 0.01, 0.02, 0.05)
    left.set_yticks(ticks, labels=map(str, ticks))
    left.minorticks_off()
    right.set(xlabel="step", title="|lambda dL_pref| / |dL_policy|", yscale="log")
    right.legend(fontsize=7, loc="center right")
    save(figure, path)


def random_groups(
    grades: int, *, seed: int, prompts: int = 6, group: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log-probabilities uniform in [-1, 0], rewards uniform over the grades, and groups; (N,) each."""
    draw = torch.Generator().manual_seed(seed)
    total = prompts * group
    reward_N = torch.randint(0, grades, (total,), generator=draw).double() / (grades - 1)
    mean_N = -torch.rand(total, generator=draw, dtype=torch.float64)
    return mean_N, reward_N, torch.arange(prompts).repeat_interleave(group)


def cosines(grades: int, beta: float, *, batches: int = 200) -> dict[str, list[float]]:
    """Cosine of -dL_pref/dl with three advantages, and beta times the spread, of each random batch."""
    config = AmirConfig(beta=beta)
    found: dict[str, list[float]] = {}
    for seed in range(batches):
        mean_N, reward_N, group_N = random_groups(grades, seed=seed)
        everyone = torch.ones(len(mean_N), dtype=torch.bool)
        pull_N = -step_preferences(mean_N, reward_N, group_N, everyone, config).gradient_N
        mask_NT = everyone[:, None]
        rivals = {
            "GRPO": grpo_advantages(reward_N, mask_NT, group_N)[:, 0],
            "r - mean": grpo_advantages(reward_N, mask_NT, group_N, by_std=False)[:, 0],
            "wins - losses": rank_push(reward_N, group_N, config),
        }
        for name, advantage_N in rivals.items():
            cosine = torch.nn.functional.cosine_similarity(pull_N, advantage_N.double(), dim=0)
            found.setdefault(name, []).append(float(cosine))
        found.setdefault("spread", []).append(beta * spread_in_groups(mean_N, group_N, everyone))
    return found


def cosine_figure(path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, constrained_layout=True)
    betas = [0.05 * 10 ** (place / 6) for place in range(21)]
    for axis, (title, grades) in zip(axes, (("right or wrong", 2), ("five grades", 5)), strict=True):
        for beta in (0.2, 2.0, 10.0):
            numbers = {
                name: f"{mean(values):.4f} (sd {stdev(values):.4f})"
                for name, values in cosines(grades, beta).items()
            }
            print(f"{title}, beta {beta:g}: " + ", ".join(f"{name} {text}" for name, text in numbers.items()))
        curves = [cosines(grades, beta, batches=60) for beta in betas]
        spreads = [mean(curve["spread"]) for curve in curves]
        for name, colour, width in (
            ("r - mean", ORANGE, 3.0),
            ("GRPO", BLUE, 1.2),
            ("wins - losses", GREEN, 1.2),
        ):
            axis.plot(spreads, [mean(curve[name]) for curve in curves], color=colour, lw=width, label=name)
        axis.axvline(1.0, color=GREY, lw=0.8, ls=":")
        axis.set(xscale="log", xlabel="beta times the spread of l in a group", title=f"rewards: {title}")
    axes[0].set_ylabel("cosine with -dL_pref/dl")
    axes[0].legend(title="advantage")
    save(figure, path)


def anchoring_errors(*, batches: int = 50) -> None:
    """Print how far the anchored gradient is from that of L_pref after the policy has drifted."""
    for beta in (0.2, 5.0):
        for drift in (0.01, 0.1):
            errors, angles = [], []
            for seed in range(batches):
                mean_N, reward_N, group_N = random_groups(5, seed=seed)
                # The mean of |x| is sqrt(2/pi) for a standard normal x.
                step_N = torch.randn(
                    len(mean_N), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
                )
                live_NT = (mean_N + drift / (2 / torch.pi) ** 0.5 * step_N)[:, None].requires_grad_()
                mask_NT, config = torch.ones_like(live_NT).bool(), AmirConfig(beta=beta)
                true, anchored = (
                    torch.autograd.grad(
                        amir_loss(live_NT, mask_NT, reward_N, group_N, config, old_log_prob=old)[0], live_NT
                    )[0].flatten()
                    for old in (None, mean_N[:, None])
                )
                errors.append(float((anchored - true).norm() / true.norm()))
                angles.append(float(torch.nn.functional.cosine_similarity(anchored, true, dim=0)))
            print(
                f"anchors, beta {beta:g}, drift {drift:g}: error {mean(errors):.2%}, "
                f"cosine {mean(angles):.5f}"
            )


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print(f"the published rule keeps the ratio of losses inside {LOSS_RATIO_BAND}")
    lambda_figure(out / "lambda.png")
    cosine_figure(out / "cosine.png")
    anchoring_errors()


if __name__ == "__main__":
    main()
