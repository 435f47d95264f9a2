"""What docs/rewards.md says is paid and what is not, by example, with the two settings that decide it."""

import pytest

from reward_fns.math_reward import compute_score


def paid(response, gold, **settings):
    result = compute_score("test", response, gold, timeout_s=30.0, **settings)
    assert result["timeout"] == 0.0
    return result["acc"] == 1.0


# (gold, answer in a box)
PAID = [
    ("70000", "70,000"),
    ("14,\\!400", "14400"),
    ("12345", "12,\\!345"),
    ("11111111100", "11,\\! 111,\\! 111,\\! 100"),
    ("\\frac{1}{3}", "0.\\overline{3}"),
    ("e^{-10}", "0.0000453999"),
    ("\\frac{\\pi}{2}", "1.5707963"),
    ("62.5%", "0.625"),
    ("50", "50\\%"),
    ("18", "18\\text{ apples}"),
    ("18", "18\\text{ blue marbles}"),
    ("45 minutes", "45\\text{ min}"),
    ("15 kmph", "15\\text{ km/h}"),
    ("20", "20\\text{ cm}^2"),
    ("20\\text{ cm}^2", "20\\text{ square centimeters}"),
    ("5", "5\\text{ m}"),
    ("25\\pi", "25\\pi\\text{ cm}^2"),
    ("5!", "120"),
    ("120", "5!"),
    ("391", "17\\times23"),
    ("120", "\\binom{10}{3}"),
    ("5", "x = 5"),
    ("5", "\\text{Total} = 5"),
    ("5", "f(2) = 5"),
    ("42", "6\\cdot7 = 42"),
    ("5", "A = 2 + 3 = 5"),
    ("\\frac{\\sqrt{3}}{3}", "\\frac{\\sqrt{3}}{3} \\approx 0.577"),
    ("(3,2)", "(p,q)=(3,2)"),
    ("(5, 8), (8, 5)", "(x, y) = (5, 8) \\quad \\text{and} \\quad (8, 5)"),
    ("-2\\le x\\le7", "x\\in[-2,7]"),
    ("-2\\le x\\le7", "[-2,7]"),
    ("x<1", "-x > -1"),
    ("(-\\infty,-1)\\cup(1,\\infty)", "x<-1\\text{ or }x>1"),
    ("y=2x+1", "2y=4x+2"),
    ("i(2-i)", "1+2i"),
    ("\\cos x", "\\sin(90^\\circ-x)"),
    ("\\frac{n(n+1)}{2}", "\\sum_{k=1}^{n} k"),
    (
        "\\begin{pmatrix}6&8\\end{pmatrix}",
        "\\begin{pmatrix}1&2\\end{pmatrix}+\\begin{pmatrix}5&6\\end{pmatrix}",
    ),
    ("204_5", "204_{5}"),
    ("1000.99", "1000,99"),
    ("17\\text{ any text}", "17"),
    ("8:34\\text{ P.M.}", "20:34"),
]
REFUSED = [
    ("n!", "n"),
    ("5", "5!"),
    ("5", "5+"),
    ("5", "5?"),
    ("5", "5..."),
    ("5", "> 5"),
    ("5", "\\ge 5"),
    ("5", "\\ne 5"),
    ("5", "\\text{not }5"),
    ("5", "5\\pm1"),
    ("3", "3\\text{ dozen}"),
    ("3", "3\\text{ squared}"),
    ("3", "3\\text{ point five}"),
    ("3", "3\\text{ choose two}"),
    ("3", "3\\text{ pairs}"),
    ("3", "3\\text{ halves}"),
    ("3", "3\\text{ gross}"),
    ("3", "3\\text{ and a half}"),
    ("5", "5m"),
    ("5", "5 m"),
    ("45 minutes", "45\\text{ hours}"),
    ("20\\text{ cm}^2", "20\\text{ cm}^3"),
    ("20\\text{ km/h}", "20\\text{ mph}"),
    ("20\\text{ m/s}", "20\\text{ m/s}^2"),
    ("\\$5", "5\\text{ cents}"),
    ("20%", "20^{\\circ}"),
    ("25\\pi\\text{ cm}^2", "25\\pi\\text{ cm}^3"),
    ("0.5", "0.5\\%"),
    ("5", "\\displaystyle.5"),
    ("5", "x+y=5"),
    ("10", "2x=10"),
    ("0", "x^2-4=0"),
    ("5", "xy=5"),
    ("5", "2+2=5"),
    ("0", "0=0"),
    ("5", "x=5=7"),
    ("x=5", "2x=10"),
    ("P(A)=\\frac12", "P(B)=\\frac12"),
    ("e^{-20}", "0.0000001"),
    ("e^{-10}", "0.000045"),
    ("10^{-9}", "0"),
    ("2^{50}", "1.12590\\times10^{15}"),
    ("2^{200}", "2^{200}+1"),
    ("\\sqrt{2}", "\\sqrt{2}+e^{-100}"),
    ("5", "5+e^{-1000}"),
    ("204_5", "204_6"),
    ("204_5", "204"),
    ("54", "54_8"),
    ("5<x<6", "5,6"),
    ("(0,9)", "[0,9]"),
    ("x<5", "x \\le 5"),
    ("x \\in [-2,7]", "-2\\le x\\le7"),
    ("x<-1\\text{ or }x>1", "x<-1\\text{ and }x>1"),
    ("1.3", "1,3"),
    ("1,3", "1.3"),
    ("|x|", "x"),
    ("10-x", "\\sqrt{(x-10)^2}"),
    ("|x-100|", "100-x"),
    ("ABC", "ACB"),
    ("f'(x)", "f(x)"),
    ("45^{\\circ}", "45'"),
    ("2", "\\log 100"),
    ("\\{1,2\\}", "\\{\\{1\\},\\{2\\}\\}"),
]


