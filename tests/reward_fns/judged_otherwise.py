"""Cases that the reward judges otherwise than their source: gold, response, our verdict and why."""

# Other graders' tests.
PUBLIC: list[tuple[str, str, str]] = [
    ("4, 10, -2", "\\boxed{10, 4, -2}", "1: a list without brackets has no order"),
    ("4, .1, 2", "\\boxed{0.1, 4, 2}", "1: a list without brackets has no order"),
    ("10", "\\boxed{10cm}", "1: one side has no unit (the same source pays `10 \\text{cm}`)"),
    ("1/2", "\\boxed{2/4}", "1: the same number"),
    ("3.14159265358979", "\\boxed{\\pi}", "1: fifteen digits stand for pi"),
    ("x + 1.414I", "\\boxed{x + \\sqrt2I}", "0: four digits do not stand for a root; six do"),
    ("1/3, 1.732, 3.1416", "\\boxed{\\frac13, \\sqrt3, \\pi}", "0: 1.732 and 3.1416 have too few digits"),
    ("125.663", "\\boxed{40\\pi}", "0: 40 pi is 125.6637, which rounds to 125.664"),
    (
        "\\begin{cases} a+b=0.5\\\\ a-b=1.732\\end{cases}",
        "\\boxed{\\begin{cases} a+b=\\frac12 \\\\ a-b=\\sqrt3 \\end{cases}}",
        "0: 1.732 has too few digits",
    ),
    (
        "17",
        "\\boxed{17\\text{ any text}}",
        "0: words may make another number of it (`17 dozen`); units come from a list",
    ),
    (
        "3.1416",
        "\\boxed{3.14159}",
        "0: two decimals that differ; the gold answer says no more than four places",
    ),
    ("2.0001", "\\boxed{2}", "0: another number"),
    ("0.75", "\\boxed{75}", "0: a hundred times as much, without a percent sign"),
    ("10", "No explicit final. But here's some text 2 and 10", "0: two numbers are no answer"),
]

# Math-Verify's own tests.
MATH_VERIFY: list[tuple[str, str, str]] = [
    ("9", "\\boxed{9}", "1: their 0 is for a line break between single dollars; boxed it is 9"),
    ("9", "\\boxed{9}", "1: their 0 is for a line break between single dollars; boxed it is 9"),
    ("1,22", "\\boxed{1.22}", "0: a gold answer `1,22` is a list"),
    ("10/9", "\\boxed{\\frac{1}{2} \\$ = \\frac{10}{9}}", "0: one half is not ten ninths"),
    ("x = 11", "\\boxed{x = 5+5+1 = 7 =11}", "0: 7 is not 11"),
    ("x = 11", "\\boxed{x = 5+5+1 = 7 =11}", "0: 7 is not 11"),
    ("x = 1/3", "\\boxed{x = 5+5+1 = 1/3 \\approx 11}", "0: 11 is not a third"),
    ("1/3", "\\boxed{x=1/3\\approx1.3}", "0: a third is not 1.3"),
    ("1 = \\zzz = x = 0", "\\boxed{0}", "0: a gold answer that contradicts itself"),
    ("z = 1 + 1 = 2", "\\boxed{z = 3+3 = 2}", "0: 6 is not 2"),
    ("z = 1 + 1 = 2", "\\boxed{z = 3+3 = 2}", "0: 6 is not 2"),
    (
        "(\\begin{pmatrix}\\frac{1}{3}\\\\ \\frac{1}{5} \\end{pmatrix})",
        "\\boxed{\\begin{pmatrix}0.33\\\\0.2 \\end{pmatrix}}",
        "0: their test asks for two digits; 0.33 is not a third",
    ),
    (
        "(\\frac{3}{5},\\frac{8}{3}]",
        "\\boxed{(0.6,2.6667]}",
        "0: their test asks for two digits; 2.6667 has five",
    ),
    ("(1,3)", "\\boxed{{1,3}}", "0: a set is no point"),
    (
        "x \\in [-2,7]",
        "\\boxed{-2 \\le x \\le 7}",
        "0: theirs are 1 with an option and 0 without; the gold answer asks for a set",
    ),
    (
        "1\\leq|z|\\leq \\frac{3}{2}",
        "\\boxed{z \\in \\left[-\\frac{3}{2}, -1\\right] \\cup \\left[1, \\frac{3}{2}\\right]}",
        "0: right for real z alone, which the gold answer does not say",
    ),
    (
        "f(x)",
        "\\boxed{f(y)}",
        "0: theirs are 0 by default and 1 with an option; another argument is another value",
    ),
    (
        "1 - \\frac{1}{\\mathrm{e}}",
        "\\boxed{1 + \\frac{1}{\\mathrm{e}}}",
        "0: another sign is another number; their test notes the present verdict of their parser",
    ),
    ("a", "The answer is A.", "0: theirs is about the case of the letter that they extract"),
    (
        "A",
        "A. Because B is not valid",
        "0: the letter stands at the start and in no answer's place; last comes B",
    ),
]

# Wrong answers that are paid.
WRONG_PAID: list[tuple[str, str, str]] = []

# Right answers that are refused.
HONEST_REFUSED: list[tuple[str, str, str]] = [
    (
        "42",
        "It's not hard to see that the answer is 42.",
        "a negation in the answer's sentence; we do not find out what it denies",
    ),
    (
        "12",
        "The smallest such number is 12, which is not a square.",
        "a negation in the last sentence of a text that marks no answer",
    ),
    (
        "1 hour and 31 minutes",
        "\\boxed{1\\text{ hour }31\\text{ minutes}}",
        "sums of two units are compared as they are written",
    ),
    ("5", "\\boxed{5\\text{ (units)}}", "a bracket behind a number is not read"),
    (
        "\\begin{cases}x & x>0\\\\-x & x<0\\end{cases}",
        "\\boxed{\\begin{cases} x, & x>0 \\\\ -x, & x<0 \\end{cases}}",
        "rows of cases are compared as they are written; a comma before the condition differs",
    ),
    ("5", "The answer is five (5).", "a number twice, in words and digits"),
    ("7", "The answer is 7 (8 is too large).", "another number in a bracket"),
    ("7", "\\boxed{7\\pmod{10}}", "a residue class is no number"),
    ("7", "\\boxed{7 \\bmod 10}", "a calculation"),
    ("7", "\\boxed{x\\equiv 7\\pmod{10}}", "a residue class is no number"),
    ("\\frac12", "The answer is one half, i.e. $\\frac12$.", "a number in words stands first"),
    ("\\int_0^1 x^2 dx", "\\boxed{0.333333}", "what the engine computes is not rounded"),
    ("{n \\choose k}", "\\boxed{\\binom{n}{n-k}}", "the parser does not know `\\choose`"),
]
