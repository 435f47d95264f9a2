"""What counts as an answer, and as the right one: tables of real answers; how verl loads and calls it."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reward_fns.math_reward import compute_score

REWARD_FILE = str(Path(inspect.getfile(compute_score)))

# (gold, answer, right?) in a box.
ANSWERS = [
    # Numbers
    ("70000", "70,000", 1),
    ("70000", "70{,}000", 1),
    ("70000", "\\$70\\,000", 1),
    ("70000", "70 000", 1),
    ("70000", "70", 0),
    ("70,000", "70000.00", 1),
    ("12", "1 2", 0),
    ("-7", "\u22127", 1),
    ("-7", "7", 0),
    ("0.5", ".5", 1),
    ("0.5", "\\frac12", 1),
    ("\\frac{13}{3}", "4\\frac{1}{3}", 1),
    ("\\frac{13}{3}", "4 1/3", 1),
    ("\\frac{1}{3}", "0.333333", 1),
    ("\\frac{1}{3}", "0.333334", 0),
    ("\\frac{1}{3}", "0.33", 0),
    ("4.5e33", "4.5 \\times 10^{33}", 1),
    ("4.5e33", "4.5 \\times 10^{32}", 0),
    ("1e-8", "10^{-8}", 1),
    ("1e-8", "2e-8", 0),
    ("3000000", "3 million", 1),
    ("3", "3 million", 0),
    ("109,200,000", "109200001", 0),
    ("27.0", "27", 1),
    ("025", "25", 1),
    ("5", "5\u00b2", 0),
    ("52", "5\u00b2", 0),
    ("18", "\uff11\uff18", 1),  # full-width digits are digits
    ("18", "\u0661\u0668", 0),  # digits of other alphabets are not
    # Percent, currency, units
    ("62.5%", "62.5", 1),
    ("62.5%", "0.625", 1),
    ("0.625", "62.5\\%", 1),
    ("62.5%", "6.25%", 0),
    ("50", "0.5", 0),
    ("18", "18 dollars", 1),
    ("18", "\\$18\\text{ per day}", 1),
    ("45", "45 minutes", 1),
    ("24 minutes", "24 min", 1),
    ("24 minutes", "24 hours", 0),
    ("15 kmph", "15 km/h", 1),
    ("60 m", "60 cm", 0),
    ("$4^{\\circ}$", "4\u00b0", 1),
    ("$4^{\\circ}$", "4 radians", 0),
    ("166", "166\\text{ cm}^2", 1),
    ("5", "5x", 0),
    ("5", "5\\pi", 0),
    # Words
    ("no solution", "\\text{No solution.}", 1),
    ("Tuesday", "\\text{Thursday}", 0),
    ("even", "odd", 0),
    ("\\text{yes}", "Yes", 1),
    # Lists, tuples, intervals, sets
    ("1,3", "3, 1", 1),
    ("1,3", "\\{1,3\\}", 1),
    ("1,3", "1 \\text{ and } 3", 1),
    ("1,3", "1", 0),
    ("3", "1 or 3", 0),
    ("3", "1, 2, 3", 0),
    ("16,3,1,1", "16,3,1", 0),
    ("(1,2)", "(1, \\frac{4}{2})", 1),
    ("(1,2)", "(2,1)", 0),
    ("(1,2)", "[1,2]", 0),
    ("(-\\infty,-5)", "(-\\infty, -5]", 0),
    ("(-\\infty,-5)", "(-5, -\\infty)", 0),
    ("$(-\\infty, 0) \\cup\\{1\\}$.", "\\{1\\} \\cup (-\\infty,0)", 1),
    ("$(-\\infty, 0) \\cup\\{1\\}$.", "(-\\infty, 0]", 0),
    ("(45^{\\circ}, 60^{\\circ})", "(45\u00b0, 60\u00b0)", 1),
    ("$(1,8,19), (2,7,13), (4,5,7)$", "(4,5,7), (1,8,19), (2,7,13)", 1),
    ("$(1,8,19), (2,7,13), (4,5,7)$", "(4,7,5), (1,8,19), (2,7,13)", 0),
    ("2 \\pm \\sqrt{3}", "2-\\sqrt3, 2+\\sqrt3", 1),
    ("2 \\pm \\sqrt{3}", "2+\\sqrt3", 0),
    ("\\emptyset", "\\varnothing", 1),
    # Matrices
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}", 1),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}", 0),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1, 2)", 1),
    # Symbolic
    ("$\\frac{3 m}{2}-1$", "1.5m-1", 1),
    ("$2^{1009}$", "2 \\cdot 2^{1008}", 1),
    ("$20 \\sqrt{7}$", "\\sqrt{2800}", 1),
    ("$20 \\sqrt{7}$", "\\sqrt{2801}", 0),
    ("100 p^{\\frac{1}{2}}", "100\\sqrt{p}", 1),
    ("$\\frac{n(n+1)(2 n+1)}{6}$", "\\frac{2n^3+3n^2+n}{6}", 1),
    ("$\\frac{1}{3} E_{1}+\\frac{2}{3} E_{2}$", "\\frac{E_1+2E_2}{3}", 1),
    ("$\\frac{1}{3} E_{1}+\\frac{2}{3} E_{2}$", "\\frac{2E_1+2E_2}{3}", 0),
    ("5\\sqrt{2}", "5 sqrt(2)", 1),
    ("$k \\geqslant 2$", "k \\ge 2", 1),
    ("$k \\geqslant 2$", "k > 2", 0),
    # Names left of the equals sign
    ("$k=1$", "1", 1),
    ("1", "k = 1", 1),
    ("$k=1$", "n=1", 0),
    ("$f(x)=2 x$", "f(x) = 2x", 1),
    ("$f(x)=2 x$", "2x", 1),
    ("$f(x)=2 x$", "3x", 0),
    ("$f(n)=n$, $g(n)=1$", "f(n)=n, g(n)=1", 1),
    ("42", "6 \\cdot 7 = 42", 1),
    ("42", "\\text{Total} = 42", 1),
]


@pytest.mark.parametrize(("gold", "answer", "right"), ANSWERS)
def test_answer_in_a_box(gold, answer, right):
    result = compute_score("test", f"It follows that $\\boxed{{{answer}}}$.", gold, timeout_s=30.0)
    assert (result["score"], result["acc"], result["timeout"]) == (right, right, 0)


# (gold, response, right?, pred)
RESPONSES = [
    # Which part is the answer
    ("18", "She sells 9 eggs.\n#### 18", 1, "18"),
    ("18", "She makes 9 * 2 = $18 every day.", 1, "18"),
    ("18", "So 9 * 2 = 18. The answer is 18 because she sells 9 eggs.", 1, "18"),
    ("18", "A: 18", 1, "18"),
    ("18", "Final Answer: **$18**", 1, "18"),
    ("18", "Answer:\n18", 1, "18"),
    ("0.5", "The answer is $\\frac{1}{2}$. It took 3 steps.", 1, "0.5"),
    ("18", "<answer>\nShe makes 18 dollars.\n</answer>", 1, "18"),
    ("18", "<answer>\\boxed{18}</answer> and \\boxed{7}", 1, "18"),
    ("18", "<answer>18", 1, "18"),
    ("18", "\\boxed{\\frac{36}{2}} then \\boxed 18", 1, "18"),
    ("18", "\\boxed{18} and an unfinished \\boxed{19", 1, "18"),
    ("204", "so $\\framebox{204}$ minutes", 1, "204"),
    ("1 hour and 31 minutes", "The answer is 1 hour and 31 minutes.", 1, "1hour and 31minutes"),
    # The last box wins; boxes in a row are one list
    ("18", "\\boxed{18}. Wait, it is \\boxed{19}.", 0, "19"),
    ("18", "\\boxed{17}. Wait, it is \\boxed{18}.", 1, "18"),
    ("3", "$\\boxed{1}$ or $\\boxed{3}$", 0, "1,3"),
    ("1,3", "$\\boxed{1}$ and $\\boxed{3}$", 1, "1,3"),
    # Listing everything earns nothing
    ("3", "answer: 1 or 2 or 3", 0, "1or 2or 3"),
    ("3", "It is 1, 2, or 3", 0, "1,2,or 3"),
    ("3", "The answer is $1$, $2$ or $3$.", 0, "1,2or 3"),
    ("3", "<answer>1 2 3</answer>", 0, "1 2 3"),
    # A thought is no answer
    ("42", "<think>\\boxed{42}</think> I do not know.", 0, ""),
    ("42", "<think>\\boxed{42}", 0, ""),
    ("42", "so \\boxed{42}</think>\\boxed{41}", 0, "41"),
    ("42", "so \\boxed{41}</think>\\boxed{42}", 1, "42"),
    ("4", "<answer>4</answer><analysis>\\boxed{5}</analysis><confidence>0.7</confidence>", 1, "4"),
    ("0.7", "I say nothing. <confidence>0.7</confidence>", 0, ""),
    # Letters
    ("B", "The answer is (B).", 1, "B"),
    ("B", "Trying A first.\nB", 1, "B"),
    ("B", "A or B", 0, ""),
    ("B", "\\boxed{A, B}", 0, "A,B"),
    ("B", "<answer>A) 5, B) 6</answer>", 0, "A)5,B)6"),
    ("B", "\\boxed{\\textbf{(B)}\\ 65}", 1, "B"),
    ("A", "A man walks 5 km.", 0, ""),
    # Nothing there
    ("18", "", 0, ""),
    ("18", "I do not know.", 0, ""),
]


@pytest.mark.parametrize(("gold", "response", "right", "pred"), RESPONSES)
def test_which_part_of_a_response_is_the_answer(gold, response, right, pred):
    result = compute_score("test", response, gold)
    assert (result["acc"], result["pred"]) == (right, pred)
    assert result["answer_found"] == (pred != "")


@pytest.mark.parametrize(
    ("golds", "answer", "right"),
    [
        (["\\frac{1}{2}", "50\\%"], "0.5", 1),
        (np.array(["red", "blue"], dtype=object), "\\text{blue}", 1),
        ('["7", "eight"]', "eight", 1),
        (["7", "8"], "9", 0),
        ([7, 8.0], "8", 1),
        ("[1, 2]", "[1, 2]", 1),
    ],
)
def test_several_accepted_answers(golds, answer, right):
    assert compute_score("test", f"\\boxed{{{answer}}}", golds)["acc"] == right


def test_an_option_may_be_quoted_or_named():
    options = {"options": np.array(["A)$61", "B)$65", "C)62, 34", "D)34, 62"], dtype=object)}
    verdicts = {
        ("B", "\\boxed{65}"): 1,
        ("B", "\\boxed{61}"): 0,
        ("B", "B) $65"): 1,
        ("B", "\\boxed{B) 61}"): 1,  # the letter decides
        ("D", "\\boxed{34, 62}"): 1,
        ("C", "\\boxed{34, 62}"): 0,
        ("65", "The answer is (B)."): 1,
        ("65", "The answer is (A)."): 0,
    }
    assert {case: compute_score("aqua", case[1], case[0], options)["acc"] for case in verdicts} == verdicts


LETTER_HEDGES = [
    "A, B",
    "A or B",
    "A/B/C/D/E",
    "ABCDE",
    "A B C D E",
    "A) B) C)",
    "(A)(B)",
    "A) 5 B) 6",
    "A: 5; C",
    "A and C",
]


@pytest.mark.parametrize("hedge", LETTER_HEDGES)
@pytest.mark.parametrize("form", ["\\boxed{%s}", "<answer>%s</answer>", "The answer is %s.", "#### %s", "%s"])
def test_several_letters_are_no_letter(hedge, form):
    assert not any(compute_score("aqua", form % hedge, gold)["acc"] for gold in "ABCDE")


def test_a_relative_tolerance_can_be_asked_for():
    measured = [
        compute_score("minerva", "\\boxed{1.57}", "1.6", rel_tol=tol)["acc"] for tol in (0.0, 0.01, 0.02)
    ]
    assert measured == [0, 0, 1]
    assert compute_score("minerva", "\\boxed{-1.6}", "1.6", rel_tol=0.02)["acc"] == 0


def test_the_last_number_can_be_switched_off():
    assert compute_score("test", "It is 18.", "18", last_number=True)["acc"] == 1
    assert compute_score("test", "It is 18.", "18", last_number=False)["acc"] == 0


def test_numbers_letters_and_words_never_reach_the_engine():
    answers = [("18", "19"), ("\\frac{1}{3}", "0.34"), ("B", "C"), ("no solution", "18"), ("(1,2]", "(1,3]")]
    answers += [("1,2,3", "1,2,4"), ("18", "I think it cannot be known"), ("5 \\%", "7 \\%")]
    assert not any(
        compute_score("test", f"\\boxed{{{answer}}}", gold)["symbolic"] for gold, answer in answers
    )
    assert compute_score("test", "\\boxed{x^2}", "x^3")["symbolic"] == 1


def test_every_response_gets_the_same_plain_keys():
    responses = ["", "18", "\\boxed{x+1}", "<think>", "\\boxed{9^{9^{9^{9}}}}"]
    results = [compute_score("test", response, "x+1", timeout_s=0.3) for response in responses]
    assert {tuple(result) for result in results} == {
        ("score", "acc", "pred", "answer_found", "symbolic", "timeout")
    }
    assert {type(value) for result in results for value in result.values()} == {float, str}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rel_tolerance": 0.1},
            "math_reward: unknown setting 'rel_tolerance'; settings are last_number, rel_tol",
        ),
        ({"rel_tol": -1}, "math_reward: rel_tol must be between 0 and 1, not -1"),
        ({"rel_tol": "a"}, "math_reward: rel_tol must be a number, not 'a'"),
        ({"last_number": 1}, "math_reward: last_number must be true or false, not 1"),
        ({"timeout_s": float("nan")}, "math_reward: timeout_s must be a number, not nan"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings, message):
    with pytest.raises(ValueError) as error:
        compute_score("test", "18", "18", **settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ground_truth", [None, [], [None], True, {"a": 1}])
def test_an_unreadable_ground_truth_is_refused(ground_truth):
    with pytest.raises(ValueError, match="ground_truth must be a string, a number or a list of them"):
        compute_score("test", "18", ground_truth)


@pytest.mark.parametrize("path", [REWARD_FILE, "pkg://reward_fns.math_reward"])
def test_verl_loads_the_reward_and_calls_it_from_a_thread(path):
    trainer = pytest.importorskip("verl.trainer.ppo.reward")
    from omegaconf import OmegaConf

    custom = {"path": path, "name": "compute_score", "reward_kwargs": {"rel_tol": 0.1, "timeout_s": 30.0}}
    reward = trainer.get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": custom}}))
    assert not inspect.iscoroutinefunction(reward)
    arguments = {"data_source": "gsm8k", "solution_str": "\\boxed{\\frac{2x}{2}}", "ground_truth": "x"}
    arguments |= {"extra_info": {"num_turns": 2, "rollout_reward_scores": {}}, "reward_router_address": "a:1"}
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: reward(**arguments, reward_model_tokenizer=None), range(8)))
    assert [result["score"] for result in results] == [1.0] * 8
