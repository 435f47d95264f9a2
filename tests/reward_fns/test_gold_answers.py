"""Every gold answer of the shared data sets, written as a model would write it, and its wrong neighbours."""

import re

import pytest
from gold_corpus import SETS, gold_answers, right_respellings, rows, written_forms, wrong_neighbours
from tiers import rows_of_tier

from reward_fns.math_reward import compute_score
from reward_fns.multiple_choice import options_of


def verdicts_that_differ(pairs, expected):
    """(form, gold, response) where the reward is not `expected`, or where the engine gave up."""
    wrong = []
    for form, gold, response, extra in pairs:
        # The clock is tested elsewhere; here a busy machine must not decide.
        result = compute_score("test", response, gold, extra, timeout_s=30.0)
        if result["acc"] != expected or result["timeout"]:
            wrong.append((form, gold, response[-120:], result))
    return wrong


@pytest.mark.parametrize("name", SETS)
def test_each_gold_answer_equals_itself_in_eight_written_forms(name):
    golds = rows_of_tier(gold_answers(name))
    pairs = [(form, gold, text, extra) for gold, extra in golds for form, text in written_forms(gold).items()]
    assert len(pairs) == 8 * len(golds) > 0
    assert not verdicts_that_differ(pairs, 1.0)


@pytest.mark.parametrize("name", ["gsm8k", "aime24", "amc23", "minerva_math", "olympiadbench"])
def test_other_spellings_of_each_gold_answer_are_right(name):
    golds = rows_of_tier(sorted({gold for gold, _ in gold_answers(name)}))
    forms = [(form, gold, text) for gold in golds for form, text in right_respellings(gold).items()]
    assert len(forms) >= 2 * len(golds)
    assert not verdicts_that_differ([(f, g, f"Thus $\\boxed{{{text}}}$.", {}) for f, g, text in forms], 1.0)


@pytest.mark.parametrize("name", ["gsm8k", "aime24", "amc23", "olympiadbench"])
def test_wrong_neighbours_of_each_gold_answer_are_wrong(name):
    golds = rows_of_tier(sorted({gold for gold, _ in gold_answers(name)}))
    forms = [(form, gold, text) for gold in golds for form, text in wrong_neighbours(gold).items()]
    assert len(forms) > len(golds)
    assert not verdicts_that_differ([(f, g, f"Thus $\\boxed{{{text}}}$.", {}) for f, g, text in forms], 0.0)


LETTER_FORMS = [
    "\\boxed{%s}",
    "\\boxed{\\text{%s}}",
    "The answer is %s.",
    "<think>\\boxed{A} B C</think><answer>%s</answer>",
    "Answer: %s",
    "**Answer:** (%s)",
    "First 5, then 6.\n%s",
    "#### %s",
    "The correct option is (%s).",
]
LETTER_AND_TEXT_FORMS = [
    "The answer is (%s) %s.",
    "<answer>%s) %s</answer>",
    "**Answer: %s. %s**",
    "\\boxed{%s: %s}",
]
TEXT_FORMS = ["\\boxed{%s}", "\\boxed{\\text{%s}}", "<answer>%s</answer>", "The answer is %s."]


def test_multiple_choice_by_letter_by_text_and_by_both():
    right, wrong = [], []
    questions = rows_of_tier(rows("aqua"))
    for row in questions:
        extra, gold = {"options": row["options"]}, row["correct"]
        options = options_of(extra)
        for letter, text in options.items():
            responses = [form % letter for form in LETTER_FORMS]
            responses += [form % (letter, text) for form in LETTER_AND_TEXT_FORMS]
            if letter == gold or text != options[gold]:
                responses += [form % text for form in TEXT_FORMS]
            side = right if letter == gold else wrong
            side += [(letter, gold, response, extra) for response in responses]
    assert len(right) == len(questions) * 17
    assert not verdicts_that_differ(right, 1.0)
    assert not verdicts_that_differ(wrong, 0.0)


def test_worked_solutions_as_their_authors_wrote_them():
    solutions = [
        (row["answer"], row["answer"].rpartition("####")[2].strip())
        for row in rows_of_tier(rows("gsm8k", "train"))
    ]
    assert not verdicts_that_differ([("hashes", gold, text, {}) for text, gold in solutions], 1.0)
    unmarked = [(re.sub("<<.*?>>", "", text.rpartition("####")[0]), gold) for text, gold in solutions]
    by_last_number = sum(compute_score("test", text, gold)["acc"] for text, gold in unmarked)
    assert by_last_number / len(unmarked) > 0.95  # their last number is not always their answer
    assert not any(
        compute_score("test", text, gold, last_number=False)["answer_found"] for text, gold in unmarked[:50]
    )
