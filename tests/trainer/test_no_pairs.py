"""A run that finds no pair says so after three steps, and again every fifty."""

import pytest
import torch

from amir_verl.trainer.no_pairs import NoPairsWatch, largest_gap

GROUP_N = torch.tensor([0, 0, 1, 1])
ALL_N = torch.ones(4, dtype=torch.bool)


def step(watch, *rewards, pairs=0, eligible_N=ALL_N):
    return watch.after_step(
        pairs=pairs, reward_N=torch.tensor(rewards), group_N=GROUP_N, eligible_N=eligible_N
    )


def test_it_speaks_after_three_steps_and_then_every_fifty():
    watch = NoPairsWatch(2.0)
    spoke = [count for count in range(1, 160) if step(watch, 0.0, 1.0, 0.0, 0.0)]
    assert spoke == [3, 53, 103, 153]
    assert watch.steps == 159


def test_it_names_the_largest_gap_seen_and_the_margin():
    watch = NoPairsWatch(2.0)
    step(watch, 0.0, 1.5, 0.0, 0.0)
    step(watch, 0.0, 0.5, 0.0, 0.0)
    assert step(watch, 0.0, 0.0, 0.25, 0.0) == (
        "amir-verl: no pair in the last 3 steps, so AMIR did nothing: the largest reward gap in a group was "
        "1.5, amir.reward_margin is 2"
    )


def test_a_pair_begins_the_count_anew():
    watch = NoPairsWatch(0.0)
    step(watch, 0.0, 0.0, 0.0, 0.0)
    step(watch, 0.0, 0.0, 0.0, 0.0)
    assert step(watch, 0.0, 1.0, 0.0, 0.0, pairs=1) is None
    assert watch.steps == 0
    assert [bool(step(watch, 1.0, 1.0, 0.0, 0.0)) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("rewards", "eligible", "expected"),
    [
        ([0.0, 1.0, 5.0, 5.0], [True] * 4, 1.0),  # groups are not compared with each other
        ([0.0, 1.0, 2.0, 7.0], [True, True, True, False], 1.0),
        ([0.0, float("nan"), 2.0, float("inf")], [True] * 4, 0.0),
        ([0.0, 1.0, 2.0, 7.0], [False] * 4, 0.0),
        ([-1.0, 1.0, 2.0, 2.5], [True] * 4, 2.0),
    ],
)
def test_the_gap_is_of_sound_rewards_inside_a_group(rewards, eligible, expected):
    assert largest_gap(torch.tensor(rewards), GROUP_N, torch.tensor(eligible)) == pytest.approx(
        expected, abs=1e-12
    )  # differences of small numbers that float64 holds exactly
