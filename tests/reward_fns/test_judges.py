"""The reward before its judges: others' tests, our adversary, and honest answers near the adversary's.

Every case that the reward judges otherwise than its source is listed with who is right; a case that is judged
otherwise and not listed fails, and so does one that is listed and judged alike by now.
"""

from collections import Counter

import pytest
from judged_otherwise import HONEST_REFUSED, MATH_VERIFY, PUBLIC, WRONG_PAID
from tiers import rows_of_tier

from benchmarks.judges import (
    Case,
    Tally,
    adversarial_cases,
    honest_cases,
    math_verify_cases,
    public_cases,
    shared_data,
    tally,
)
from benchmarks.reward_shapes import shapes
from reward_fns.math_reward import compute_score


def pays(case: Case) -> bool:
    # The clock is tested elsewhere; here a busy machine must not decide.
    result = compute_score("judges", case.response, case.gold, timeout_s=30.0, **case.settings)
    return result["acc"] == 1.0


def looked_at(cases: list[Case]) -> list[Case]:
    """The cases of this tier; those that are known to be judged otherwise among them in any case."""
    known = listed([*WRONG_PAID, *HONEST_REFUSED, *PUBLIC, *MATH_VERIFY])
    kept = rows_of_tier([case for case in cases if case.key not in known])
    return [*kept, *(case for case in cases if case.key in known)]


def differing(result: Tally) -> Counter:
    return Counter(case.key for case in result.paid_wrong + result.refused_right)


def listed(differences: list[tuple[str, str, str]]) -> Counter:
    assert all(reason for _, _, reason in differences)
    return Counter((gold, response) for gold, response, _ in differences)


def test_of_our_adversarys_wrong_answers_at_most_one_in_a_hundred_is_paid():
    cases = adversarial_cases()
    assert len(cases) >= 300
    assert len({case.origin for case in cases}) >= 15
    result = tally(looked_at(cases), pays)
    assert differing(result) == listed(WRONG_PAID)
    assert len(result.paid_wrong) <= len(cases) / 100


def test_honest_answers_near_the_adversarys_are_paid():
    cases = honest_cases()
    assert len(cases) >= 100
    result = tally(looked_at(cases), pays)
    assert differing(result) == listed(HONEST_REFUSED)
    assert len(result.refused_right) <= len(cases) / 50


def test_no_response_is_listed_as_both_right_and_wrong():
    wrong = [(*case.key, str(case.settings)) for case in adversarial_cases()]
    honest = [(*case.key, str(case.settings)) for case in honest_cases()]
    assert len(set(wrong + honest)) == len(wrong) + len(honest)
    assert not [case for case in adversarial_cases() if case.response == f"\\boxed{{{case.gold}}}"]


def test_other_graders_tests_are_judged_as_they_expect():
    if not (shared_data() / "grader_cases.json").is_file():
        pytest.skip(f"no grader_cases.json in {shared_data()}; set AMIR_SHARED_DATA")
    result = tally(public_cases(), pays)
    assert differing(result) == listed(PUBLIC)
    assert (result.cases, result.agree >= 262) == (276, True)


def test_math_verifys_own_tests_are_judged_as_they_expect():
    result = tally(math_verify_cases(), pays)
    assert differing(result) == listed(MATH_VERIFY)
    assert (result.cases, result.agree >= 255) == (276, True)
    assert len(result.paid_wrong) <= 2


@pytest.mark.parametrize("length", [300, 1200])
def test_a_repeated_unit_is_never_an_answer_and_never_an_error(length):
    """Each shape at one of two lengths; neighbours differ by their context."""
    for name, response in rows_of_tier(list(shapes(length))[int(length > 300) :: 2]):
        assert compute_score("judges", response, "\\frac{x+1}{2}", timeout_s=0.01)["acc"] == 0.0, name
