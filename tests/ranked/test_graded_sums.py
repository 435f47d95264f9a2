"""The generated ranked set says of sums what is true of them."""

import json
import random
import re

from hypothesis import given
from hypothesis import strategies as st

from amir_verl.data.ranked import parse_ranked
from amir_verl.demo import graded_sums
from amir_verl.demo.arithmetic import Sum

OPERAND = st.integers(0, 999)


def answer(response):
    return int(re.search(r"<answer>(\d+)</answer>", response).group(1))


def false_steps(response):
    steps = re.search(r"<think>(.*)</think>", response).group(1).split(",")
    sides = [step.split("=") for step in steps]
    return sum(sum(map(int, terms.split("+"))) != int(total) for terms, total in sides)


@given(left=OPERAND, right=OPERAND, seed=st.integers(0, 2**32))
def test_right_numbers_rank_above_wrong_ones_and_true_workings_above_false(left, right, seed):
    row = graded_sums.graded_row(Sum(left, right), random.Random(seed))
    group = parse_ranked(row)
    assert len(set(group.responses)) == 4
    for response, rank in zip(group.responses, group.rankings, strict=True):
        if rank is not None:
            assert (answer(response) == left + right) == (rank < 2)
            assert false_steps(response) == (1 if rank == 1 else 0)


@given(seed=st.integers(0, 2**32))
def test_one_answer_at_most_is_unranked(seed):
    ranks = graded_sums.graded_row(Sum(27, 35), random.Random(seed))["rankings"]
    assert ranks.count(None) <= 1
    assert len(ranks) == 4


def test_a_set_has_ties_and_unranked_answers_in_about_a_quarter_each(tmp_path, monkeypatch):
    out = tmp_path / "sums.jsonl"
    monkeypatch.setattr("sys.argv", ["graded_sums", "--out", str(out), "--prompts", "400", "--seed", "3"])
    graded_sums.main()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({row["prompt"] for row in rows}) == 400
    assert 60 <= sum(None in row["rankings"] for row in rows) <= 140
    assert 40 <= sum(row["rankings"].count(2) == 2 for row in rows) <= 140
