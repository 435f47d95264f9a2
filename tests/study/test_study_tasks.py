"""The study's tasks: right answers are paid for, and nothing else; held-out problems stay out."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amir_verl.demo.words import build_word_tokenizer, word_ids
from benchmarks.study.tasks import TASKS
from benchmarks.study.tasks.paths import PathProblem, paths
from benchmarks.study.tasks.search import SearchProblem
from benchmarks.study.tasks.sums import SumProblem


@pytest.mark.parametrize("name", TASKS)
def test_demonstrations_are_right_and_fit_and_are_not_held_out(name):
    task = TASKS[name]
    vocabulary = word_ids(build_word_tokenizer(task.words))
    right = 0
    for problem, answer in islice(task.demonstrations(3), 200):
        assert set(problem.question.split()) | set(answer.split()) <= set(vocabulary)
        assert len(answer.split()) + 1 <= task.tokens
        assert not problem.held_out
        right += problem.is_right(answer)
        assert problem.grade(answer) == 1.0 if problem.is_right(answer) else problem.grade(answer) <= 0.5
    # The sums' demonstrations mostly forget the carry, on purpose.
    assert right == 200 if name != "sums" else 20 <= right <= 60


@pytest.mark.parametrize("name", TASKS)
def test_held_out_problems_are_no_training_problems(name):
    task = TASKS[name]
    held_out, training = task.problems(1, 100, True), task.problems(1, 300, False)
    assert len(set(held_out)) == 100 and len(set(training)) == 300
    assert all(problem.held_out for problem in held_out)
    assert not any(problem.held_out for problem in training)
    assert len({len(problem.question.split()) for problem in held_out + training}) == 1


@pytest.mark.parametrize("name", TASKS)
@given(words=st.lists(st.sampled_from(["1", "12", "+", "=", ";", "a", "ab", "<answer>", "</answer>", "é"])))
@settings(max_examples=40, deadline=None)
def test_any_response_gets_a_grade_and_only_right_ones_the_whole(name, words):
    problem = TASKS[name].problems(1, 1, False)[0]
    response = " ".join(words)
    assert 0.0 <= problem.grade(response) <= 1.0
    assert (problem.grade(response) == 1.0) == problem.is_right(response)


GRAPH = PathProblem(("ab", "bd", "ac", "cd", "de"), "a", "d")


@pytest.mark.parametrize(
    "response, right",
    [
        ("a b d", True),
        ("a c d", True),
        ("a d", False),  # no such edge
        ("a b a c d", False),  # a node twice
        ("b d", False),  # another start
        ("a b d e", False),  # past the end
        ("a", False),
        ("ab bd", False),
        ("", False),
        ("a b d " * 10**5, False),
    ],
)
def test_a_path_is_right_if_it_follows_edges_to_new_nodes(response, right):
    assert GRAPH.is_right(response) is right


def test_all_paths_of_a_graph_are_found():
    assert sorted(map("".join, paths(GRAPH))) == ["abd", "acd"]


def test_a_random_path_is_one_of_all_paths():
    for problem, answer in islice(TASKS["paths"].demonstrations(1), 100):
        assert answer.split() in paths(problem)


@pytest.mark.parametrize(
    "response, right",
    [
        ("12 5 - 3 * 7 + = 28", True),
        ("3 7 + 12 + 5 + = 27 ; 12 5 - 3 * 7 + = 28", True),
        ("12 5 - 3 * 7 + = 28 ; 3 7 + 12 + 5 + = 27", False),  # the last attempt is the answer
        ("12 5 - 3 * 7 +", False),  # cut off before its value
        ("3 7 + 12 + 5 + = 28", False),  # what it says is not what it is worth
        ("12 5 - 3 * 7 + = 28 ;", False),
        ("12 5 - 3 * 7 + = 28 28", False),
    ],
)
def test_the_answer_of_a_search_is_its_last_attempt(response, right):
    assert SearchProblem((3, 7, 12, 5), 28).is_right(response) is right


def test_a_sum_is_right_by_its_only_answer():
    problem = SumProblem(38, 25)
    assert problem.is_right("<think> 8 + 5 = 1 3 </think> <answer> 6 3 </answer>")
    assert not problem.is_right("<answer> 6 3 </answer> <answer> 6 3 </answer>")
    assert not problem.is_right("<answer> 5 3 </answer>")
    assert problem.grade("<answer> 5 3 </answer>") == 0.25


def test_a_near_miss_is_worth_more_than_a_far_one():
    problem = next(TASKS["countdown"].demonstrations(0))[0].__class__((3, 7, 12, 5), 28)
    near, far, none = (problem.grade(r) for r in ("3 7 + 12 + 5 +", "3 7 * 12 * 5 *", "3 7 + 12"))
    assert 1.0 > near > far > none == 0.0
