"""Where this reward judges otherwise than math-verify (as verl calls it), each with its reason.

docs/rewards.md has the same list. If math-verify changes its mind, a row fails here and goes.
"""

import pytest

from reward_fns.math_reward import compute_score

# (gold, response, ours, math-verify's, reason)
DIFFERENCES = [
    ("1200", "\\boxed{1\\,200}", 1, 0, "a thin space parts thousands"),
    ("3000000", "\\boxed{3\\text{ million}}", 1, 0, "million is a factor"),
    ("(-\\infty,-5)", "\\boxed{[-\\infty,-5)}", 0, 1, "brackets are part of an interval"),
    ("16,3,1,1", "\\boxed{16,3,1}", 0, 1, "a list counts its repetitions"),
    ("42", "<think>\\boxed{42}</think> I do not know.", 0, 1, "a thought is no answer"),
    ("24\\text{ minutes}", "\\boxed{24\\text{ hours}}", 0, 1, "another unit is another answer"),
    (
        "\\text{no solution}",
        "\\boxed{\\text{No solution.}}",
        1,
        0,
        "words, without case and full stop",
    ),
    ("4.5e33", "#### 4.5e33", 1, 0, "the line of #### is the answer, in any notation"),
    ("23", "<think>\\boxed{17}</think><answer>23</answer>", 1, 0, "the last answer tag comes before any box"),
    ("E_{1},E_{2}", "\\boxed{E_{2}, E_{1}}", 1, 0, "physicists' names that the parser does not know"),
    ("\\frac{e^{2 i t}}{2+2 i}", "\\boxed{\\frac{e^{2it}}{2+2i}}", 1, 0, "spaces between factors"),
    ("x", "\\boxed{\\frac{2x}{2}}", 1, 0, "a lone symbol is an expression too"),
    ("B", "The answer is (B).", 1, 0, "letters are answers"),
]


def math_verify_score(gold: str, response: str) -> float:
    module = pytest.importorskip("verl.utils.reward_score.math_verify")
    return module._verify_in_subprocess("\\boxed{" + gold + "}", response)


@pytest.mark.parametrize(("gold", "response", "ours", "theirs", "reason"), DIFFERENCES)
def test_difference_to_math_verify(gold, response, ours, theirs, reason):
    assert compute_score("test", response, gold, timeout_s=30.0)["acc"] == ours, reason
    assert math_verify_score(gold, response) == theirs, f"math-verify agrees by now: {reason}"
