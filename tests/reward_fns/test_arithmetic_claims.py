"""Arithmetic claims: which are found, and which hold."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns.arithmetic_claims import MAX_CLAIMS, true_claims


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("3 * 4 = 12", 1),
        ("3 * 4 = 13", 0),
        ("3*4=12 and 5-7=-2", 2),
        ("2 + 3 * 4 = 14", 1),
        ("2 + 3 * 4 = 20", 0),
        ("(2 + 3) * 4 = 20", 1),
        ("10 - 4 - 3 = 3", 1),
        ("12 / 4 / 3 = 1", 1),
        ("10 / 4 = 2.5", 1),
        ("10 / 3 = 3.33", 0),
        ("10 / 3 = 3.3333333", 1),
        ("0.1 + 0.2 = 0.3", 1),
        ("1 / 0 = 0", 0),
        ("5 = 5", 0),  # no claim without an operation
        ("1,200 * 2 = 2,400", 1),
        ("$5 + $3 = $8", 1),
        ("3 \u00d7 4 = 12, 12 \u00f7 4 = 3", 2),
        ("3 \\times 4 = 12", 1),
        ("<<16-3-4=9>>9 duck eggs", 1),
        ("2. 3 * 4 = 12", 1),
        ("x + 3 * 4 = 12", 1),
        ("3 * 4 = 12 = 24 / 2", 1),
        ("3 * 4 = 10 + 2", 0),
        ("3 * 4 = 123", 0),
        ("2 ** 3 = 8", 0),
        ("3 + = 3", 0),
        ("((3 + 4) = 7", 1),
        (") 3 + 4 = 7", 1),
        ("3 * 4 = 12. 3 * 4 = 12", 1),
        ("__import__('os') + 1 = 2", 0),
        ("", 0),
    ],
)
def test_claims_of_a_text(text, holds):
    assert true_claims(text) == holds


def test_only_the_first_claims_are_looked_at():
    assert true_claims(" ".join(f"{k} + 1 = {k + 1};" for k in range(1, 10 * MAX_CLAIMS))) == MAX_CLAIMS


@pytest.mark.parametrize(
    "spellings",
    [
        ["1+1=2", "1 + 1 = 2.0", "01+1=2", "(1)+1=2", "1.0+1.00=02", "1+1=2.0000001", "1+1+0=2", "1*1+1=2"],
        ["3+4=7", "4+3=7", "(3+4)=7", "3+4-0=7", "3+4/1=7", "1*(4+3)=7"],
        ["3*4*5=60", "5*(3*4)=60", "5*4*3=60", "3*(4*5)/1=60"],
        ["10-4-3=3", "10-(4+3)=3", "(10-3)-4=3"],
        ["12/4/3=1", "12/(4*3)=1", "12/3/4=1"],
        ["2*(3+4)=14", "(4+3)*2=14"],
        ["10/3=3.3333333", "10/3=3.33333333", "10/3=3.333333333"],
    ],
)
def test_a_claim_is_counted_once_however_it_is_spelled(spellings):
    assert [true_claims(spelling) for spelling in spellings] == [1] * len(spellings)
    assert true_claims("; ".join(spellings)) == 1


@pytest.mark.parametrize(
    "claim",
    [
        "5+0=5",
        "0+5=5",
        "5-0=5",
        "5*1=5",
        "1*5=5",
        "5/1=5",
        "5*0=0",
        "0*5=0",
        "0/5=0",
        "5-5=0",
        "5/5=1",
        "(5)+0=5",
        "0+0=0",
        "1*1=1",
        "5+3-3=5",
        "5*3/3=5",
        "(2+3)-(3+2)=0",
        "0+1*7=7",
        "1*1*1=1",
        "5=5",
    ],
)
def test_a_claim_in_which_nothing_is_calculated_pays_nothing(claim):
    assert true_claims(claim) == 0


def test_different_claims_count_each():
    assert true_claims("3+4=7, 3*4=12, 4-3=1, 3-4=-1, 3+5=8, 2*(3+4)=14, 2*3+4=10") == 7


@given(
    # Different numbers from 2 on: nothing cancels, and no step is without effect.
    st.lists(
        st.tuples(st.sampled_from("+-*/"), st.integers(2, 99)),
        min_size=1,
        max_size=5,
        unique_by=lambda step: step[1],
    ),
    st.integers(100, 199),
)
def test_a_claim_holds_if_and_only_if_exact_arithmetic_says_so(steps, first):
    expression = str(first) + "".join(f" {operator} {number}" for operator, number in steps)
    # Left to right by terms, each a product: an independent way to the value.
    terms, sign, product = Fraction(0), 1, Fraction(first)
    for operator, number in steps:
        if operator == "*":
            product *= number
        elif operator == "/":
            product /= number
        else:
            terms, sign, product = terms + sign * product, 1 if operator == "+" else -1, Fraction(number)
    value = terms + sign * product
    claimed = f"{float(value):.9f}"
    assert true_claims(f"{expression} = {claimed}") == 1
    assert true_claims(f"{expression} = {float(value) + 1:.9f}") == 0
