"""Which pairs are mined, against the oracle and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import preference_pairs
from rollout_batches import rollout_batch
from torch.utils._python_dispatch import TorchDispatchMode

from amir_verl.config import AmirConfig
from amir_verl.objective.pairs import group_ids, mine_pairs

MININGS = [
    {"pair_mining": "all"},
    {"pair_mining": "topk", "top_k": 1},
    {"pair_mining": "topk", "top_k": 2},
    {"pair_mining": "topk", "top_k": 3},
    {"pair_mining": "adjacent"},
    {"pair_mining": "best_worst"},
]


def weights(pairs):
    """Weight of each pair by its rows (chosen, rejected)."""
    rows = zip(pairs.chosen_P.tolist(), pairs.rejected_P.tolist(), strict=True)
    return dict(zip(rows, pairs.weight_P.tolist(), strict=True))


def mined(rewards, groups, **config):
    pairs = mine_pairs(torch.tensor(rewards), torch.tensor(groups), AmirConfig(**config))
    return sorted(zip(pairs.chosen_P.tolist(), pairs.rejected_P.tolist(), strict=True))


@pytest.mark.parametrize(
    ("rewards", "config", "expected"),
    [
        ([3.0, 2.0, 1.0], {}, [(0, 1), (0, 2), (1, 2)]),
        ([1.0, 1.0, 0.0], {}, [(0, 2), (1, 2)]),
        ([1.0, 1.0], {}, []),
        ([1.0], {}, []),
        ([3.0, 2.0, 1.0], {"reward_margin": 1.0}, [(0, 2)]),
        # In float32 these gaps come out above 0.1 by rounding alone.
        ([0.3, 0.2], {"reward_margin": 0.1}, []),
        ([0.6, 0.5], {"reward_margin": 0.1}, []),
        ([0.6, 0.4], {"reward_margin": 0.1}, [(0, 1)]),
        ([3.0, 2.0, 1.0], {"pair_mining": "topk", "top_k": 1}, [(0, 1), (0, 2)]),
        ([3.0, 2.0, 1.0], {"pair_mining": "topk", "top_k": 2}, [(0, 2), (1, 2)]),
        ([3.0, 2.0, 1.0], {"pair_mining": "topk", "top_k": 3}, []),
        # A tie at the last place: both are best, and none of them loses to the other best.
        ([3.0, 2.0, 2.0, 1.0], {"pair_mining": "topk", "top_k": 2}, [(0, 3), (1, 3), (2, 3)]),
        ([3.0, 2.0, 2.0, 1.0], {"pair_mining": "adjacent"}, [(0, 1), (0, 2), (1, 3), (2, 3)]),
        ([3.0, 3.0, 2.0, 1.0], {"pair_mining": "best_worst"}, [(0, 3), (1, 3)]),
        # The margin is on top of the mining: neighbouring levels that are too near give no pair.
        ([3.0, 2.5, 0.0], {"pair_mining": "adjacent", "reward_margin": 1.0}, [(1, 2)]),
        ([3.0, 2.0, 1.0], {"max_pairs_per_group": 1}, [(0, 2)]),
        ([float("nan"), 1.0, 0.0], {}, [(1, 2)]),
        ([float("inf"), 1.0, float("-inf")], {}, []),
        ([-1.0, -2.0], {}, [(0, 1)]),
    ],
)
def test_pairs_of_one_group(rewards, config, expected):
    assert mined(rewards, [5] * len(rewards), **config) == expected


def test_no_row_gives_no_pair():
    assert mined([], []) == []


def test_groups_are_read_wherever_their_rows_lie():
    assert mined([1.0, 5.0, 0.0, 4.0], [9, 2, 9, 2]) == [(0, 2), (1, 3)]


def test_rows_that_are_not_eligible_take_no_part_in_levels_or_places():
    rewards, eligible = torch.tensor([9.0, 3.0, 2.0, 1.0]), torch.tensor([False, True, True, True])
    config = AmirConfig(pair_mining="topk", top_k=1)
    pairs = mine_pairs(rewards, torch.zeros(4, dtype=torch.long), config, eligible_N=eligible)
    assert sorted(zip(pairs.chosen_P.tolist(), pairs.rejected_P.tolist(), strict=True)) == [(1, 2), (1, 3)]


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [("none", [1, 1, 1]), ("linear", [3 / 4, 6 / 4, 3 / 4]), ("quadratic", [3 / 6, 12 / 6, 3 / 6])],
)
def test_rank_weights_by_difference_of_level_average_one(weighting, expected):
    rewards = torch.tensor([7.0, 2.0, 1.0])  # the size of the gap plays no part
    pairs = mine_pairs(rewards, torch.zeros(3, dtype=torch.long), AmirConfig(rank_weighting=weighting))
    assert pairs.weight_P.dtype == torch.float64
    assert pairs.weight_P.tolist() == pytest.approx(expected, rel=1e-12)


def test_a_cap_keeps_the_largest_gaps_of_each_group():
    rewards = torch.tensor([4.0, 2.5, 1.0, 0.0, 10.0, 0.0, 3.0])
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    pairs = mine_pairs(rewards, group, AmirConfig(max_pairs_per_group=2))
    kept = set(zip(pairs.chosen_P.tolist(), pairs.rejected_P.tolist(), strict=True))
    assert kept == {(0, 3), (0, 2), (4, 5), (4, 6)}


def test_a_cap_among_equal_gaps_reaches_different_responses():
    """Eight right and eight wrong: of the 64 equal pairs, a cap of 8 takes every response once."""
    rewards = torch.tensor([1.0] * 8 + [0.0] * 8)
    pairs = mine_pairs(rewards, torch.zeros(16, dtype=torch.long), AmirConfig(max_pairs_per_group=8))
    assert sorted(pairs.chosen_P.tolist()) == list(range(8))
    assert sorted(pairs.rejected_P.tolist()) == list(range(8, 16))


@pytest.mark.parametrize("names", [["b", "a", "b"], ("b", "a", "b"), [3, 1, 3], torch.tensor([30, 10, 30])])
def test_group_names_of_any_kind_become_integers(names):
    assert group_ids(names).tolist() == [1, 0, 1]


sizes = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(
    sizes=sizes,
    seed=st.integers(0, 2**31),
    mining=st.sampled_from(MININGS),
    margin=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    weighting=st.sampled_from(["none", "linear", "quadratic", "log"]),
    cap=st.sampled_from([None, 1, 2, 5]),
    broken=st.integers(0, 3),
)
def test_pairs_and_weights_are_the_oracles(sizes, seed, mining, margin, weighting, cap, broken):
    # Under a cap the gaps must differ for the choice to be the definition's alone.
    batch = rollout_batch(sizes, seed=seed, levels=4 if cap is None else None, broken=min(broken, sum(sizes)))
    config = AmirConfig(reward_margin=margin, rank_weighting=weighting, max_pairs_per_group=cap, **mining)
    pairs = mine_pairs(batch.rewards, batch.groups, config)
    expected = preference_pairs(batch.rewards.tolist(), batch.groups.tolist(), [0.0] * sum(sizes), config)
    assert weights(pairs) == pytest.approx({(i, j): w for i, j, w in expected}, rel=1e-9)
    assert len(pairs) == len(expected)
    assert bool((batch.groups[pairs.chosen_P] == batch.groups[pairs.rejected_P]).all())


@settings(max_examples=50, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 2**31), mining=st.sampled_from(MININGS), cap=st.integers(1, 6))
def test_tied_rewards_under_a_cap_choose_by_order_not_by_row(sizes, seed, mining, cap):
    batch = rollout_batch(sizes, seed=seed, levels=3)
    config = AmirConfig(max_pairs_per_group=cap, **mining)
    order_N = torch.rand(sum(sizes), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shuffle = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed + 1))
    pairs = mine_pairs(batch.rewards, batch.groups, config, order_N=order_N)
    shuffled = mine_pairs(batch.rewards[shuffle], batch.groups[shuffle], config, order_N=order_N[shuffle])
    back = {(int(shuffle[c]), int(shuffle[r])): w for (c, r), w in weights(shuffled).items()}
    assert back == pytest.approx(weights(pairs), rel=1e-9)
    # As many as the cap allows, and no kept gap below one that was left out.
    uncapped = mine_pairs(batch.rewards, batch.groups, AmirConfig(**mining))
    for group in batch.groups.unique():
        gaps = [
            sorted(
                (batch.rewards[p.chosen_P] - batch.rewards[p.rejected_P])[batch.groups[p.chosen_P] == group]
            )
            for p in (uncapped, pairs)
        ]
        assert gaps[1] == gaps[0][-cap:]


class LargestTensor(TorchDispatchMode):
    """The largest number of elements of any tensor that torch makes while it is on."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


@pytest.mark.parametrize("size", [4, 16])
def test_nothing_larger_than_the_pairs_of_the_groups_is_built(size):
    largest = []
    for groups in (32, 64):
        rewards = torch.rand(groups * size, generator=torch.Generator().manual_seed(0))
        group_N = torch.arange(groups * size) % groups
        with LargestTensor() as seen:
            pairs = mine_pairs(rewards, group_N, AmirConfig(rank_weighting="linear", max_pairs_per_group=999))
        assert len(pairs) == groups * size * (size - 1) // 2
        largest.append(seen.numel)
    assert largest[0] == 32 * size * (size - 1) // 2
    assert largest[1] == 2 * largest[0]
