"""The study's arms and cells are what they say they are."""

import subprocess

import pytest

from amir_verl.tiny.arithmetic import DIFFICULTIES
from benchmarks.study.graded_reward import compute_score
from benchmarks.study.grid import ARMS, CELLS, REPOSITORY, REWARDS, SMALL_ARMS, SMALL_CELLS, WARM_UPS, runs
from benchmarks.study.training import Length, overrides

ONE_OF_EACH = (
    "grpo",
    "gspo",
    "dr_grpo",
    "paper",
    "gspo_paper",
    "dr_grpo_paper",
    "amir_b0.2_r0.1",
    "amir_s1_r0.3",
    "gspo_amir",
    "dr_grpo_amir",
    "advantage_l0.3",
    "grpo_lr1e-05",
    "grpo_entropy0.01",
    "grpo_kl0.1",
)
LENGTH = Length(steps=3, validate_every=1)


def composed(run, tmp_path):
    """verl's configuration of the run, as the recipe composes it."""
    from amir_verl.compose import composed_run

    (tmp_path / "config.json").write_text("{}")
    environment = {
        "PATH": "/usr/bin:/bin",
        "DRY_RUN": "args",
        "ALGO": run.arm.algorithm,
        "TINY": str(tmp_path),
        "LR": str(run.arm.learning_rate),
        "REWARD": str(REWARDS[run.cell.reward]),
    }
    command = ["bash", "recipes/tiny_cpu.sh", *overrides(run, LENGTH)]
    printed = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=True).stdout
    return composed_run(printed.decode().split("\0")[:-1])


def test_the_grids_name_arms_and_cells_that_exist():
    assert set(SMALL_ARMS) <= set(ARMS) and set(SMALL_CELLS) <= set(CELLS)
    assert {arm.against for arm in ARMS.values()} == {"grpo", "gspo", "dr_grpo"}
    assert {difficulty for difficulty, _ in WARM_UPS} == set(DIFFICULTIES)
    assert all(path.is_file() for path in REWARDS.values())


def test_a_grid_cut_short_has_whole_pairs():
    grid = runs(["easy-20-graded", "hard-60-graded"], ["grpo", "paper"], seeds=[0, 1, 2])
    assert len(set(grid)) == 12
    assert [run.seed for run in grid] == [0] * 4 + [1] * 4 + [2] * 4
    assert [run.arm.name for run in grid[:4]] == ["grpo", "paper"] * 2


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_arm_is_a_run_that_the_trainer_takes(name, tmp_path):
    from amir_verl.trainer.preflight import amir_config, check_run

    (run,) = runs(["easy-20-right_wrong"], [name], seeds=[0])
    config = composed(run, tmp_path)
    if config.algorithm.adv_estimator == "amir_grpo":
        assert name.startswith("advantage")
        return
    check_run(config)
    settings = amir_config(config)
    baseline = name in {arm.against for arm in ARMS.values()} or name.startswith("grpo_")
    assert (settings.lambda_schedule == "constant" and settings.lambda_value == 0) == baseline
    assert ("gspo" in name) == (config.actor_rollout_ref.actor.policy_loss.loss_mode == "amir_gspo")
    assert config.actor_rollout_ref.actor.optim.lr == ARMS[name].learning_rate


@pytest.mark.parametrize(
    "response, truth, score",
    [
        ("<answer>123</answer>", "123", 1.0),
        ("<answer>023</answer>", "123", 0.5 * 2 / 3),
        ("<answer>1123</answer>", "123", 0.5 * 3 / 4),
        ("<answer>456</answer>", "123", 0.0),
        ("nothing", "123", 0.0),
    ],
)
def test_graded_reward(response, truth, score):
    assert compute_score("arithmetic", response, truth)["score"] == pytest.approx(score)
