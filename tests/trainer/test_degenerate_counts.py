"""Rows that can join no pair are counted by reason."""

import torch

from amir_verl.trainer.rows import degenerate_counts, describe_rows

KEYS = ["a_0_0", "a_1_0", "b_0_0", "c_0_0", "c_0_1", "d_0_0", "d_1_0", "pad_0_0", "pad_1_0"]
TAGS = [{}] * 7 + [{"is_padding": True}] * 2


def counts(spoken, dropped):
    rows = describe_rows(KEYS, TAGS)
    return degenerate_counts(
        rows, spoken_N=torch.tensor(spoken).bool(), dropped_N=torch.tensor(dropped).bool()
    )


def test_a_sound_batch_counts_what_pads_it_and_what_stands_alone():
    """b has one response; c has one too, in two rows; the rows that pad are no group."""
    assert counts([1] * 9, [0] * 9) == {
        "amir/dropped_rewards": 0,
        "amir/empty_responses": 0,
        "amir/groups_of_one": 2,
        "amir/padding_rows": 2,
    }


def test_a_row_that_pads_counts_as_that_alone():
    found = counts([1, 0, 1, 1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 1, 0, 0, 1, 1])
    assert found["amir/dropped_rewards"] == 2
    assert found["amir/empty_responses"] == 1
    assert found["amir/padding_rows"] == 2
