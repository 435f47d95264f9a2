"""The study's arms and cells are what they say they are."""

import pandas as pd
import pytest

from amir_verl.demo.arithmetic import DIFFICULTIES
from benchmarks.study.graded_reward import compute_score
from benchmarks.study.grid import ARMS, CELLS, REWARDS, SMALL_ARMS, SMALL_CELLS, WARM_UPS, runs
from benchmarks.study.training import Length, composed_run_of, repeat_rows

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
    (tmp_path / "config.json").write_text("{}")
    return composed_run_of(run, tmp_path, LENGTH)


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


def test_each_held_out_problem_is_there_once_a_sample(tmp_path):
    rows = pd.DataFrame({"prompt": [[{"role": "user", "content": text}] for text in ("1+2=?", "3+4=?")]})
    rows.to_parquet(tmp_path / "once.parquet")
    repeat_rows(tmp_path / "once.parquet", tmp_path / "repeated.parquet")
    texts = [prompt[0]["content"] for prompt in pd.read_parquet(tmp_path / "repeated.parquet")["prompt"]]
    assert texts == ["1+2=?"] * 8 + ["3+4=?"] * 8
