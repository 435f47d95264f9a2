"""Rows as their authors publish them, and rows with something wrong.

The rows of sets not at hand (MATH, DAPO, AIME 2025, MATH-500, LiveMathBench, AMC and Minerva of the hub)
are written by hand in the fields of their cards; the six sets at hand are read whole in test_real_sets.py.
"""

import pytest

from amir_verl.data.author_formats import DAPO_CLOSING, DAPO_OPENING, LeftOutError, Problem
from amir_verl.data.registry import MATH_SETS

GSM8K = {"question": "How many?", "answer": "6*3 = <<6*3=18>>18\n#### 18"}
MATH = {
    "problem": "What is $1/2$ of $1$?",
    "level": "Level 1",
    "type": "Algebra",
    "solution": "It is $\\boxed{\\frac{1}{2}}$.",
}
DAPO = {
    "data_source": "math_dapo",
    "prompt": [{"role": "user", "content": f"{DAPO_OPENING}\n\nFind $x$.\n\n{DAPO_CLOSING}"}],
    "ability": "MATH",
    "reward_model": {"ground_truth": "34", "style": "rule-lighteval/MATH_v2"},
    "extra_info": {"index": "9a9b6eb4-a1cb-49d1-8c1e-62eaf2f74079"},
}
AIME24 = {"id": 67, "problem": "Find it.", "solution": "...", "answer": "025", "url": "u", "year": "2024"}
AIME25 = {"problem": "Find the sum of all bases.", "answer": "70", "id": "0"}
MATH500 = {
    "problem": "Convert $(0,3)$.",
    "solution": "...",
    "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
    "subject": "Precalculus",
    "level": 2,
    "unique_id": "test/precalculus/807.json",
}
OLYMPIAD = {
    "id": 1606,
    "subfield": "Algebra",
    "context": "Let $n$ be given.",
    "question": "Find all $x$.",
    "solution": ["..."],
    "final_answer": ["$1$,$-3$"],
    "is_multiple_answer": True,
    "unit": "%",
    "answer_type": "Numerical",
    "error": "1e-1",
}
AMC23 = {"id": 15, "question": "What is it?", "answer": -1.0, "url": "u"}
MINERVA = {"problem": "How far?", "solution": "$\\boxed{1.6} \\mathrm{~cm}$", "type": "Astronomy", "idx": 0}
MINERVA_HUB = {"question": "How far?", "answer": "1.6"}
AQUA = {
    "question": "Which?",
    "options": ["A)$61", "B) 65", "C)None of these"],
    "rationale": "",
    "correct": "C",
}
LIVE = {"question": "Find $k$.", "answer": "$\\frac{1}{2}$", "question_type": "problem-solving"}
LIVE_CHOICE = {
    "question": "Pick.",
    "answer": "B",
    "question_type": "single-choice",
    "options": ["A. 1", "B. 2", "C. 3", "D. 4"],
}


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("gsm8k", GSM8K, Problem("How many?", "18", "number")),
        (
            "math",
            MATH,
            Problem(MATH["problem"], "\\frac{1}{2}", "expression", subject="Algebra", level="Level 1"),
        ),
        ("dapo_math_17k", DAPO, Problem("Find $x$.", "34", "number", id=DAPO["extra_info"]["index"])),
        ("aime24", AIME24, Problem("Find it.", "25", "integer", id="67")),
        ("aime25", AIME25, Problem(AIME25["problem"], "70", "integer", id="0")),
        (
            "math500",
            MATH500,
            Problem(
                MATH500["problem"],
                MATH500["answer"],
                "expression",
                id="test/precalculus/807.json",
                subject="Precalculus",
                level="2",
            ),
        ),
        (
            "olympiadbench",
            OLYMPIAD,
            Problem(
                "Let $n$ be given.\n\nFind all $x$.",
                "$1$,$-3$",
                "expression",
                multiple_answers=True,
                unit="%",
                tolerance=0.1,
                id="1606",
                subject="Algebra",
            ),
        ),
        ("amc23", AMC23, Problem("What is it?", "-1", "integer", id="15")),
        ("minervamath", MINERVA, Problem("How far?", "1.6", "expression", id="0", subject="Astronomy")),
        ("minervamath", MINERVA_HUB, Problem("How far?", "1.6", "expression")),
        ("aquarat", AQUA, Problem("Which?", "C", "choice", options=("$61", "65", "None of these"))),
        (
            "livemathbench",
            LIVE,
            Problem("Find $k$.", "$\\frac{1}{2}$", "expression", subject="problem-solving"),
        ),
        (
            "livemathbench",
            LIVE_CHOICE,
            Problem("Pick.", "B", "choice", options=("1", "2", "3", "4"), subject="single-choice"),
        ),
    ],
)
def test_a_published_row(name, row, problem):
    assert MATH_SETS[name].parse(row) == problem


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("gsm8k", {"answer": "#### 1"}, "no field 'question', found answer"),
        ("gsm8k", GSM8K | {"question": "  "}, "field 'question' is empty"),
        ("gsm8k", GSM8K | {"question": 7}, "field 'question' is int, expected text"),
        ("gsm8k", GSM8K | {"question": "half \ud83d"}, "surrogate"),
        ("gsm8k", GSM8K | {"answer": "18"}, "no such line"),
        ("math", MATH | {"solution": "no box"}, "no closed"),
        ("math", MATH | {"solution": None}, "no field 'solution'"),
        ("dapo_math_17k", DAPO | {"prompt": "text"}, "not a list of one message"),
        ("dapo_math_17k", DAPO | {"prompt": []}, "not a list of one message"),
        ("dapo_math_17k", DAPO | {"reward_model": None}, "'reward_model'"),
        ("dapo_math_17k", DAPO | {"reward_model": {}}, "no field 'ground_truth'"),
        ("aime24", AIME24 | {"answer": "1/2"}, "expected an integer"),
        ("aime25", {"problem": "p"}, "no field 'answer'"),
        ("amc23", AMC23 | {"answer": float("nan")}, "expected a number"),
        ("olympiadbench", OLYMPIAD | {"final_answer": ["1", "2"]}, "a list of one text"),
        ("olympiadbench", OLYMPIAD | {"final_answer": "1"}, "a list of one text"),
        ("olympiadbench", OLYMPIAD | {"is_multiple_answer": None}, "true or false"),
        ("olympiadbench", OLYMPIAD | {"error": "small"}, "expected a positive number"),
        ("olympiadbench", OLYMPIAD | {"error": "-1"}, "expected a positive number"),
        ("olympiadbench", OLYMPIAD | {"image_1": {"bytes": b""}}, "needs an image"),
        ("aquarat", AQUA | {"correct": "D"}, "expected a letter from A to C"),
        ("aquarat", AQUA | {"correct": "c"}, "expected a letter from A to C"),
        ("aquarat", AQUA | {"options": ["A)1", "C)2"]}, "option 2 is 'C\\)2', expected 'B\\)"),
        ("aquarat", AQUA | {"options": ["A)1", "B)"]}, "option 2"),
        ("aquarat", AQUA | {"options": "A)1"}, "two or more options"),
        ("livemathbench", LIVE_CHOICE | {"answer": "BC"}, "expected a letter from A to D"),
    ],
)
def test_a_damaged_row_is_named(name, row, message):
    with pytest.raises(ValueError, match=message):
        MATH_SETS[name].parse(row)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("math", MATH | {"solution": "there are $\\boxed{}$ primes"}),
        ("dapo_math_17k", DAPO | {"prompt": [{"role": "user", "content": "Find $x$."}]}),
    ],
)
def test_a_row_published_without_what_is_needed_is_left_out(name, row):
    with pytest.raises(LeftOutError):
        MATH_SETS[name].parse(row)


@pytest.mark.parametrize("math_set", MATH_SETS.values(), ids=list(MATH_SETS))
def test_the_table_is_complete(math_set):
    assert set(math_set.sizes) == set(math_set.splits) <= {"train", "test"}
    assert all(size > 0 for size in math_set.sizes.values())
    assert math_set.license and math_set.source and math_set.hub_id.count("/") == 1