@pytest.mark.parametrize(("gold", "answer"), PAID)
def test_paid_in_a_box(gold, answer):
    assert paid(f"Thus $\\boxed{{{answer}}}$.", gold)


@pytest.mark.parametrize(("gold", "answer"), REFUSED)
def test_refused_in_a_box(gold, answer):
    assert not paid(f"Thus $\\boxed{{{answer}}}$.", gold)


PAID_RESPONSES = [
    ("7", "The ones who did not play are 24 - 17 = 7"),
    ("5", "The answer is 5, not 6."),
    ("5", "The answer is 5 because 6 is even."),
    ("18", "So, Janet makes **$18** every day."),
    ("18", "She makes 9 * $2 = $<<9*2=18>>18 per day."),
    ("\\frac{4}{7}", "Therefore, \\frac{4}{7}."),
    ("x \\ge 5", "Therefore $x \\ge 5$."),
    ("[0,9)", "The interval is $[0,9)$."),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "It is $\\begin{pmatrix}1\\\\2\\end{pmatrix}$."),
    ("D", "I think it's (D)."),
    ("1,3", "$\\boxed{1}$ and $\\boxed{3}$"),
    ("41.8", "so $\\theta = \\boxed{41.8}^{\\circ}$"),
    ("16", "that is $2^{4}$, or \\boxed{16}."),
    ("5", "It is the \\boxed{5}th term."),
    ("60", "The area is 60 cm\u00b2."),
]
REFUSED_RESPONSES = [
    ("3", "so $\\frac{10}{3}$"),
    ("5", "so $2^5$"),
    ("7", "so $\\sqrt7$"),
    ("5", "so $x>5$"),
    ("(0,9)", "so $[0,9]$"),
    ("5", "5 million"),
    ("3", "It is definitely not 3."),
    ("5", "It is more than 5."),
    ("5", "The answer is at least 5."),
    ("5", "The answer is not \\boxed{5}."),
    ("5", "$\\boxed{5}$ is wrong."),
    ("5", "so $x > \\boxed{5}$"),
    ("5", "so $-\\boxed{5}$"),
    ("5", "so $\\boxed{5}x$"),
    ("5", "Is it 5?"),
    ("5", "The answer is 5, possibly 6."),
    ("5", "The answer is 5. Or 6."),
    ("5", "3 boys and 5 girls"),
    ("3", "5 feet 3 inches"),
    ("5", "3 to 5"),
    ("5", "Step 5"),
    ("3", "It is minus 3"),
    ("3", "$\\boxed{1}$ or $\\boxed{3}$"),
    ("D", "I think it's not (D)."),
]


@pytest.mark.parametrize(("gold", "response"), PAID_RESPONSES)
def test_paid_response(gold, response):
    assert paid(response, gold)


@pytest.mark.parametrize(("gold", "response"), REFUSED_RESPONSES)
def test_refused_response(gold, response):
    assert not paid(response, gold)


@pytest.mark.parametrize(
    ("gold", "answer", "as_value"),
    [
        ("391", "17\\times23", False),
        ("120", "\\binom{10}{3}", False),
        ("120", "5!", False),
        ("18", "\\frac{36}{2}", False),
        ("42", "6\\cdot7=42", False),
        ("391", "391", True),
        ("391", "x = 391", True),
        ("0.5", "\\frac{1}{2}", True),
        ("\\frac{13}{3}", "4\\frac{1}{3}", True),
        ("4.5e33", "4.5\\times10^{33}", True),
        ("2\\sqrt{2}", "\\sqrt{8}", True),
        ("x+1", "1+x", True),
    ],
)
def test_a_number_may_be_asked_for_as_a_value(gold, answer, as_value):
    assert paid(f"\\boxed{{{answer}}}", gold)
    assert paid(f"\\boxed{{{answer}}}", gold, require_value=True) == as_value


def test_a_thought_that_the_template_opened_and_nothing_closed_has_no_answer():
    cut_off = "First \\boxed{42}, then the answer is 42"
    assert paid(cut_off, "42")
    assert not paid(cut_off, "42", think_in_prompt=True)
    assert paid(cut_off + "</think>\\boxed{42}", "42", think_in_prompt=True)
    assert not paid(cut_off + "</think>I do not know.", "42", think_in_prompt=True)
