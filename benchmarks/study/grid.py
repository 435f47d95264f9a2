"""What the study trains: cells (task, starting point, reward) and arms (algorithm and settings)."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Higher ones reach the tasks' ceiling within twenty steps.
LEARNING_RATE = 3e-5
REPOSITORY = Path(__file__).resolve().parents[2]
REWARDS = {
    "right_wrong": REPOSITORY / "reward_fns" / "math_reward.py",
    "graded": Path(__file__).with_name("graded_reward.py"),
}
# Warm-up that leaves the model right in about this share of its samples: difficulty, share -> share of
# demonstrations that forget the carry, steps. Every problem of the study has a carry.
WARM_UPS = {
    ("easy", 20): (0.8, 500),
    ("easy", 60): (0.35, 500),
    ("hard", 20): (0.8, 800),
    ("hard", 60): (0.35, 800),
}


@dataclass(frozen=True)
class Cell:
    """Sums of two (`easy`) or three (`hard`) digits, the share that the model starts with, and the reward."""

    difficulty: str
    start: int
    reward: str

    @property
    def name(self) -> str:
        return f"{self.difficulty}-{self.start}-{self.reward}"

    @property
    def model(self) -> str:
        return f"{self.difficulty}-{self.start}"


@dataclass(frozen=True)
class Arm:
    """A variant of a training: `ALGO` of recipes/tiny_cpu.sh, verl overrides, learning rate, and what it is
    compared with."""

    name: str
    title: str
    overrides: tuple[str, ...]
    algorithm: str = "grpo"
    against: str = "grpo"
    learning_rate: float = LEARNING_RATE


class Run(NamedTuple):
    """One training."""

    cell: Cell
    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.cell.name}/{self.arm.name}/{self.seed}"


CELLS = {
    cell.name: cell
    for cell in (
        Cell(difficulty, start, reward) for difficulty, start in WARM_UPS for reward in sorted(REWARDS)
    )
}

# The baselines run in AMIR's trainer with lambda 0, so that the margin of right over wrong is logged for them
# too; the gradient is then verl's own (tests/trainer/test_worker_loss.py).
_OFF = ("+amir=grpo", "amir.lambda_schedule=constant", "amir.lambda_value=0")
# Right over wrong: what the published margin of 2.0 says under the paper's reward, where right is worth 2.0.
_PAPER = ("+amir=paper", "amir.reward_margin=0.5")
_GSPO = ("actor_rollout_ref.actor.policy_loss.loss_mode=amir_gspo",)
_DR_GRPO = (
    "algorithm.norm_adv_by_std_in_grpo=false",
    "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm",
)
BETAS, SPREADS, RATIOS = (0.2, 2, 5, 10), (0.3, 1, 3), (0.1, 0.3, 1)


def _amir(beta: float, ratio: float, scale: str = "raw") -> tuple[str, ...]:
    return (
        "+amir=grpo",
        f"amir.beta={beta:g}",
        f"amir.beta_scale={scale}",
        "amir.lambda_schedule=grad_ratio",
        f"amir.lambda_target={ratio:g}",
    )


def _arms() -> list[Arm]:
    arms = [
        Arm("grpo", "GRPO", _OFF),
        Arm("gspo", "GSPO", (*_OFF, *_GSPO)),
        Arm("dr_grpo", "Dr. GRPO", (*_OFF, *_DR_GRPO)),
        Arm("paper", "AMIR-GRPO as published", _PAPER),
        Arm("gspo_paper", "AMIR-GSPO, published settings", (*_PAPER, *_GSPO), against="gspo"),
        Arm("dr_grpo_paper", "AMIR on Dr. GRPO, published settings", (*_PAPER, *_DR_GRPO), against="dr_grpo"),
    ]
    for ratio in RATIOS:
        for beta in BETAS:
            title = f"AMIR-GRPO, beta {beta:g}, ratio {ratio:g}"
            arms.append(Arm(f"amir_b{beta:g}_r{ratio:g}", title, _amir(beta, ratio)))
        for beta in SPREADS:
            title = f"AMIR-GRPO, beta {beta:g} spreads, ratio {ratio:g}"
            arms.append(Arm(f"amir_s{beta:g}_r{ratio:g}", title, _amir(beta, ratio, "group_std")))
    arms += [
        Arm("gspo_amir", "AMIR-GSPO, beta 5, ratio 1", (*_amir(5, 1), *_GSPO), against="gspo"),
        Arm(
            "dr_grpo_amir", "AMIR on Dr. GRPO, beta 5, ratio 1", (*_amir(5, 1), *_DR_GRPO), against="dr_grpo"
        ),
    ]
    for strength in (0.1, 0.3, 1):
        settings = (
            "+amir=advantage",
            "algorithm.adv_estimator=amir_grpo",  # the recipe sets grpo
            "amir.lambda_schedule=constant",
            f"amir.lambda_value={strength:g}",
        )
        arms.append(Arm(f"advantage_l{strength:g}", f"Advantage form, lambda {strength:g}", settings))
    for rate in (1e-5, 6e-5, 1e-4):
        arms.append(Arm(f"grpo_lr{rate:g}", f"GRPO, learning rate {rate:g}", _OFF, learning_rate=rate))
    for weight in (0.003, 0.01, 0.03):
        settings = (*_OFF, f"actor_rollout_ref.actor.entropy_coeff={weight:g}")
        arms.append(Arm(f"grpo_entropy{weight:g}", f"GRPO, entropy bonus {weight:g}", settings))
    for weight in (0.01, 0.1, 1):
        settings = (
            *_OFF,
            "actor_rollout_ref.actor.use_kl_loss=true",
            f"actor_rollout_ref.actor.kl_loss_coef={weight:g}",
        )
        arms.append(Arm(f"grpo_kl{weight:g}", f"GRPO, KL penalty {weight:g}", settings))
    return arms


ARMS = {arm.name: arm for arm in _arms()}
SMALL_CELLS = ("easy-20-right_wrong",)
SMALL_ARMS = ("grpo", "paper", "amir_b5_r1")


def runs(cells: list[str], arms: list[str], seeds: list[int]) -> list[Run]:
    """Every run of a grid; all arms of a seed and cell together, so that a grid cut short has whole pairs."""
    return [Run(CELLS[cell], ARMS[arm], seed) for seed in seeds for cell in cells for arm in arms]
